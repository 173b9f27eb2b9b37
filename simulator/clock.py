"""The exchange's clock: the wall clock, moved by an offset that tests may change."""

from __future__ import annotations

import time


class Clock:
    """µs since the epoch.

    `offset_us` moves the whole market (see --now); `skew_us` moves only what /api/v3/time says,
    as of an exchange whose clock is wrong.
    """

    def __init__(self, offset_us: int = 0) -> None:
        self.offset_us = offset_us
        self.skew_us = 0

    @classmethod
    def starting_at(cls, moment_s: float) -> Clock:
        """A clock that shows `moment_s` (Unix time) now and goes on from there."""
        return cls(int(moment_s * 1e6) - time.time_ns() // 1000)

    def now_us(self) -> int:
        """The market's time."""
        return time.time_ns() // 1000 + self.offset_us
