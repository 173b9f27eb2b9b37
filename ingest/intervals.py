"""The intervals of candles, case-sensitive as the exchange writes them: 1m a minute, 1M a month.

Lengths are in milliseconds. A month has no fixed length, so whoever needs exact open times walks
them with `following`.
"""

from __future__ import annotations

from datetime import UTC, datetime

SECOND, MINUTE = 1_000, 60_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE

INTERVALS: dict[str, int] = {
    "1s": SECOND,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
    "1M": 31 * DAY,  # the longest a month can be
}
"""Interval → its length, the longest one for a month."""

MONTH = "1M"


def following(interval: str, open_time_ms: int) -> int:
    """Open time of the candle after the one that opens at open_time_ms."""
    if interval != MONTH:
        return open_time_ms + INTERVALS[interval]
    opened = datetime.fromtimestamp(open_time_ms / 1000, UTC)
    year, month = divmod(opened.year * 12 + opened.month, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp() * 1000)
