"""ISO times and buckets: exact over all years, in UTC, in any offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import Undecodable
from cdc.mapping import Bucket
from cdc.times import (
    MS_PER_DAY,
    bucket_of_interval,
    bucket_start,
    days_from_civil,
    micros,
    year_and_month,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXCHANGE_INTERVALS = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h"),
    *("6h", "8h", "12h", "1d", "3d", "1w", "1M"),
)

moments = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - likewise
    timezones=st.integers(-14 * 60, 14 * 60).map(
        lambda minutes: timezone(timedelta(minutes=minutes))
    ),
)


@given(moments)
def test_a_time_in_any_offset_is_its_exact_microseconds(moment: datetime) -> None:
    """Years 1 to 9999, µs kept, before 1970 negative."""
    expected = (moment - EPOCH) // timedelta(microseconds=1)
    assert micros(moment.isoformat()) == expected
    assert micros(moment.astimezone(UTC).isoformat().replace("+00:00", "Z")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-03-29T01:59:59.5+02:00", 1_774_742_399_500_000),
        ("2026-11-20T21:40Z", 1_795_210_800_000_000),
        ("2026-11-20T21:40:21.123456789Z", 1_795_210_821_123_456),
        ("+292278994-08-17T07:12:55.807Z", (2**63 - 1) * 1000),  # PostgreSQL's 'infinity'
    ],
)
def test_known_times(text: str, expected: int) -> None:
    """Debezium's forms, those of extended years among them."""
    assert micros(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-20", "2026-11-20T21:40:21", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
     "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z", "٢٠٢٦-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_undecodable(text: str) -> None:
    """A time without an offset is none: nobody could say which moment it means."""
    with pytest.raises(Undecodable):
        micros(text)


@given(st.integers(-10_000_000, 10_000_000))
def test_days_and_months_are_inverse(days: int) -> None:
    """A day's month begins at most 30 days before it, in its own year."""
    year, month = year_and_month(days)
    assert 0 <= days - days_from_civil(year, month, 1) <= 30
    assert 1 <= month <= 12


@given(moments)
def test_buckets_hold_their_moments(moment: datetime) -> None:
    """A bucket starts where the calendar says."""
    utc = moment.astimezone(UTC)
    ms = (utc - EPOCH) // timedelta(milliseconds=1)
    starts = {
        Bucket.HOUR: utc.replace(minute=0, second=0, microsecond=0),
        Bucket.DAY: utc.replace(hour=0, minute=0, second=0, microsecond=0),
        Bucket.MONTH: datetime(utc.year, utc.month, 1, tzinfo=UTC),
        Bucket.YEAR: datetime(utc.year, 1, 1, tzinfo=UTC),
    }
    for bucket, start in starts.items():
        assert bucket_start(bucket, ms) == (start - EPOCH) // timedelta(milliseconds=1)
    decade = year_and_month(bucket_start(Bucket.DECADE, ms) // MS_PER_DAY)
    assert decade == (utc.year - utc.year % 10, 1)


def test_every_interval_of_the_exchange_has_a_bucket() -> None:
    """The wider the candle, the wider the bucket; at most some ten thousand rows in each."""
    buckets = [bucket_of_interval(interval) for interval in EXCHANGE_INTERVALS]
    assert buckets[0] is Bucket.DAY
    assert set(buckets[1:5]) == {Bucket.MONTH}
    assert set(buckets[5:9]) == {Bucket.YEAR}
    assert set(buckets[9:]) == {Bucket.DECADE}
    with pytest.raises(Undecodable):
        bucket_of_interval("7m")
