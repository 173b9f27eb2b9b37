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
from collections import deque

import structlog

from contracts.market import Gap, Rejected
from ingest import metrics, schedule
from ingest.auditing import Audit
from ingest.batch import Batch
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.candles import Candles
from ingest.catalogue import Catalogue
from ingest.errors import BadRequest, Banned, ExchangeError, RegionRefused, StoreError
from ingest.exchange import Exchange, choose
from ingest.failing import Failing
from ingest.inflow import Inflow
from ingest.polling import Market, Poller
from ingest.readback import Readback
from ingest.schedule import Poll, Schedule
from ingest.settings import IngestSettings
from ingest.shedding import CAUSE, Shedding, last_known_ids, obeyed
from ingest.silence import Silence
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
_RETRY_S = 5.0  # between two tries of the first exchangeInfo
_REFRESH_S = 60.0  # before exchangeInfo is read again where it seems out of date


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
    """One exchange, polled by its schedule."""

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
        self._gaps: list[Gap] = []  # that shedding makes and ends
        self._client = Client(settings, exchange, quarantine=self._evidence.append)
        self._running: set[Poll] = set()
        self._failing = Failing()
        self._failed: deque[str] = deque(maxlen=100)
        self._streaming: Streaming  # from when the market is known on
        self._silence = Silence(exchange.venue, self._client.bans, self._spool)

    async def run(self, *, once: bool) -> None:
        """Load, check, then poll for ever (or once)."""
        metrics.VENUE.info({"venue": self._venue})
        log.info("ingesting", venue=self._venue, symbols=len(self._settings.symbols))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._writer.run())
                beside = tasks.create_task(self._sources.run(self._store, once=once))
                market = await self._load()
                poller = Poller(self._settings, self._client, market, self.shedding)
                polls = schedule.plan(self._settings)
                info, *rest = polls
                if await self._first_look(poller, info, once=once):
                    spare = self._check(market.catalogue, polls)
                    if once:
                        await self._one_round(poller, rest)
                    else:
                        self._keep_books(tasks, market, Spare(spare))
                        self._streaming = self._streams(market, rest)
                        tasks.create_task(self._streaming.run(poller, self._spool))
                        await self._poll_for_ever(tasks, poller, polls)
                self._failed += await beside
                await self._hand_over_notes()
                await self._spool.close()
        except ExceptionGroup as group:  # one reason to end is enough to say
            raise group.exceptions[0] from group

    async def close(self) -> None:
        """Write what waits, if that is quick; what is lost is asked for at the next start."""
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(_FLUSH_S):
                await self._hand_over_notes()
                await self._spool.close()
                await self._writer.run()
        self._store.close()
        await self._client.close()

    def summary(self) -> Summary:
        """What was done so far."""
        writer = self._writer
        return Summary(self._venue, dict(writer.rows), writer.quarantined, list(self._failed))

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
        return Market(
            venue=venue,
            catalogue=Catalogue(venue, await call(lambda: store.load_instruments(venue))),
            tape=tape,
            candles=Candles(await call(lambda: store.last_closed_klines(venue, intervals))),
            valuation=valuation,
        )

    def _keep_books(self, tasks: asyncio.TaskGroup, market: Market, spare: Spare) -> None:
        """Find what is missing or wrong in what is held, and ask for it with patience."""
        settings, client, store = self._settings, self._client, self._store
        limit = settings.readback_limit
        readback = Readback(client, market, self.shedding, store, self._spool, limit)
        tasks.create_task(readback.run(spare))
        tasks.create_task(Audit(settings, client, market, spare).run())

    def _streams(self, market: Market, polls: list[Poll]) -> Streaming:
        settings = self._settings
        inflow = Inflow(market, self.shedding, settings.symbols, settings.prices_every_s)
        return Streaming(settings, self._exchange, self._client, inflow, polls)

    async def _first_look(self, poller: Poller, info: Poll, *, once: bool) -> bool:
        """Read exchangeInfo; without it nothing else makes sense."""
        while not await self._poll(poller, info):
            if once:
                return False
            await asyncio.sleep(_RETRY_S)
        return True

    def _check(self, catalogue: Catalogue, polls: list[Poll]) -> float:
        """Whether symbols and schedule are possible at all on this exchange; weight left over."""
        catalogue.require(self._settings.symbols)
        limit, share = self._client.budget.limit, self._settings.weight_share
        schedule.check(polls, limit, share)
        needed = sum(schedule.weight_per_minute(polls).values())
        log.info("the schedule fits", weight_a_minute=round(needed), limit=limit, share=share)
        return limit * share - needed

    async def _one_round(self, poller: Poller, polls: list[Poll]) -> None:
        """Each poll, one after another: after a ban not even one more request is on its way."""
        for poll in polls:
            if poller.wants(poll) and not self._leaves_out(poll):
                await self._poll(poller, poll)

    async def _poll_for_ever(
        self, tasks: asyncio.TaskGroup, poller: Poller, polls: list[Poll]
    ) -> None:
        clock = asyncio.get_running_loop().time
        info, *rest = polls
        due = Schedule(rest, clock())
        refreshed_s = clock()
        while True:
            now = clock()
            for poll in dict.fromkeys([*self._streaming.owed(), *due.due(now)]):
                self._start(tasks, poller, poll)
            if now - refreshed_s > (_REFRESH_S if poller.stale else info.every_s):
                refreshed_s = now
                self._start(tasks, poller, info)
            await self._hand_over_notes()
            await asyncio.sleep(min(max(due.next_due_s() - clock(), 0.0), _TICK_S))

    def _start(self, tasks: asyncio.TaskGroup, poller: Poller, poll: Poll) -> None:
        """Start a poll, unless its symbol rests or its last round is still under way."""
        if not poller.wants(poll):
            metrics.SKIPPED.labels("not trading").inc()
            self._tell_over(poll)
        elif self._leaves_out(poll):
            metrics.SKIPPED.labels("shed").inc()
            self._tell_over(poll)
        elif poll in self._running:
            metrics.SKIPPED.labels("still running").inc()
        elif self._streaming.covers(poll):
            metrics.SKIPPED.labels("streamed").inc()
            self._tell_over(poll)
        else:
            self._streaming.asked(poll)
            self._running.add(poll)
            tasks.create_task(self._ask(poller, poll))

    async def _ask(self, poller: Poller, poll: Poll) -> None:
        well = False
        try:
            well = await self._poll(poller, poll)
        finally:
            self._running.discard(poll)
            self._streaming.answered(poll, well=well)

    def _leaves_out(self, poll: Poll) -> bool:
        """Whether the watch wants the poll left out; what that begins or ends goes to `gaps`."""
        if self.shedding.sheds(poll):
            self._gaps += self.shedding.leave_out(poll, utc_now())
            return True
        self._gaps += self.shedding.polled_again(poll, utc_now())
        return False

    async def _poll(self, poller: Poller, poll: Poll) -> bool:
        """One poll into the spool; False where the exchange did not give what was asked for."""
        try:
            fetched = await poller.poll(poll)
        except ExchangeError as error:
            self._failed.append(f"{poll.endpoint} {poll.symbol}".strip() + f": {error}")
            if isinstance(error, Banned | RegionRefused):
                await self._silence.began(error)
            else:
                poller.stale |= isinstance(error, BadRequest) or poll.endpoint == "exchangeInfo"
                self._tell_failure(poll, error)
            return False
        self._tell_over(poll)
        await self._spool.put(fetched.batch, fetched.size)
        await self._silence.over()
        return True

    def _tell_failure(self, poll: Poll, error: ExchangeError) -> None:
        """A line when a poll begins to fail, not each time that it fails again."""
        tell = log.warning if self._failing.failed(poll) else log.debug
        tell("a poll fails", endpoint=poll.endpoint, symbol=poll.symbol, reason=str(error))
        self._show_failing(poll.endpoint)

    def _tell_over(self, poll: Poll) -> None:
        self._failing.over(poll)
        self._show_failing(poll.endpoint)

    def _show_failing(self, endpoint: str) -> None:
        metrics.FAILING_POLLS.labels(endpoint).set(self._failing.count(endpoint))

    async def _hand_over_notes(self) -> None:
        """Bodies that could not be read go to quarantine, and gaps to their table, like rows."""
        rejected, gaps = list(self._evidence), list(self._gaps)
        if rejected or gaps:
            size = sum(len(one.raw) for one in rejected)
            await self._spool.put(Batch(rejected=rejected, gaps=gaps), size)
            del self._evidence[: len(rejected)], self._gaps[: len(gaps)]
