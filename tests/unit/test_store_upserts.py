"""The statements that are derived from the tables, and how rows travel to them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from operator import attrgetter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import bulk, tables, upserts
from ingest.queries import interval_step
from tests.market_rows import MINUTE, NOON, kline, trade

UPSERTED = {
    "instruments",
    "listings",
    "klines",
    "ticker_24h",
    "coin_markets",
    "gaps",
    "certificates",
}


@pytest.mark.parametrize("table", tables.PUBLISHED, ids=lambda table: table.name)
def test_upserted_tables_are_those_with_as_of(table: object) -> None:
    """What is upserted is guarded; what is appended is never overwritten."""
    name = getattr(table, "name", "")
    sql = upserts.from_json(name)
    if name in UPSERTED:
        assert "DO UPDATE SET" in sql
        assert "IS DISTINCT FROM" in sql
        assert f"{name}.as_of" in sql.split("WHERE")[-1]
    else:
        assert sql.endswith("DO NOTHING")


def test_neither_as_of_nor_ingested_at_is_a_change() -> None:
    """A row that says the same at a later time is not written again."""
    changes = upserts.from_json("instruments").split("AND")[-1]
    assert "status" in changes
    assert "as_of" not in changes
    assert "ingested_at" not in changes


def test_copied_lines_are_csv_with_backslash_escapes() -> None:
    """Quotes, backslashes, commas, brackets and any script survive JSON's quoting read as CSV."""
    symbols = ['A"B', "A\\B", "A,B", "[A],[B]", "币安人生USDT", "A]B"]
    parts = upserts.as_csv("klines", [kline(symbol=symbol) for symbol in symbols])
    lines = b"".join(parts).decode()
    reader = csv.reader(io.StringIO(lines), escapechar="\\", doublequote=False)
    rows = list(reader)
    assert [row[1] for row in rows] == symbols
    assert rows[0][5:7] == ["67000.12", "67100.5"]
    assert rows[0][14] == "true"


@pytest.mark.parametrize("symbol", ["A,B", "[A]", "null", 'A"', "A\\"])
def test_quotes_stay_where_one_value_needs_them(symbol: str) -> None:
    """Else they are left out: the server reads less, and the same."""
    plain = b"".join(upserts.as_csv("klines", [kline(0), kline(1)]))
    assert b'"' not in plain
    quoted = b"".join(upserts.as_csv("klines", [kline(0), kline(1, symbol=symbol)]))
    first, second = (
        next(csv.reader(io.StringIO(each.decode()), escapechar="\\", doublequote=False))
        for each in (plain, quoted)
    )
    assert first == second
    assert quoted.count(b'"') > 2 * len(first)


def test_copy_in_parts_loses_no_line() -> None:
    """Each row is one line, whatever the size of the parts."""
    count = 2 * upserts.LINES + 1
    parts = list(upserts.as_csv("klines", [kline(minute) for minute in range(count)]))
    assert len(parts) == 3
    assert len(b"".join(parts).splitlines()) == count


@given(st.permutations(range(12)))
def test_bulk_rows_are_in_the_order_of_the_key(numbers: list[int]) -> None:
    """Whatever order they came in, so that writers of the same rows meet in one."""
    rows = [trade(n, symbol="AB"[n % 2], traded_at=NOON + n // 4 * MINUTE) for n in numbers]
    key_of = attrgetter("venue", "symbol", "traded_at", "trade_id")
    assert bulk.in_order("trades", rows) == sorted(rows, key=key_of)


def test_json_keeps_every_digit() -> None:
    """Decimals travel as strings."""
    exact = Decimal("99999999999999999999.999999999999999999")
    (row,) = msgspec.json.decode(upserts.as_json([trade(price=exact)]))
    assert row["price"] == str(exact)


@pytest.mark.parametrize(
    ("interval", "step"), [("1s", "1 seconds"), ("15m", "15 minutes"), ("1M", "1 months")]
)
def test_interval_in_postgres_words(interval: str, step: str) -> None:
    """1m is a minute, 1M a month."""
    assert interval_step(interval) == step
