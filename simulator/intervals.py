"""Kline intervals and where they open, in minutes since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.noise import Ints


@dataclass(frozen=True, slots=True)
class Interval:
    """`minutes` is 0 for `1s` (finer) and `1M` (uneven); `anchor`: minute of one opening."""

    name: str
    minutes: int
    anchor: int = 0


_MONDAY = 4 * 1440  # 1970-01-05

INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", 0),
        Interval("1m", 1),
        Interval("3m", 3),
        Interval("5m", 5),
        Interval("15m", 15),
        Interval("30m", 30),
        Interval("1h", 60),
        Interval("2h", 120),
        Interval("4h", 240),
        Interval("6h", 360),
        Interval("8h", 480),
        Interval("12h", 720),
        Interval("1d", 1440),
        Interval("3d", 4320),
        Interval("1w", 10080, _MONDAY),
        Interval("1M", 0),
    )
}
SECOND = INTERVALS["1s"]
MONTH = INTERVALS["1M"]


def opening(interval: Interval, minute: int, shift: int = 0) -> int:
    """Opening of the candle that holds `minute`; `shift` minutes east of UTC."""
    if interval is MONTH:
        month = np.datetime64(minute + shift, "m").astype("datetime64[M]")
        return int(month.astype("datetime64[m]").astype(np.int64)) - shift
    local = minute + shift - interval.anchor
    return minute - local % interval.minutes


def following(interval: Interval, opened: int, places: int, shift: int = 0) -> int:
    """The opening `places` candles after (or, negative, before) the one at `opened`."""
    if interval is MONTH:
        month = np.datetime64(opened + shift, "m").astype("datetime64[M]") + places
        return int(month.astype("datetime64[m]").astype(np.int64)) - shift
    return opened + places * interval.minutes


def openings(interval: Interval, first: int, last: int, shift: int = 0) -> Ints:
    """All openings from `first` to `last`, both of them openings."""
    if interval is MONTH:
        months = np.arange(
            np.datetime64(first + shift, "m").astype("datetime64[M]"),
            np.datetime64(last + shift, "m").astype("datetime64[M]") + 1,
        )
        return months.astype("datetime64[m]").astype(np.int64) - shift
    return np.arange(first, last + 1, interval.minutes, dtype=np.int64)
