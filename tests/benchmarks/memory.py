"""Memory of everything that the supervisor runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks import trees
from tests.benchmarks.clone import Clone
from tests.benchmarks.figures import Figure

SETTLE_S = 30


def measure(clone: Clone) -> Iterator[Figure]:
    """Sum of proportional set sizes, so that what processes share counts once."""
    time.sleep(SETTLE_S)
    supervisor = int((clone.folder / ".tidemark/run/supervisor.pid").read_text())
    yield Figure(
        name="memory of the whole stack",
        value=trees.memory(supervisor).proportional / 2**30,
        unit="GB",
        goal=5,
        note="services and our processes with the default schedule; proportional set size",
    )
