"""From a clone to the first row in Cassandra: everything downloaded, then everything there."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.clone import Clone
from tests.benchmarks.figures import Figure


def measure(clone: Clone) -> Iterator[Figure]:
    """`make up` three times: cold, stopped before, running already."""
    downloads = "with the caches of pip and Maven"
    if "MAVEN_OPTS" in clone.variables:
        downloads = "downloads included"
    yield Figure(
        name="cold `make up`",
        value=clone.make("up"),
        unit="s",
        goal=300,
        note=f"fresh clone, no .venv, no artifacts, {downloads}, to the first row in Cassandra",
    )
    clone.make("down")
    yield Figure(
        name="warm `make up`",
        value=clone.make("up"),
        unit="s",
        goal=60,
        note="after `make down`, to a row in Cassandra that was committed after the start",
    )
    yield Figure(
        name="`make up` on a running stack", value=clone.make("up"), unit="s", note="harmless"
    )
