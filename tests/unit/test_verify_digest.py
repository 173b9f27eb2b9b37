"""Digests of pages, against rows that are framed one by one; ranges of time; the pace."""

from __future__ import annotations

import random
from hashlib import md5
from io import BytesIO
from struct import Struct

import pytest
from cassandra.cqltypes import UTF8Type
from hypothesis import given
from hypothesis import strategies as st

from cdc.mapping import Route
from cdc.routes import ROUTES
from cdc.sink import packing
from cdc.times import MS_PER_HOUR
from cdc.verification.digest import Cells, Digest, Hasher, add
from cdc.verification.pace import Pace
from cdc.verification.pages import PageMessage
from cdc.verification.roster import Roster
from cdc.verification.selection import Selection
from cdc.verification.span import END, FIRST, Span, cut, hour_span
from cdc.verification.target import Partitioner
from cdc.verification.wire import Wire, bucketed

HOURLY = bucketed(ROUTES)
COIN_MARKETS = next(each for each in ROUTES if each.table == "coin_markets")  # NULLs, an int
TIMES = st.integers(-5 * MS_PER_HOUR, 5 * MS_PER_HOUR)
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "€", "\x00", "1,2"]))
NUMBERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
AMOUNTS = st.one_of(st.none(), st.decimals(allow_nan=False, allow_infinity=False).map(str))


def _row(wire: Wire, draw: st.DataObject) -> tuple[int, bytes]:
    """A row's time and its bytes, with NULL anywhere but in the time."""
    time = draw.draw(TIMES)
    frames = [packing.pack_ms(time)]
    for index, column in enumerate(wire.columns[1:], 1):
        kind = wire.route.source.field_of(str(column.source)).kind.value
        if index < wire.fixed:
            value = draw.draw(NUMBERS)
            pack = packing.pack_int if kind == "int" else packing.pack_bigint
            small = None if value is None else value % 2**31
            frames.append(pack(small if kind == "int" else value))
        elif kind == "decimal":
            frames.append(packing.pack_decimal(draw.draw(AMOUNTS)))
        else:
            frames.append(packing.pack_text(draw.draw(TEXTS)))
    return time, b"".join(frames)


@given(st.data(), st.integers(0, 8), st.randoms(use_true_random=False))
def test_a_page_is_digested_as_its_rows_are_whatever_their_order(
    data: st.DataObject, count: int, order: random.Random
) -> None:
    wire = Wire(COIN_MARKETS)
    rows = [_row(wire, data) for _ in range(count)]
    expected: Cells = {}
    for time, row in rows:
        value = int.from_bytes(md5(row, usedforsecurity=False).digest()[:8], "big", signed=True)
        add(expected, {time // MS_PER_HOUR: Digest(1, value)})
    order.shuffle(rows)
    cut_at = len(rows) // 2
    found: Cells = {}
    for page in (rows[:cut_at], rows[cut_at:]):
        add(found, Hasher(wire).cells(len(page), b"".join(row for _, row in page)))
    assert found == expected


@pytest.mark.parametrize("route", HOURLY, ids=lambda each: each.table)
def test_every_compared_column_is_in_the_digest(route: Route) -> None:
    """The time first, then what has a fixed size, then the others; buckets follow from the time."""
    wire, selection = Wire(route), Selection(route)
    compared = {each.name for each in route.copied if each.bucket is None}
    assert {each.name for each in wire.columns} == compared
    assert len(wire.columns) == len(compared)
    assert route.clustering[0].name == wire.axis.name, "a range of it must be a range in CQL"
    assert selection.key[selection.axis_index or 0] == wire.axis
    assert len(wire.lengths) == wire.fixed - 1


@pytest.mark.parametrize("route", HOURLY, ids=lambda each: each.table)
def test_a_partition_covers_the_time_of_its_rows(route: Route) -> None:
    partitioner, wire = Partitioner(Selection(route)), Wire(route)
    series = tuple("1m" if name == "interval" else name for name in wire.series)
    for ms in (0, 1_795_132_800_123, 951_782_399_999):
        partition = partitioner.of_series(series, ms)
        span = partitioner.span_of(partition)
        assert span.start <= ms < span.end
        assert partitioner.series_of(partition) == series
        assert partitioner.of_series(series, span.end - 1) == partition
        assert partitioner.of_series(series, span.end) != partition
        assert partitioner.first_bucket(ms) <= span.start


@given(TIMES, st.integers(0, 40), TIMES, st.integers(0, 400), st.integers(0, 9))
def test_a_cut_range_is_whole_and_cuts_no_hour(
    start: int, hours: int, held: int, minutes: int, pieces: int
) -> None:
    span = Span(start - start % MS_PER_HOUR, start - start % MS_PER_HOUR + hours * MS_PER_HOUR)
    for whole in (span, Span(), Span(span.start, END)):
        found = list(cut(whole, Span(held, held + minutes * 60_000), pieces))
        assert (found[0].start, found[-1].end) == whole
        assert [each.end for each in found[:-1]] == [each.start for each in found[1:]]
        assert all(each.end % MS_PER_HOUR == 0 for each in found[:-1])
        assert all(each.start < each.end for each in found[:-1])


def test_an_answer_of_cassandra_stays_in_pages_of_bytes_that_are_let_go() -> None:
    """A RESULT of kind rows as the protocol frames it: no metadata, one column, two rows."""
    rows = packing.pack_text("a") + packing.pack_text(None)
    no_metadata, columns, count = 4, 1, 2
    answer = Struct(">iii").pack(no_metadata, columns, count) + rows
    message = PageMessage(2)
    known = [("keyspace", "table", "name", UTF8Type)]
    message.recv_results_rows(BytesIO(answer), 5, {}, known, None)
    (page,) = message.parsed_rows
    assert message.column_names == ["name"]
    assert page.take() == (2, rows)
    assert page.take() == (0, b""), "the driver's objects hold the page no longer"


def test_spans_meet_where_both_are() -> None:
    assert Span(1, 9).common(Span(5, 20)) == Span(5, 9)
    assert Span(1, 3).common(Span(5, 20)).empty
    assert Span().bounds == ("-infinity", "infinity")
    assert hour_span(2) == Span(2 * MS_PER_HOUR, 3 * MS_PER_HOUR)
    assert Span() == (FIRST, END)


def test_the_roster_gives_partitions_of_a_range_in_order_of_time() -> None:
    with Roster() as roster:
        spans = [(Span(hour, hour + 10), ("v", f"s{hour}", hour)) for hour in range(100, 0, -10)]
        assert roster.fill(iter(spans)) == 10
        assert list(roster.within(Span(25, 41))) == [
            ("v", "s20", 20),
            ("v", "s30", 30),
            ("v", "s40", 40),
        ]
        assert list(roster.within(Span(20, 30))) == [("v", "s20", 20)]
        assert list(roster.within(Span(110, 120))) == []


def test_the_pace_rests_in_proportion_to_the_work() -> None:
    now, rests = [0.0], list[float]()
    pace = Pace(0.2, clock=lambda: now[0], sleep=rests.append)
    pace.rest()
    assert rests == [], "nothing was done yet"
    now[0] = 1.0
    pace.rest()
    assert rests == [pytest.approx(4.0)]
    now[0] = 1.01
    pace.rest()
    assert len(rests) == 1, "small pieces of work add up before it rests"


def test_full_speed_never_rests() -> None:
    now, rests = [0.0], list[float]()
    pace = Pace(1.0, clock=lambda: now[0], sleep=rests.append)
    now[0] = 100.0
    pace.rest()
    assert rests == []
