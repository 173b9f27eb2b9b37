"""PostgreSQL makes in SQL the very bytes that the sink writes, of any value that it can hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.mapping import Bucket, Field, Kind, Source, bucket_column, route
from cdc.sink import packing
from cdc.verification.wire import Wire
from tests.conftest import Stack
from tests.integration.scratch import connect, scratch_database

pytestmark = pytest.mark.integration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE = Source(
    "nasty",
    key=("name", "at"),
    fields=(
        Field("name", Kind.TEXT),
        Field("at", Kind.TIMESTAMP, whole_ms=True),
        Field("seen", Kind.TIMESTAMP),
        Field("count", Kind.BIGINT),
        Field("rank", Kind.INT),
        Field("flag", Kind.BOOLEAN),
        Field("note", Kind.TEXT),
        Field("body", Kind.JSONB),
        Field("price", Kind.DECIMAL),
        Field("other", Kind.DECIMAL),
    ),
)
DAY = bucket_column("day", "at", Bucket.DAY)
ROUTE = route(SOURCE, "nasty", ("name", "day"), ("at",), bucket=DAY)
EXACT = Context(prec=60)
SMALLEST = Decimal("1e-18")
WIRE = Wire(ROUTE)
TABLE = """
CREATE TABLE nasty (name text, at timestamptz, seen timestamptz, count bigint, rank int,
    flag boolean, note text, body jsonb, price numeric(38,18), other numeric(38,18))
"""
INSERT = f"INSERT INTO nasty VALUES ({', '.join(['%s'] * 10)})"

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NASTY_TEXTS = st.sampled_from(["", "\x1f", "1:a", "\\x00", "'", "é€😀", "a\nb", "NULL", " "])
MICROSECONDS = st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000)
MOMENTS = MICROSECONDS.map(lambda us: EPOCH + timedelta(microseconds=us))
LARGEST = 10**38 - 1  # unscaled, of numeric(38,18)
AMOUNTS = st.one_of(
    st.integers(-LARGEST, LARGEST).map(lambda units: Decimal(units).scaleb(-18, EXACT)),
    st.decimals(-1000, 1000, places=4),
    st.sampled_from(
        [
            f"{sign}{2**bits + more}e-{places}"
            for sign in ("", "-")
            for bits in (7, 8, 15, 31, 55, 62, 63, 64)
            for more in (-1, 0, 1)
            for places in (0, 3)
        ]
    ).map(Decimal),
    st.sampled_from(["0", "-0", "1e-18", "-1e-18", "100", "1.10", "1e19"]).map(Decimal),
)


def _or_null(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


ROWS = st.tuples(
    TEXTS | NASTY_TEXTS,
    MOMENTS.map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
    _or_null(MOMENTS),
    _or_null(st.integers(-(2**63), 2**63 - 1)),
    _or_null(st.integers(-(2**31), 2**31 - 1)),
    _or_null(st.booleans()),
    _or_null(TEXTS | NASTY_TEXTS),
    _or_null(st.sampled_from(['{"a": [1, "é"]}', "[]", '"x"', "null"])),
    _or_null(AMOUNTS),
    _or_null(AMOUNTS),
)


@pytest.fixture(scope="module")
def cursor(postgres: Stack) -> Iterator[Any]:
    """A connection to a database that has the table."""
    with (
        scratch_database(postgres.settings) as scratch,
        closing(connect(scratch)) as connection,
        connection.cursor() as opened,
    ):
        opened.execute(TABLE)
        yield opened


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def _packed(row: tuple[Any, ...]) -> bytes:
    """The row as the sink's own packers write it, from what Debezium would have sent."""
    values = dict(zip((each.name for each in SOURCE.fields), row, strict=True))
    packers: dict[Kind, Any] = {
        Kind.TEXT: packing.pack_text,
        Kind.JSONB: packing.pack_text,
        Kind.BIGINT: packing.pack_bigint,
        Kind.INT: packing.pack_int,
        Kind.BOOLEAN: packing.pack_boolean,
    }
    frames = []
    for column in WIRE.columns:
        value, kind = values[str(column.source)], SOURCE.field_of(str(column.source)).kind
        if kind is Kind.TIMESTAMP:
            pack = packing.pack_micros if column.name.endswith("_us") else packing.pack_timestamp
            frames.append(pack(_iso(value)))
        elif kind is Kind.DECIMAL:
            text = None if value is None else f"{value.quantize(SMALLEST, context=EXACT):f}"
            frames.append(packing.pack_decimal(text))
        else:
            frames.append(packers[kind](value))
    return b"".join(frames)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=20))
def test_sql_and_the_sink_agree_on_every_byte(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    """Text of every kind, the ends of the numbers, times before 1970, NULL anywhere."""
    cursor.execute("TRUNCATE nasty")
    cursor.executemany(INSERT, rows)
    cursor.execute(WIRE.frames, ("-infinity", "infinity"))
    made = sorted(bytes(frame) for (frame,) in cursor.fetchall())
    assert made == sorted(_packed(row) for row in rows)


@pytest.mark.parametrize("value", ["NaN"])
def test_a_number_that_the_sink_refuses_equals_nothing(cursor: Any, value: str) -> None:
    """Neither NULL, which an older version may have held, nor any number."""
    frames = set()
    for price in (value, None, "0", "1"):
        cursor.execute("TRUNCATE nasty")
        cursor.execute("INSERT INTO nasty (name, at, price) VALUES ('a', 'epoch', %s)", (price,))
        cursor.execute(WIRE.frames, ("-infinity", "infinity"))
        frames.add(bytes(cursor.fetchone()[0]))
    assert len(frames) == 4


@pytest.mark.parametrize("seen", ["infinity", "-infinity", "294247-01-10 04:00:54.775808+00"])
def test_a_time_beyond_64_bits_equals_nothing(cursor: Any, seen: str) -> None:
    frames = set()
    for time in (seen, None, "294247-01-10 04:00:54.775807+00"):
        cursor.execute("TRUNCATE nasty")
        cursor.execute("INSERT INTO nasty (name, at, seen) VALUES ('a', 'epoch', %s)", (time,))
        cursor.execute(WIRE.frames, ("-infinity", "infinity"))
        frames.add(bytes(cursor.fetchone()[0]))
    assert len(frames) == 3
