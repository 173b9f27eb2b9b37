"""Which candidate rows truly differ, while data flows: read, fence, read, read again. Pure.

A scan reads PostgreSQL at one moment and Cassandra at another, so a row that was just written looks
different. A candidate is called different only when PostgreSQL's version of it was the same before
and after: that version was committed before the fence, so after the fence Cassandra must hold it.
A row that changed meanwhile is equal if Cassandra holds what PostgreSQL has now, else it is tried
again; a true difference is never excused by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cdc.verification.compare import Difference, Kind, Row

Version = tuple[Row, str]  # a row and its xmin: equal versions are the same write


@dataclass(frozen=True, kw_only=True)
class Sides:
    """How both sides are read by key, and what PostgreSQL no longer answers for.

    `fence` passes a fence and gives a position of the log before its heartbeat.
    `forgotten(source_row, target_row)`: whether that difference is history which PostgreSQL has
    dropped; asked last, so that a day that was dropped meanwhile counts.
    """

    source: Callable[[Sequence[Row]], Mapping[Row, Version]]
    fence: Callable[[], int]
    target: Callable[[Sequence[Row]], Mapping[Row, Row]]
    forgotten: Callable[[Row | None, Row | None], bool]


@dataclass
class Settled:
    """What became of the candidates; `unsettled` ones changed in every round.

    `positions`: of each difference, a position of the log that everything which PostgreSQL commits
    after it was judged lies behind: where an extra row may be deleted.
    """

    differences: list[Difference] = field(default_factory=list)
    positions: dict[Row, int] = field(default_factory=dict)
    unsettled: list[Row] = field(default_factory=list)


def settle(keys: Sequence[Row], sides: Sides, rounds: int) -> Settled:
    """Judge every candidate key."""
    settled = Settled()
    pending = list(dict.fromkeys(keys))
    for _ in range(rounds):
        if not pending:
            break
        before = sides.source(pending)
        position = sides.fence()
        held = sides.target(pending)
        after = sides.source(pending)
        changing = []
        for key in pending:
            version, target = after.get(key), held.get(key)
            source = None if version is None else version[0]
            if source == target:
                continue
            if before.get(key) != version:
                changing.append(key)
            elif not sides.forgotten(source, target):
                settled.differences.append(Difference(kind_of(source, target), key))
                settled.positions[key] = position
        pending = changing
    settled.unsettled = pending
    return settled


def kind_of(source: Row | None, target: Row | None) -> Kind:
    """How two rows differ that are not equal."""
    if source is None:
        return Kind.EXTRA
    return Kind.MISSING if target is None else Kind.DIFFERENT
