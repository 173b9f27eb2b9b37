"""The ingester: from the exchange to PostgreSQL, until it is told to end.

    schedule ─► polls (asyncio tasks) ─► spool (bounded) ─► writer (a thread) ─► PostgreSQL
    streams, which let polls rest ───────┘                  heartbeat (a thread) ─┘

It survives what is around it: an exchange that is silent, bans us or refuses our region is asked
again when that makes sense; PostgreSQL may go away and come back. It ends on its own only where a
person must act: symbols that do not exist, a schedule that is too heavy, a wrong password.
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from contracts.market import Rejected
from ingest import metrics
from ingest.auditing import Audit
from ingest.batch import Batch
from ingest.binance.archive import Archive
from ingest.binance.client import Client
from ingest.candles import Candles
from ingest.catalogue import Catalogue
from ingest.errors import StoreError
from ingest.exchange import Exchange, choose
from ingest.inflow import Inflow
from ingest.listings import Listings
from ingest.polling import Market
from ingest.readback import Readback
from ingest.rounds import Rounds
from ingest.settings import IngestSettings
from ingest.shedding import CAUSE, Shedding, last_known_ids, obeyed
from ingest.sources import Sources
from ingest.spare import Spare
from ingest.spool import Spool
from ingest.store import Store
from ingest.streaming import Streaming
from ingest.summary import Summary
from ingest.tape import Tape
from ingest.valuation import Valuation
from ingest.writer import StoreThread, Writer, beat_forever, obey_forever
from runtime import metrics as metrics_server
from runtime.shutdown import Shutdown

log = structlog.get_logger(__name__)

_TICK_S = 0.1  # how soon an end is noticed
_FLUSH_S = 5.0  # for what still waits at the end


def run(settings: IngestSettings, shutdown: Shutdown, *, once: bool = False) -> Summary:
    """Ingest until `shutdown`, or one round of every poll.

    Raises IngestError where nothing but a person can help.
    """
    metrics_server.serve(settings.ingest_metrics_port)
    store = Store(settings, sampling=settings.sampling())
    beat_forever(store, shutdown)
    try:
        return asyncio.run(_until(shutdown, settings, store, once=once))
    finally:
        shutdown.request()
        store.close()


async def _until(
    shutdown: Shutdown, settings: IngestSettings, store: Store, *, once: bool
) -> Summary:
    """The service as one task that the end cancels; what waits is then written."""
    exchange = await choose(settings)
    service = Service(settings, exchange, store)
    obey_forever(store, service.shedding, shutdown, settings.shedding_valid_s)
    work = asyncio.create_task(service.run(once=once))
    try:
        while not work.done() and not shutdown.requested:
            await asyncio.wait({work}, timeout=_TICK_S)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()
    finally:
        await service.close()
    return service.summary()


class Service:
    """One exchange, polled by its schedule, streamed where it is told to be."""

    def __init__(self, settings: IngestSettings, exchange: Exchange, store: Store) -> None:
        self._settings = settings
        self._exchange = exchange
        self._venue = exchange.venue
        self._store = StoreThread(store)
        self._spool: Spool[Batch] = Spool(settings.spool_mb * 1024 * 1024)
        self.shedding = Shedding(exchange.venue)
        self._sources = Sources(settings, exchange, self._spool, lambda: self.shedding.level)
        self._writer = Writer(self._store, self._spool, self.shedding)
        self._evidence: list[Rejected] = []  # of bodies that could not be read
        self._client = Client(settings, exchange, quarantine=self._evidence.append)
        self._archive = Archive(settings, exchange.archive_url)
        self._rounds: Rounds | None = None  # from when the database has said what it knows
        self._failed: list[str] = []  # of the sources beside the exchange

    async def run(self, *, once: bool) -> None:
        """Load, check, then poll for ever (or once)."""
        metrics.VENUE.info({"venue": self._venue})
        log.info("ingesting", venue=self._venue, symbols=",".join(self._settings.symbols))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._writer.run())
                beside = tasks.create_task(self._sources.run(self._store, once=once))
                market = await self._load()
                spare = Spare()
                rounds = self._rounds = Rounds(
                    self._settings,
                    self._client,
                    market,
                    self.shedding,
                    self._spool,
                    spare,
                    self._evidence,
                )
                begun = await rounds.begin(once=once)
                if begun and once:
                    await rounds.one()
                elif begun:
                    await self._for_ever(tasks, rounds, market, spare)
                self._failed += await beside
                await rounds.hand_over()
                await self._spool.close()
        except ExceptionGroup as group:  # one reason to end is enough to say
            raise group.exceptions[0] from group

    async def close(self) -> None:
        """Write what waits, if that is quick; what is lost is asked for at the next start."""
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(_FLUSH_S):
                if self._rounds is not None:
                    await self._rounds.hand_over()
                await self._spool.close()
                await self._writer.run()
        self._store.close()
        await self._client.close()
        await self._archive.close()

    def summary(self) -> Summary:
        """What was done so far."""
        writer = self._writer
        failed = [*(self._rounds.failed if self._rounds else ()), *self._failed]
        return Summary(self._venue, dict(writer.rows), writer.quarantined, failed)

    async def _load(self) -> Market:
        """What the database knows, so that polling goes on where it ended."""
        venue, store, call = self._venue, self._store.store, self._store.call
        valid_s = self._settings.shedding_valid_s
        self.shedding.level = obeyed(*await call(store.load_shedding), valid_s)
        valuation = Valuation(self._settings.usd_quotes)
        valuation.learn(await call(lambda: store.latest_prices(venue)))
        intervals = self._settings.kline_intervals
        gaps = [gap for gap in await call(lambda: store.open_gaps(venue)) if gap.cause == CAUSE]
        newest = await call(lambda: store.last_trade_ids(venue))
        tape = Tape(last_known_ids(newest, gaps))
        self.shedding.resume(tape, gaps)
        listings = Listings(await call(lambda: store.load_listings(venue)))
        tape.doubt(listings.begun_anew())
        known = await call(lambda: store.load_instruments(venue))
        return Market(
            venue=venue,
            catalogue=Catalogue(venue, known, listings),
            tape=tape,
            candles=Candles(await call(lambda: store.last_closed_klines(venue, intervals))),
            valuation=valuation,
            signs=await call(lambda: store.last_signs(venue)),
        )

    def _keep_books(self, tasks: asyncio.TaskGroup, market: Market, spare: Spare) -> None:
        """Find what is missing or wrong in what is held, and ask for it with patience."""
        settings, client, store = self._settings, self._client, self._store
        limit = settings.readback_limit
        spool, archive = self._spool, self._archive
        readback = Readback(client, market, self.shedding, store, spool, archive, limit)
        tasks.create_task(readback.run(spare))
        tasks.create_task(Audit(settings, client, market, spare).run())

    async def _for_ever(
        self, tasks: asyncio.TaskGroup, rounds: Rounds, market: Market, spare: Spare
    ) -> None:
        """Polls, streams beside them, and the repair of what both missed."""
        self._keep_books(tasks, market, spare)
        settings = self._settings
        inflow = Inflow(market, self.shedding, market.watched, settings.prices_every_s)
        streaming = Streaming(settings, self._exchange, self._client, inflow, self.shedding)
        streaming.follow(rounds.polls)
        tasks.create_task(streaming.run(rounds.poller, self._spool))
        await rounds.for_ever(tasks, streaming)
