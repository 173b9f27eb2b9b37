"""Streams in the place of polls: where one flows, its poll rests; where it does not, it goes on.

    connections ─► inflow ─► (each 0.1 s) a batch ─► spool ─► writer
             │        └─► what is missing ─► one poll, at once
             └─► local books ─► when a poll of depth is due, the book in its place

A stream that begins to flow, or of which something is missing, owes a poll, which alone knows what
was before. The poll rests once it has succeeded. A book that is not in step, or not to be believed,
owes nothing: its poll goes on by the schedule until a snapshot has brought it in step.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from contracts.market import Depth
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.allotment import allot, stream_of, streams_of
from ingest.binance.books import Books
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.binance.stream import Refusals, Streams
from ingest.binance.stream_frames import kind_of
from ingest.binance.stream_messages import Told
from ingest.book_snapshots import Snapshots
from ingest.exchange import Exchange
from ingest.inflow import Inflow
from ingest.owed import OwedPolls
from ingest.polling import Poller
from ingest.schedule import Poll
from ingest.settings import IngestSettings
from ingest.shedding import Shedding
from ingest.spool import Spool

log = structlog.get_logger(__name__)

BATCH_EVERY_S: Final = 0.1
SHOW_EVERY_S: Final = 0.5
OWED_SHARE: Final = 0.5  # of the weight that is ours: the schedule goes on beside what is owed


class Streaming:
    """The streams of the polls that have one; without any where the settings say off."""

    def __init__(
        self,
        settings: IngestSettings,
        exchange: Exchange,
        client: Client,
        inflow: Inflow,
        shedding: Shedding,
    ) -> None:
        self._settings = settings
        self._client = client
        self._inflow = inflow
        self._polls: dict[str, Poll] = {}  # by the stream that stands in the poll's place
        self._allotments: list[tuple[str, ...]] = []
        self._streams = Streams(
            exchange.venue,
            exchange.stream_urls,
            (),
            self._take,
            Refusals(settings.firewall_pause_s, self._silent_s, client.bans.record),
        )
        shown = settings.depth_limit
        self._books = Books(exchange.venue, shown)
        self._snapshots = Snapshots(exchange.venue, self._books, client, shedding, shown)
        self._flowing: set[str] = set()
        self._away_since: dict[str, float] = {}  # stream → Unix time, of traded symbols
        self._owed = OwedPolls()

    def follow(self, polls: Sequence[Poll]) -> None:
        """Stream what these polls ask for, and nothing else; what flows goes on undisturbed."""
        if self._settings.streams == "off":
            return
        named = {stream_of(poll): poll for poll in polls}
        for stream in self._polls.keys() - named.keys():
            self._owed.forget(self._polls[stream])
        self._polls = {stream: poll for stream, poll in named.items() if stream is not None}
        wanted = [stream for poll in polls for stream in streams_of(poll)]
        most = self._settings.streams_a_connection
        self._allotments = allot(wanted, most, self._allotments)
        self._streams.follow(self._allotments)
        self._books.follow([poll.symbol for poll in polls if poll.endpoint == "depth"])
        self._flowing &= self._polls.keys()
        for poll in self._polls.values():
            metrics.STREAM_FALLBACK.labels(poll.endpoint)  # shown from the first moment on

    async def run(self, poller: Poller, spool: Spool[Batch]) -> None:
        """Until it is cancelled; returns at once where nothing is streamed."""
        if not self._polls:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._streams.run())
                tasks.create_task(self._snapshots.run(spool))
                await self._gather(poller, spool)
        finally:
            metrics.BOOKS_LIVE.set(0)

    async def _gather(self, poller: Poller, spool: Spool[Batch]) -> None:
        show_s = 0.0
        while True:
            self._look()
            if _now_s() >= show_s:
                self._show(poller)
                show_s = _now_s() + SHOW_EVERY_S
            gathered = self._inflow.gather(_now_s())
            for stream in gathered.missed & self._polls.keys():
                self._owed.missed(self._polls[stream])
            poller.stale |= self._inflow.stale
            self._inflow.stale = False
            if gathered.size:
                await spool.put(gathered.batch, gathered.size)
            await asyncio.sleep(BATCH_EVERY_S)

    def instead(self, poll: Poll) -> list[Depth] | None:
        """What streams have in the place of a poll that is due; None: it is to be made.

        Rows of `depth` from the local book; of all else nothing, for it is on its way already.
        """
        stream = stream_of(poll)
        if stream not in self._flowing or poll in self._owed:
            return None
        if poll.endpoint != "depth":
            return []
        silent_s = self._streams.silent_s(stream)
        if math.isinf(silent_s):  # its connection has broken off since the last look
            return None
        now_ms = int(utc_now().timestamp() * 1000)
        heard_ms = now_ms - int(silent_s * 1000)
        row = self._books.show(poll.symbol, now_ms, heard_ms)
        return None if row is None else [row]

    def stands_in(self, poll: Poll) -> bool:
        """Whether the poll, if it is made, is one in the place of a stream."""
        return stream_of(poll) in self._polls

    def owed(self) -> list[Poll]:
        """Polls that are to be made now, whatever the schedule says."""
        return self._owed.due(_now_s(), OWED_SHARE * self._client.budget.allowance)

    def asked(self, poll: Poll) -> None:
        """The poll is on its way."""
        self._owed.asked(poll, _now_s())

    def answered(self, poll: Poll, *, well: bool) -> None:
        """The poll has ended; one that brought nothing is owed again, where its stream flows."""
        self._owed.answered(poll)
        if not well and poll.endpoint != "depth" and stream_of(poll) in self._flowing:
            self._owed.owe(poll)

    def _take(self, told: Told, received: datetime) -> None:
        offset_s = (self._client.now() - utc_now()).total_seconds()
        received_s = received.timestamp() + offset_s  # by the exchange's clock
        if told.event_ms is not None:
            late_s = received_s - told.event_ms / 1000
            metrics.STREAM_LATENCY.labels(kind_of(told.stream)).observe(max(late_s, 0.0))
        if told.diffs or told.tops:
            self._books.take(told.diffs, told.tops, int(received_s * 1000), _now_s())
        else:
            self._inflow.take(told)

    def _look(self) -> None:
        """Which streams flow; those that begin to owe the poll that they replace."""
        flowing = {stream for stream in self._polls if self._streams.flows(stream)}
        if flowing == self._flowing:
            return
        for stream in flowing - self._flowing:
            if self._polls[stream].endpoint != "depth":
                self._owed.owe(self._polls[stream])
        for stream in self._flowing - flowing:
            poll = self._polls[stream]
            self._owed.forget(poll)  # the schedule has it again
            if poll.endpoint == "depth":
                self._books.break_off(poll.symbol)
        self._flowing = flowing
        away = Counter(self._polls[stream].endpoint for stream in self._polls.keys() - flowing)
        if away:
            log.warning("polling in the place of streams", polls=dict(away))
        else:
            log.info("every stream flows; their polls rest", streams=len(flowing))

    def _show(self, poller: Poller) -> None:
        """Which polls stand in for a stream or a book of a traded symbol, and since when."""
        polls = {stream: poll for stream, poll in self._polls.items() if poller.wants(poll)}
        away, now_s = polls.keys() - self._flowing, utc_now().timestamp()
        self._away_since = {each: self._away_since.get(each, now_s) for each in away}
        metrics.STREAMS_AWAY_SINCE.set(min(self._away_since.values(), default=0))
        standing_in = Counter(
            poll.endpoint
            for stream, poll in polls.items()
            if stream in away or (poll.endpoint == "depth" and not self._books.is_live(poll.symbol))
        )
        for endpoint in {poll.endpoint for poll in self._polls.values()}:
            metrics.STREAM_FALLBACK.labels(endpoint).set(standing_in[endpoint])
        metrics.BOOKS_LIVE.set(self._books.live())
        for reason, count in self._books.resets.items():
            metrics.BOOK_RESETS.labels(reason).inc(count)
            log.info("local books are reset", reason=reason, books=count)
        self._books.resets.clear()

    def _silent_s(self) -> float:
        now = utc_now()
        silence = self._client.bans.current(now)
        return 0.0 if silence is None else (silence.until - now).total_seconds()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
