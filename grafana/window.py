"""How long before the end of the range a query reads. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grafana.query import Query
from grafana.schema import Table
from grafana.statement import Arithmetic, Cast, Expression, Literal, Macro, Select

_UNIT_DAYS = {
    "s": 1 / 86_400,
    "m": 1 / 1_440,
    "h": 1 / 24,
    "d": 1.0,
    "w": 7.0,
    "mo": 31.0,
    "y": 366.0,
}

RANGE_END = Cast("timestamp", Macro("timeTo"), hint=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, its statement and its table: what every rule looks at."""

    query: Query
    select: Select
    table: Table


def duration_days(text: str) -> float:
    """The longest that a CQL duration of one unit can be, in days."""
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()  # type: ignore[union-attr]  # the tokenizer's own pattern
    return int(number) * _UNIT_DAYS[unit]


def window(asked: Asked) -> float:
    """Days between the lower bound of the time and the range's end; 0 without a lower bound.

    A query that begins where the dashboard's range does is as long as it says that it may be.
    """
    for relation in asked.select.where:
        if relation.column == asked.table.time and relation.operator in {">", ">="}:
            return _before_end(relation.values[0], asked.query.days)
    return 0


def _before_end(bound: Expression, range_days: float) -> float:
    match bound:
        case Arithmetic("-", end, Literal("duration", text)) if end == RANGE_END:
            return duration_days(text)
        case _:
            return range_days
