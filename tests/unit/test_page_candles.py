"""Wider candles, averages and changes, as the page computes them from rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from page import buckets, candles
from page.rows import Candle, Price

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def candle(minute: int, close: int = 100, *, closed: bool = True, **changes: Decimal) -> Candle:
    amount = Decimal(close)
    fields = {"open": amount - 1, "high": amount + 2, "low": amount - 3, "close": amount}
    fields |= {"volume": Decimal(2), "quote_volume": amount * 2}
    return Candle(open_time=NOON + minute * MINUTE, is_closed=closed, **(fields | changes))


def price(second: int, amount: int) -> Price:
    return Price("BTCUSDT", NOON + timedelta(seconds=second), Decimal(amount), 0)


def test_wider_candle_is_made_of_its_minutes() -> None:
    """First open, last close, extremes, sums."""
    first, second = candles.merged([candle(n, 100 + n) for n in range(10)], 5 * MINUTE)
    assert (first.open_time, second.open_time) == (NOON, NOON + 5 * MINUTE)
    assert [first.open, first.close, first.high, first.low] == [99, 104, 106, 97]
    assert [first.volume, first.quote_volume] == [10, 2 * (100 + 101 + 102 + 103 + 104)]
    assert first.is_closed
    assert second.is_closed


@given(
    closes=st.lists(st.integers(10, 10_000), min_size=1, max_size=90),
    first=st.integers(0, 59),
    width=st.sampled_from([5, 15, 60]),
)
def test_merging_loses_nothing(closes: list[int], first: int, width: int) -> None:
    """Volume, extremes and the ends are those of the minutes, however they are cut."""
    minutes = [candle(first + n, close) for n, close in enumerate(closes)]
    wide = candles.merged(minutes, width * MINUTE)
    assert sum(each.volume for each in wide) == sum(each.volume for each in minutes)
    assert max(each.high for each in wide) == max(each.high for each in minutes)
    assert (wide[0].open, wide[-1].close) == (minutes[0].open, minutes[-1].close)
    assert all((each.open_time - NOON) % (width * MINUTE) == timedelta(0) for each in wide)
    assert len({each.open_time for each in wide}) == len(wide)


@pytest.mark.parametrize(
    ("minutes", "closed"),
    [
        ([candle(n) for n in range(5)], True),
        ([candle(n) for n in range(4)], False),
        ([*(candle(n) for n in range(4)), candle(4, closed=False)], False),
    ],
)
def test_newest_candle_is_open_until_its_last_minute_has_closed(
    minutes: list[Candle], closed: object
) -> None:
    """A half of an hour is not an hour."""
    assert candles.merged(minutes, 5 * MINUTE)[-1].is_closed is closed


def test_candle_with_a_missing_last_minute_is_over_once_another_follows() -> None:
    """A gap does not leave a candle open for ever."""
    first, _ = candles.merged([candle(0), candle(1), candle(6)], 5 * MINUTE)
    assert first.is_closed


def test_moving_average_waits_for_enough_candles() -> None:
    """A mean of fewer would be another line."""
    means = candles.moving_average([candle(n, 10 * n) for n in range(1, 5)], 3)
    assert means == [None, None, 20, 30]


def test_trailing_average_forgets_what_is_older_than_its_window() -> None:
    """By time, not by number: a price of exactly five minutes ago is gone."""
    means = candles.trailing_average([price(0, 10), price(200, 20), price(300, 40), price(650, 7)])
    assert means == [10, 15, 30, 7]


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(1, 10**6)), min_size=1, max_size=60))
def test_trailing_average_is_the_mean_of_its_window(steps: list[tuple[int, int]]) -> None:
    """Against the plain definition, also where several prices share a moment."""
    second, rows = 0, []
    for step, amount in steps:
        second += step
        rows.append(price(second, amount))
    for place, mean in enumerate(candles.trailing_average(rows)):
        now = rows[place].observed_at
        window = [
            each.price for each in rows[: place + 1] if now - each.observed_at < candles.AVERAGE
        ]
        assert mean == sum(window) / len(window)


def test_change_of_an_hour_begins_an_hour_ago() -> None:
    """From the open of that minute to the newest close."""
    minutes = [candle(n, 100) for n in range(-61, 0)]
    minutes[-1] = candle(-1, 109)
    assert candles.hour_change(minutes, NOON) == Decimal(109 - 99) / 99 * 100


@pytest.mark.parametrize("first", [-54, -1])
def test_no_change_of_an_hour_before_there_is_an_hour(first: int) -> None:
    """Ten minutes' change is not called an hour's."""
    assert candles.hour_change([candle(n) for n in range(first, 0)], NOON) is None
    assert candles.hour_change([], NOON) is None


def test_change_from_nothing_is_none() -> None:
    assert candles.change_percent(Decimal(0), Decimal(5)) is None


def test_depth_adds_up_and_ends_at_its_share() -> None:
    """Levels beyond the share are left out."""
    levels = [(Decimal(99), Decimal(1)), (Decimal(98), Decimal(2)), (Decimal(90), Decimal(50))]
    reached = candles.cumulative(levels, Decimal("0.05"), Decimal(100))
    assert reached == [(Decimal(99), Decimal(1)), (Decimal(98), Decimal(3))]


def test_spans_over_midnight_lie_in_both_days_and_months() -> None:
    """A view at five past twelve still shows the evening before."""
    start, end = datetime(2026, 1, 31, 23, 50, tzinfo=UTC), datetime(2026, 2, 1, 0, 5, tzinfo=UTC)
    assert buckets.days(start, end) == [
        datetime(2026, 1, 31, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
    ]
    assert buckets.months(start, end) == [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
    ]


def test_every_width_reaches_less_far_than_a_question_takes_rows() -> None:
    """3 days of minutes are fewer rows than the limit of the question."""
    assert max(width.reach for width in candles.WIDTHS) / MINUTE < 10_000
