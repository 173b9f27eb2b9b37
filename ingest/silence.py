"""Tells once that the exchange demands silence, and once that it answers again."""

from __future__ import annotations

from datetime import datetime

import structlog

from contracts.market import Event
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.bans import BanBook
from ingest.binance.limits import utc_now
from ingest.errors import ExchangeError
from ingest.spool import Spool

log = structlog.get_logger(__name__)


class Silence:
    """As a log line, as metrics, and as a row of `events`."""

    def __init__(self, venue: str, bans: BanBook, spool: Spool[Batch]) -> None:
        self._venue = venue
        self._bans = bans
        self._spool = spool
        self._until: datetime | None = None

    async def began(self, error: ExchangeError) -> None:
        """An answer demanded silence; told unless this one is known."""
        silence = self._bans.current(utc_now())
        if silence is None or silence.until == self._until:
            return
        self._until = silence.until
        metrics.BAN_UNTIL.set(silence.until.timestamp())
        metrics.BAN_STATUS.set(silence.status)
        log.warning("silent", until=silence.until.isoformat(), reason=str(error))
        await self._announce("warning", str(error))

    async def over(self) -> None:
        """An answer came; told if the silence has ended."""
        if self._until is None or utc_now() < self._until:
            return
        self._until = None
        metrics.BAN_UNTIL.set(0)
        metrics.BAN_STATUS.set(0)
        log.info("the exchange answers again")
        await self._announce("info", "the exchange answers again")

    async def _announce(self, severity: str, message: str) -> None:
        event = Event(venue=self._venue, kind="ban", severity=severity, message=message)
        await self._spool.put(Batch(events=[event]), size=len(message))
