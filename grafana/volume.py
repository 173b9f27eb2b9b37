"""How much a refresh touches: partitions and rows of a query. Estimates by the default schedule.

Rates are those of docs/sizing.md, a busy symbol's where symbols differ. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from grafana.schema import Table
from grafana.statement import Relation, Select

ROWS_A_DAY: Mapping[str, float] = {
    "prices_by_day": 8_640,  # each 10 s
    "depth_by_hour": 17_280,  # each 5 s
    "trades_by_hour": 4_000_000,
    "large_trades_by_day": 20_000,
    "klines": 1_440,  # of 1m, the finest that panels offer
    "ticker_24h_by_day": 5_760,  # each 15 s
    "movers_24h": 28_800,  # five ranks each 15 s
    "coin_markets": 288,
    "events_by_day": 2_000,
    "heartbeats_by_day": 86_400,
    "certificates_by_day": 1_440,
    "dead_letters": 1_000,
}
"""Table with buckets → rows a day of all that its other partition columns name."""

ROWS_A_PARTITION: Mapping[str, int] = {
    "instruments": 3_500,
    "listings": 3_500,
    "latest_prices": 3_500,
    "latest_depth": 100,
    "ticker_24h": 3_500,
    "gaps": 20_000,
    "verified_through": 1,
    "cdc_state": 1,
    "sink_positions": 100,
}

ROWS_A_KEY: Mapping[str, int] = {"gaps": 2_000}
"""Rows of one value of the first clustering column, where that is more than one row."""

UNBOUNDED = frozenset(
    {"trades_by_hour", "large_trades_by_day", "events_by_day", "gaps", "dead_letters"}
)
"""Tables to which the market or a failure adds, not a schedule: only a LIMIT bounds them."""


def partitions(select: Select, table: Table) -> int:
    """How many partitions are read; each variable stands for one value."""
    bound = {relation.column: len(relation.values) for relation in select.where}
    return math.prod(bound.get(name, 1) for name in table.partition)


def rows(select: Select, table: Table, days: float) -> int:
    """How many rows are read, at most; `days` is the length of the window, 0 for no lower bound."""
    read = partitions(select, table)
    if table.bucket is None:
        found: float = read * _rows_of_keys(select, table)
    else:
        buckets = len(_relation(select, table.bucket).values) if read else 1
        per_day = ROWS_A_DAY[table.name] * read / max(buckets, 1)
        found = per_day * days if days else math.inf
    if not select.group_by:
        found = min(found, read * (select.per_partition_limit or math.inf))
        found = min(found, select.limit or math.inf)
    return 10**9 if math.isinf(found) else math.ceil(found)


def _rows_of_keys(select: Select, table: Table) -> int:
    first = table.clustering[0][0] if table.clustering else ""
    for relation in select.where:
        if relation.column == first and relation.operator in {"=", "IN"}:
            return len(relation.values) * ROWS_A_KEY.get(table.name, 1)
    return ROWS_A_PARTITION[table.name]


def _relation(select: Select, column: str) -> Relation:
    """The condition on a column; an empty one where there is none."""
    return next((each for each in select.where if each.column == column), Relation(column, "", ()))
