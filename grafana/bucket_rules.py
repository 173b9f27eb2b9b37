"""Buckets: computed by the server, none left out, as many as the widest range needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grafana.schema import BUCKETS, DAYS
from grafana.statement import Arithmetic, Call, Expression, Literal
from grafana.window import RANGE_END, Asked, window

NOW = Call("currenttimestamp", ())


def buckets_are_whole(asked: Asked) -> Iterator[str]:
    """A bucket that is left out is a hole in the panel that nobody sees.

    A date that Grafana formats is one of the viewer's time zone, so buckets are `floor` of the
    range's end, and of nothing else; several stand oldest first, so that rows come in order.
    """
    column = asked.table.bucket
    relation = next((each for each in asked.select.where if each.column == column), None)
    if column is None or relation is None:
        return
    anchor = NOW if asked.query.role == "variable" else RANGE_END
    read: dict[str, list[int]] = {}
    for value in relation.values:
        place = _place(value, anchor)
        if place is None:
            yield f"let the server compute {column}: floor((timestamp)$__timeTo - 1d, 1d)"
            return
        width, back = place
        read.setdefault(width, []).append(back)
    if set(read) != set(BUCKETS[column]):
        yield f"{column} of {asked.table.name} has widths {', '.join(BUCKETS[column])}"
        return
    for width, backs in read.items():
        yield from _enough(asked, relation.operator, width, backs)


def _enough(asked: Asked, operator: str, width: str, backs: Sequence[int]) -> Iterator[str]:
    first = asked.query.back
    count = len(backs)
    if count == 1 and operator == "IN":
        yield f"a bucket of {width} that has just begun is empty: name the one before it, too"
    if list(backs) != list(range(first + count - 1, first - 1, -1)):
        yield f"name each bucket of {width} from the oldest to number {first}, without a hole"
    covered = (first + count - 1) * DAYS[width]
    # a window of fixed length may end just after a bucket began; so may a range
    if covered < max(window(asked), asked.query.days):
        yield (
            f"buckets of {width} reach {covered:g} days back for certain, and the panel shows "
            f"{max(window(asked), asked.query.days):g}: name more of them"
        )


def _place(value: Expression, anchor: Expression) -> tuple[str, int] | None:
    """(width, how many widths back) of `floor(anchor - n, width)`; None where it is none."""
    match value:
        case Call("floor", (Arithmetic("-", end, Literal("duration", back)), Literal(_, width))):
            steps = _steps(back, width)
            return None if end != anchor or steps is None else (width, steps)
        case Call("floor", (end, Literal("duration", width))) if end == anchor:
            return width, 0
    return None


def _steps(back: str, width: str) -> int | None:
    """How many widths a duration is; None where it is not a whole number of them."""
    there, here = (re.fullmatch(r"(\d+)([a-z]+)", each) for each in (back, width))
    if there is None or here is None or there[2] != here[2] or int(there[1]) % int(here[1]):
        return None
    return int(there[1]) // int(here[1])
