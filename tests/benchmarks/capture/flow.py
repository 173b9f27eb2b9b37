"""A rate from looks at how much has arrived: from the first look that sees any to the last. Pure.

What comes before the first row – a connector's start, the way to where its slot stands – is no part
of the rate; rows that the first look has already seen are left out of it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

M = TypeVar("M")


class TooFewRows(Exception):
    """All rows came between two looks, so that there is no rate to tell."""


@dataclass(frozen=True)
class Look(Generic[M]):
    """How many had arrived, and what the clocks said then."""

    count: int
    moment: M


@dataclass(frozen=True)
class Flow(Generic[M]):
    """The first and the last look that count."""

    first: Look[M]
    last: Look[M]

    @property
    def rows(self) -> int:
        """Rows between the two."""
        return self.last.count - self.first.count


def observed(
    rows: int,
    count: Callable[[], int],
    moment: Callable[[], M],
    rest: Callable[[], object],
) -> Flow[M]:
    """Look until all rows are there, with a rest after each look; TooFewRows.

    `rest` raises where the patience ends; `moment` is taken at two looks only, for it may cost.
    """
    first: Look[M] | None = None
    while True:
        arrived = count()
        if arrived and first is None:
            first = Look(arrived, moment())
        if arrived >= rows:
            break
        rest()
    if first is None or first.count >= rows:
        raise TooFewRows(f"all {rows:,} rows came between two looks: more are needed")
    return Flow(first, Look(arrived, moment()))
