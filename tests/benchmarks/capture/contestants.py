"""Who reads PostgreSQL's changes here: Debezium as variants, and the bare slot."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.variants import OURS, STOCK, Variant


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Debezium as a variant, or a plain reader that speaks a version of pgoutput's protocol."""

    name: str
    title: str
    variant: Variant | None = None
    protocol: int = 0


CONTESTANTS = (
    *(Contestant(name=each.name, title=each.title, variant=each) for each in (OURS, STOCK)),
    Contestant(
        name="raw-1",
        title="the slot's messages thrown away as they come; pgoutput's protocol 1, as Debezium's",
        protocol=1,
    ),
    Contestant(name="raw-2", title="the same, protocol 2", protocol=2),
)
