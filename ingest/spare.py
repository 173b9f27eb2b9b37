"""Weight that the schedule leaves over, let out evenly to whoever asks with patience."""

from __future__ import annotations

import asyncio
from typing import Final

from ingest.binance import endpoints

LEAST: Final = float(endpoints.historical_trades("", 0).weight)
"""A minute, also where nothing is left over: one page, so that repair never stands still."""


class Spare:
    """For everybody in one event loop; first come, first served."""

    def __init__(self, weight_a_minute: float = 0) -> None:
        self._free_s = 0.0
        self.allow(weight_a_minute)

    def allow(self, weight_a_minute: float) -> None:
        """Let out so much from now on: the schedule has changed."""
        self._weight_a_s = max(weight_a_minute, LEAST) / 60

    def wait_s(self, weight: int, now_s: float) -> float:
        """Book a request; how long it has to wait for what was booked before it."""
        wait_s = max(self._free_s - now_s, 0.0)
        self._free_s = now_s + wait_s + weight / self._weight_a_s
        return wait_s

    async def take(self, weight: int) -> None:
        """Return when a request of that weight may be sent."""
        await asyncio.sleep(self.wait_s(weight, asyncio.get_running_loop().time()))
