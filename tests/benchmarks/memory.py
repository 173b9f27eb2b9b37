"""Memory of everything that the supervisor runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from tests.benchmarks.clone import Clone
from tests.benchmarks.figures import Figure

SETTLE_S = 30


def measure(clone: Clone) -> Iterator[Figure]:
    """Sum of proportional set sizes, so that what processes share counts once."""
    time.sleep(SETTLE_S)
    root = psutil.Process(int((clone.folder / ".tidemark/run/supervisor.pid").read_text()))
    everything = [root, *root.children(recursive=True)]
    yield Figure(
        name="memory of the whole stack",
        value=sum(_pss(process) for process in everything) / 2**30,
        unit="GB",
        goal=5,
        note="services and our processes with the default schedule; proportional set size",
    )


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
