"""The audit: every minute is certified, every hole is a row of `gaps`, and both stay so.

    candles that closed ─► certified (each five seconds) ─┐
    all that is held, hour by hour, again and again ──────┼─► certificates, open gaps
                         minutes that differ ─► asked ────┘

It has a connection and a thread of its own and takes `audit_share` of a connection's time, so that
nothing that is written live waits for it. What it has to know stands in the database, so it goes on
after a restart where it was; the walk begins with the newest hour, where a crash leaves its traces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from contracts.market import Gap
from ingest import investigation, metrics
from ingest.batch import Batch
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.candle_repair import STREAM
from ingest.intervals import following
from ingest.investigation import A_ROUND, BEGINNING, Investigator
from ingest.judging import CAUSE, SETTLED, Judge, held_ids, is_contiguous
from ingest.ledger import Ledger
from ingest.polling import Market
from ingest.settings import IngestSettings
from ingest.span import Grid, Span, from_ms, in_ms
from ingest.spare import Spare
from ingest.store import Store
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

LOOK_S = 5.0  # between two looks for candles that closed
COUNT_S: Final = 30.0
FAILED_S: Final = 30.0
FRESH: Final = timedelta(minutes=15)  # older minutes are found by the walk
MINUTES_A_LOOK: Final = 5000
CANDLES_BACK: Final = timedelta(days=7)  # how far back holes between candles are looked for
LAG: Final = 3 * SETTLED  # the walk ends before what may be on its way
HOUR: Final = timedelta(hours=1)


class Audit:
    """Of one venue's watched symbols."""

    def __init__(
        self, settings: IngestSettings, client: Client, market: Market, spare: Spare
    ) -> None:
        self._settings = settings
        self._watched = market.watched
        self._store = StoreThread(Store(settings))
        self._ledger = Ledger(self._store.store, market.venue)
        self._judge = Judge(self._ledger)
        self._investigator = Investigator(client, market, self._store, self._judge, spare)
        self._place = BEGINNING

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._for_ever(self._count, COUNT_S))
                tasks.create_task(self._for_ever(self._walk, LOOK_S))
                if "1m" in self._settings.kline_intervals:
                    tasks.create_task(self._for_ever(self._certify, LOOK_S))
                    tasks.create_task(
                        self._for_ever(self._investigator.round, investigation.LOOK_S)
                    )
                else:
                    log.warning("nothing is certified: TIDEMARK_KLINE_INTERVALS lacks 1m")
        finally:
            self._store.close()

    async def _for_ever(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        """Again and again; whatever goes wrong in it, what is collected goes on."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("the audit fails, and is tried again", part=work.__qualname__)
                await asyncio.sleep(FAILED_S)
            await asyncio.sleep(pause_s)

    async def _certify(self) -> None:
        """Minutes that closed, then some of those whose trades were incomplete."""
        symbols, since = self._watched.symbols, utc_now() - FRESH
        fresh = await self._call(
            partial(self._ledger.fresh_minutes, symbols, since, MINUTES_A_LOOK)
        )
        await self._call(partial(self._judge.judge, fresh))
        again = await self._call(
            partial(self._ledger.unsettled_minutes, "incomplete", self._place, A_ROUND)
        )
        last = again[-1] if len(again) == A_ROUND else None
        self._place = BEGINNING if last is None else (last.open_time, last.symbol)
        await self._call(partial(self._judge.judge, again))

    async def _walk(self) -> None:
        """All that is held, in small pieces with rests between them."""
        clock = asyncio.get_running_loop().time
        for work in self._pieces(await self._call(self._ledger.trade_days)):
            started = clock()
            await self._call(work)
            await asyncio.sleep((clock() - started) * (1 / self._settings.audit_share - 1))
        metrics.AUDITED.set_to_current_time()

    def _pieces(self, days: Sequence[date]) -> Iterator[Callable[[], None]]:
        """Candles first, then trades, the newest hours first."""
        symbols = tuple(self._watched)  # they change while the walk goes on
        for interval in self._settings.kline_intervals:
            for symbol in symbols:
                yield partial(self._look_at_candles, symbol, interval)
        settled = (utc_now() - LAG).replace(second=0, microsecond=0)  # whole minutes
        for since, until in hours(days, settled):
            for symbol in symbols:
                yield partial(self._look_at_trades, symbol, since, until)

    def _look_at_trades(self, symbol: str, since: datetime, until: datetime) -> None:
        """Judge the minutes of an hour again, and find holes in it and before it."""
        minutes = self._ledger.minutes(symbol, since, until)
        held = held_ids(minutes)
        if not held:
            return  # a hole shows at the next trade
        before = self._ledger.around(symbol, since, until).before
        if is_contiguous(minutes):
            self._judge.record_filled(symbol, since, until, held)
        if not (is_contiguous(minutes) and before in {None, held.start - 1}):
            self._judge.record_holes(symbol, since, until)
        self._judge.judge(minutes)

    def _look_at_candles(self, symbol: str, interval: str) -> None:
        """Open gaps for candles that are missing and stand in no row."""
        ledger, stream = self._ledger, f"{STREAM}{interval}"
        rows: list[Gap] = []
        for first, last in ledger.missing_candles(symbol, interval, utc_now() - CANDLES_BACK):
            known = ledger.gaps_among(symbol, stream, in_ms(first), in_ms(last))
            rows += [
                candle_gap(ledger.venue, symbol, interval, run)
                for run in unrecorded_candles(interval, (first, last), known)
            ]
        if rows:
            ledger.write(Batch(gaps=rows))

    async def _count(self) -> None:
        counts = await self._call(self._ledger.open_counts)
        for gauge, what in ((metrics.OPEN_GAPS, "gaps"), (metrics.UNSETTLED, "minutes")):
            gauge.clear()
            for kind, label, count in counts:
                if kind == what:
                    gauge.labels(label).set(count)

    async def _call(self, work: Callable[[], Value]) -> Value:
        return await self._store.call(work)


def hours(days: Sequence[date], end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The hours of these days up to `end`, where the last one is cut, each day's newest first."""
    for day in days:
        midnight = datetime.combine(day, time(), UTC)
        for number in reversed(range(24)):
            since = midnight + number * HOUR
            if since < end:
                yield since, min(since + HOUR, end)


def unrecorded_candles(
    interval: str, hole: tuple[datetime, datetime], known: Sequence[Gap]
) -> list[Span]:
    """The runs of open times of a hole, first to last missing, that stand in no gap."""
    first, last = map(in_ms, hole)
    grid = Grid(interval, first)
    span = Span(first, following(interval, last))
    told = [
        open_time
        for open_time in grid.times(span)
        if any(gap.first_missing <= open_time <= gap.last_missing for gap in known)
    ]
    return grid.missing(span, told)


def candle_gap(venue: str, symbol: str, interval: str, run: Span) -> Gap:
    """A row of `gaps` for candles that are not in the database, as of now."""
    stream, now = f"{STREAM}{interval}", utc_now()
    metrics.GAPS.labels(stream, "open").inc()
    times = list(Grid(interval, run.start).times(run))
    return Gap(
        venue=venue,
        symbol=symbol,
        stream=stream,
        first_missing=times[0],
        last_missing=times[-1],
        state="open",
        cause=CAUSE,
        detail=f"{len(times)} candles from {from_ms(run.start):%Y-%m-%d %H:%M:%S} on",
        detected_at=now,
        as_of=now,
    )
