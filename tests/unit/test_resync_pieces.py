"""Resync and healing without any I/O: numbers, thresholds, statements, the bar."""

from __future__ import annotations

import pytest

from cdc.generation import of_slots
from cdc.healing import by_keys_sql, page_sql
from cdc.mapping import Order
from cdc.position import Phase, event_timestamp, write_timestamp
from cdc.routes import ROUTES, SOURCES
from cdc.sweep import Swept, threshold
from cdc.tables import KLINES, TRADES
from cli.resync import bar


def test_a_sweep_is_right_below_the_snapshot_and_above_all_that_was_before() -> None:
    at = threshold(Order.POSITION, 3, 8000)
    assert at == write_timestamp(3, Phase.SNAPSHOT, 8000, 0) - 1
    assert at > write_timestamp(3, Phase.SNAPSHOT, 7992, 0)  # an aborted attempt's
    assert at > write_timestamp(2, Phase.STREAM, (1 << 49) - 8, 511)
    assert at < write_timestamp(3, Phase.STREAM, 8, 0)


def test_a_snapshot_without_a_row_is_swept_below_everything_of_its_generation() -> None:
    at = threshold(Order.POSITION, 3, 0)
    assert write_timestamp(2, Phase.STREAM, (1 << 49) - 8, 511) < at
    assert at < write_timestamp(3, Phase.SNAPSHOT, 8, 0)


def test_where_many_rows_feed_one_the_whole_generation_stays() -> None:
    at = threshold(Order.DOMAIN, 3, 8000)
    assert event_timestamp(2, (1 << 56) - 1) <= at < event_timestamp(3, 0)


@pytest.mark.parametrize(
    ("rows", "extra", "asks"),
    [(10, 10, False), (1000, 1000, False), (2000, 1001, True), (3000, 1500, False)],
)
def test_who_would_lose_most_of_a_table_is_asked(rows: int, extra: int, asks: bool) -> None:
    assert Swept(table="t", rows=rows, extra=extra).suspicious is asks


def test_slots_name_generations() -> None:
    assert of_slots(["tidemark_g12", "tidemark_g2", "other", "tidemark_gx"]) == [2, 12]


def test_no_table_is_partitioned_by_the_column_that_touching_sets() -> None:
    """Otherwise a row might move, and come as a delete and an insert."""
    assert [each.table for each in SOURCES if each.time == each.key[0]] == []


def test_pages_go_on_behind_the_last_key_in_the_keys_order() -> None:
    first = page_sql(KLINES, None, of_day=False, goes_on=False)
    assert " WHERE true ORDER BY " in first
    later = page_sql(TRADES, "price > 1 -- dear", of_day=True, goes_on=True)
    key = '"venue", "symbol", "traded_at", "trade_id"'
    places = "%s::text, %s::text, %s::timestamptz, %s::bigint"
    assert f"({key}) > ({places}) AND (price > 1 -- dear\n)" in later
    assert f"ORDER BY {key} LIMIT %s" in later
    assert later.count('t."traded_at" >= %s AND t."traded_at" < %s') == 2  # the page, the update


def test_keys_are_bound_never_written() -> None:
    for route in ROUTES:
        assert "VALUES %s" in by_keys_sql(route.source, route.source.key)


@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [
        (0, 0, " …"),
        (1234, 0, ": 1,234"),
        (500, 1000, ": [#####.....]  50%  500 of 1,000"),
        (1200, 1000, ": [##########] 100%  1,200 of 1,200"),  # the planner's idea was too low
    ],
)
def test_the_bar(done: int, total: int, shown: str) -> None:
    assert bar(done, total, width=10) == shown
