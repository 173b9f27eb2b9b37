"""Streams in the place of polls: where one flows, its poll rests; where it does not, it goes on.

    connections ─► inflow ─► (each 0.1 s) a batch ─► spool ─► writer
                      └─► what is missing ─► one poll, at once

A stream that begins to flow, or of which something is missing, owes a poll, which alone knows what
was before. The poll rests once it has succeeded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from ingest import metrics
from ingest.batch import Batch
from ingest.binance.allotment import allot, stream_of
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.binance.stream import Refusals, Streams
from ingest.binance.stream_frames import kind_of
from ingest.binance.stream_messages import Told
from ingest.exchange import Exchange
from ingest.inflow import Inflow
from ingest.owed import OwedPolls
from ingest.polling import Poller
from ingest.schedule import Poll
from ingest.settings import IngestSettings
from ingest.spool import Spool

log = structlog.get_logger(__name__)

BATCH_EVERY_S: Final = 0.1


class Streaming:
    """The streams of the polls that have one; without any where the settings say off."""

    def __init__(
        self,
        settings: IngestSettings,
        exchange: Exchange,
        client: Client,
        inflow: Inflow,
        polls: Sequence[Poll],
    ) -> None:
        self._client = client
        self._inflow = inflow
        named = {stream_of(poll): poll for poll in polls if settings.streams == "on"}
        self._polls = {stream: poll for stream, poll in named.items() if stream is not None}
        self._streams = Streams(
            exchange.venue,
            exchange.stream_urls,
            allot(list(self._polls), settings.streams_a_connection),
            self._take,
            Refusals(settings.firewall_pause_s, self._silent_s, client.bans.record),
        )
        self._flowing: set[str] = set()
        self._owed = OwedPolls()

    async def run(self, poller: Poller, spool: Spool[Batch]) -> None:
        """Until it is cancelled; returns at once where nothing is streamed."""
        if not self._polls:
            return
        self._count_fallback()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._streams.run())
            while True:
                self._look()
                gathered = self._inflow.gather(_now_s())
                for stream in gathered.missed:
                    self._owed.missed(self._polls[stream])
                poller.stale |= self._inflow.stale
                self._inflow.stale = False
                if gathered.size:
                    await spool.put(gathered.batch, gathered.size)
                await asyncio.sleep(BATCH_EVERY_S)

    def covers(self, poll: Poll) -> bool:
        """Whether the poll may rest: its stream flows, and nothing is missing in it."""
        return stream_of(poll) in self._flowing and poll not in self._owed

    def owed(self) -> list[Poll]:
        """Polls that are to be made now, whatever the schedule says."""
        return self._owed.due(_now_s())

    def asked(self, poll: Poll) -> None:
        """The poll is on its way."""
        self._owed.asked(poll, _now_s())

    def answered(self, poll: Poll, *, well: bool) -> None:
        """The poll has ended; one that brought nothing is owed again, where its stream flows."""
        self._owed.answered(poll)
        if not well and stream_of(poll) in self._flowing:
            self._owed.owe(poll)

    def _take(self, told: Told, received: datetime) -> None:
        if told.event_ms is not None:
            offset_s = (self._client.now() - utc_now()).total_seconds()
            late_s = received.timestamp() + offset_s - told.event_ms / 1000
            metrics.STREAM_LATENCY.labels(kind_of(told.stream)).observe(max(late_s, 0.0))
        self._inflow.take(told)

    def _look(self) -> None:
        """Which streams flow; those that begin to owe the poll that they replace."""
        flowing = {stream for stream in self._polls if self._streams.flows(stream)}
        if flowing == self._flowing:
            return
        for stream in flowing - self._flowing:
            self._owed.owe(self._polls[stream])
        for stream in self._flowing - flowing:
            self._owed.forget(self._polls[stream])  # the schedule has it again
        self._flowing = flowing
        polled = self._count_fallback()
        if polled:
            log.warning("polling in the place of streams", polls=dict(polled))
        else:
            log.info("every stream flows; their polls rest", streams=len(flowing))

    def _count_fallback(self) -> Counter[str]:
        """Polls that stand in for a stream, by endpoint."""
        away = self._polls.keys() - self._flowing
        polled = Counter(self._polls[stream].endpoint for stream in away)
        for endpoint in {poll.endpoint for poll in self._polls.values()}:
            metrics.STREAM_FALLBACK.labels(endpoint).set(polled[endpoint])
        return polled

    def _silent_s(self) -> float:
        now = utc_now()
        silence = self._client.bans.current(now)
        return 0.0 if silence is None else (silence.until - now).total_seconds()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
