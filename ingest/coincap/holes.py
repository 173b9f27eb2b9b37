"""What was missed while no line served: rows of `gaps`. Pure.

A price of the past cannot be asked for, so such a hole is `unprovable` from its first moment on.
"""

from __future__ import annotations

from datetime import datetime

from contracts.market import Gap
from ingest.shedding import EVERY_SYMBOL

STREAM = "prices"
CAUSE = "disconnect"


class Holes:
    """When prices were last heard, and whether the line broke since."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._heard: datetime | None = None
        self._broken = False

    def broke(self) -> None:
        """No line serves any more."""
        self._broken = self._heard is not None

    def heard(self, at: datetime) -> list[Gap]:
        """A frame came; the hole that it ends, if there was one. Times are floored to ms."""
        before, self._heard = self._heard, at
        if not self._broken or before is None:
            return []
        self._broken = False
        first_ms = int(before.timestamp() * 1000) + 1
        return [
            Gap(
                venue=self._venue,
                symbol=EVERY_SYMBOL,
                stream=STREAM,
                first_missing=first_ms,
                last_missing=max(int(at.timestamp() * 1000) - 1, first_ms),
                state="unprovable",
                cause=CAUSE,
                detail=f"no line from {before:%Y-%m-%d %H:%M:%S} until {at:%Y-%m-%d %H:%M:%S} UTC",
                detected_at=at,
                as_of=at,
            )
        ]
