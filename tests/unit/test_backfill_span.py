"""What a person may ask a backfill for, and the open times that this means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import BadRange
from ingest.intervals import INTERVALS
from ingest.span import Grid, Span, from_ms, in_ms, parse_span

NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)
MONDAY = in_ms(datetime(2017, 8, 14, tzinfo=UTC))
MINUTE = 60_000


def test_dates_and_times_are_read_as_utc() -> None:
    """A date is its midnight; a zone is honoured; `now` is the end of what is there."""
    span = parse_span("2026-01-31", "2026-01-31T13:00:00+01:00", "1m", NOW)
    assert from_ms(span.start) == datetime(2026, 1, 31, tzinfo=UTC)
    assert from_ms(span.end) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert from_ms(parse_span("2026-01-31", "now", "1m", NOW).end) == NOW


@pytest.mark.parametrize(
    ("start", "end", "interval", "message"),
    [
        ("2026-01-01", "2026-01-02", "7m", "'7m' is no interval; choose from 1s 1m"),
        ("2026-01-01", "2026-01-02", "1H", "'1H' is no interval"),
        ("yesterday", "now", "1m", "--start 'yesterday' is no date; write 2026-01-31"),
        ("2026-13-01", "now", "1m", "--start '2026-13-01' is no date"),
        ("2026-01-01", "tomorrow", "1m", "--end 'tomorrow' is no date"),
        ("2026-01-02", "2026-01-01", "1m", "--start 2026-01-02 is not before --end 2026-01-01"),
        ("2026-01-01", "2026-01-01", "1m", "is not before"),
        ("2026-01-01", "2027-01-01", "1m", "--end 2027-01-01 lies in the future"),
        ("2027-01-01", "now", "1m", "is not before --end now"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    start: str, end: str, interval: str, message: str
) -> None:
    """The line names the option and an example."""
    with pytest.raises(BadRange) as caught:
        parse_span(start, end, interval, NOW)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(sorted(INTERVALS)),
    st.integers(0, 10**11),
    st.integers(0, 10**11),
    st.integers(1, 50),
)
def test_pages_cover_a_span_once_and_in_order(
    interval: str, start: int, length: int, rows: int
) -> None:
    """Whatever the interval, no open time is left out and none is asked for twice."""
    first = in_ms(datetime(2017, 8, 1, tzinfo=UTC))
    grid = Grid(interval, first)
    begin = grid.at_or_after(first + start)
    length = min(length, INTERVALS[interval] * 500)
    span = Span(begin, grid.closed_before(begin + length))
    times = list(grid.times(span))
    pages = list(grid.pages(span, rows))
    assert [time for page in pages for time in grid.times(page)] == times
    assert all(grid.count(page) <= rows for page in pages)
    assert grid.count(span) == len(times)
    assert begin >= first + start
    assert begin - INTERVALS[interval] < first + start or begin == first


def test_only_closed_candles_are_asked_for() -> None:
    """At 12:00:30 the last closed minute is 11:59; at 12:00:00 it is the same one."""
    grid = Grid("1m", MONDAY)
    noon = in_ms(NOW.replace(second=0))
    assert grid.closed_before(in_ms(NOW)) == noon
    assert grid.closed_before(noon) == noon


def test_weeks_begin_where_the_exchange_begins_them() -> None:
    """The grid hangs on a candle that was sent, a Monday."""
    grid = Grid("1w", MONDAY)
    assert from_ms(grid.at_or_after(in_ms(datetime(2026, 7, 1, tzinfo=UTC)))) == datetime(
        2026, 7, 6, tzinfo=UTC
    )


def test_months_are_walked_by_the_calendar() -> None:
    """Thirty-one days are not always a month."""
    grid = Grid("1M", in_ms(datetime(2017, 8, 1, tzinfo=UTC)))
    span = Span(
        grid.at_or_after(in_ms(datetime(2026, 1, 15, tzinfo=UTC))), grid.closed_before(in_ms(NOW))
    )
    assert [from_ms(time).month for time in grid.times(span)] == [2, 3, 4, 5, 6, 7]


def test_runs_of_missing_candles_are_named_by_their_bounds() -> None:
    """Neighbours are one run."""
    grid = Grid("1m", MONDAY)
    span = Span(MONDAY, MONDAY + 10 * MINUTE)
    found = [MONDAY + n * MINUTE for n in (0, 1, 4, 8)]
    runs = [
        ((run.start - MONDAY) // MINUTE, (run.end - MONDAY) // MINUTE)
        for run in grid.missing(span, found)
    ]
    assert runs == [(2, 4), (5, 8), (9, 10)]
