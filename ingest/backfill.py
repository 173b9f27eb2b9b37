"""Candles of the past, page by page, into PostgreSQL: resumable, idempotent, within the budget.

Several pages are on their way at once and are consumed in order. Pages that arrived are copied in
one transaction with how far that brought the backfill, so a killed one goes on after the last page
that is really stored. While a thread copies, the next pages are fetched and read.

A candle that a page leaves out is asked for once more by its own range. What the exchange does not
have then either is a row in `gaps`, exchange-confirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from contracts.market import Gap, Kline, Rejected
from ingest.batch import BackfillProgress, Batch
from ingest.binance import endpoints, messages
from ingest.binance.client import Client, Times
from ingest.binance.exchange_info import ExchangeInfo, exchange_info
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.catalogue import TRADING, Catalogue
from ingest.errors import BadAnswer, Banned
from ingest.exchange import Exchange
from ingest.settings import IngestSettings
from ingest.span import Grid, Span, from_ms, in_ms
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

Value = TypeVar("Value")
Progress = Callable[[str, int, int], None]
"""symbol, candles done, candles in all."""

PAGES_A_TRANSACTION = 8


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill of one symbol did. `gaps`: first and last open time of what is missing."""

    symbol: str
    interval: str
    start: datetime
    end: datetime
    received: int
    stored: int
    quarantined: int
    gaps: list[tuple[datetime, datetime]]
    seconds: float


class _Task(msgspec.Struct, frozen=True):
    """What is loaded: the closed candles of a symbol whose open times lie in `span`."""

    symbol: str
    interval: str
    grid: Grid
    span: Span


class _Page(msgspec.Struct):
    """The candles of one piece of a span, what could not be read, and what is missing."""

    span: Span
    klines: list[Kline]
    rejected: list[Rejected]
    missing: list[Span]


class Backfill:
    """Backfills of one interval from one exchange."""

    def __init__(
        self, settings: IngestSettings, exchange: Exchange, client: Client, store: StoreThread
    ) -> None:
        self._venue = exchange.venue
        self._client = client
        self._store = store
        self._in_flight = settings.backfill_pages_in_flight
        self._status: dict[str, str] = {}

    async def prepare(self, symbols: Sequence[str]) -> None:
        """Read exchangeInfo: the weight limit, the clock, and whether the symbols exist."""

        def read(body: bytes, _: object) -> ExchangeInfo:
            return exchange_info(body, self._venue)

        request = endpoints.exchange_info()
        answer = await self._patiently(lambda: self._client.fetch(request, read))
        info = answer.value
        self._client.set_clock(info.server_time, answer.times.received)
        if info.weight_limit is not None:
            self._client.budget.limit = info.weight_limit
        self._status = {one.symbol: one.status for one in info.instruments}
        Catalogue(self._venue, info.instruments).require(symbols)
        batch = Batch(instruments=info.instruments, rejected=info.rejected)
        await self._store.call(lambda: self._store.store.write(batch))

    async def run(self, symbol: str, interval: str, span: Span, progress: Progress) -> Outcome:
        """Load what of `span` exists and is closed; call `progress` after each transaction."""
        clock = asyncio.get_running_loop().time
        started = clock()
        task = await self._task(symbol, interval, span)
        grid, span = task.grid, task.span
        rest = await self._not_done(task)
        total, done = grid.count(span), grid.count(Span(span.start, rest.start))
        progress(symbol, done, total)
        received = stored = quarantined = 0
        async with contextlib.aclosing(self._arriving(task, rest)) as arriving:
            async for pages in arriving:
                stored += await self._store.call(partial(self._keep, task, pages))
                received += sum(len(page.klines) for page in pages)
                quarantined += sum(len(page.rejected) for page in pages)
                done += sum(grid.count(page.span) for page in pages)
                progress(symbol, done, total)
        return Outcome(
            symbol=symbol,
            interval=interval,
            start=from_ms(span.start),
            end=from_ms(span.end),
            received=received,
            stored=stored,
            quarantined=quarantined,
            gaps=await self._gaps(task),
            seconds=clock() - started,
        )

    # What there is

    async def _task(self, symbol: str, interval: str, span: Span) -> _Task:
        """The part of `span` in which there can be closed candles, and their grid.

        It begins with the symbol's first candle, and ends with its last one where it is not
        traded any more.
        """
        everything = Span(0, span.end)
        first = await self._fetch(symbol, interval, everything, limit=1)
        if first.rejected:
            raise BadAnswer("klines", f"the first candle of {symbol}: {first.rejected[0].reason}")
        if not first.klines:
            return _Task(symbol, interval, Grid(interval, span.end), Span(span.end, span.end))
        grid = Grid(interval, in_ms(first.klines[0].open_time))
        end = min(span.end, in_ms(self._client.now()))
        if self._status[symbol] != TRADING:
            last = await self._ask(symbol, interval, endpoints.klines(symbol, interval, limit=1))
            end = min([end, *(grid.after(in_ms(one.open_time)) for one in last.rows)])
        begin = grid.at_or_after(span.start)
        return _Task(symbol, interval, grid, Span(begin, max(grid.closed_before(end), begin)))

    async def _not_done(self, task: _Task) -> Span:
        """What earlier runs have not stored yet."""
        start = from_ms(task.span.start)
        done_until = await self._store.call(
            lambda: self._store.store.backfill_progress(
                self._venue, task.symbol, task.interval, start
            )
        )
        next_ms = in_ms(done_until or start)
        return Span(min(max(task.span.start, next_ms), task.span.end), task.span.end)

    async def _gaps(self, task: _Task) -> list[tuple[datetime, datetime]]:
        """Holes among all that the database holds of the span."""
        start, end = from_ms(task.span.start), from_ms(task.span.end)
        return await self._store.call(
            lambda: self._store.store.missing_klines(
                self._venue, task.symbol, task.interval, start, end
            )
        )

    # Fetching

    async def _arriving(self, task: _Task, span: Span) -> AsyncGenerator[list[_Page], None]:
        """The pages of a span in order, several at once where several have arrived."""
        spans = task.grid.pages(span, endpoints.PAGE)
        waiting: deque[asyncio.Task[_Page]] = deque()

        def send() -> None:
            for piece in itertools.islice(spans, self._in_flight - len(waiting)):
                waiting.append(asyncio.create_task(self._page(task, piece)))

        try:
            send()
            while waiting:
                ready = [await waiting[0]]
                waiting.popleft()
                send()
                while waiting and waiting[0].done() and len(ready) < PAGES_A_TRANSACTION:
                    ready.append(waiting.popleft().result())
                    send()
                yield ready
        finally:
            for unwanted in waiting:
                unwanted.cancel()

    async def _page(self, task: _Task, span: Span) -> _Page:
        """One page; what it leaves out is asked for once more.

        A row that cannot be read either time is set aside once, where its bytes are the same.
        """
        page = await self._fetch(task.symbol, task.interval, span)
        for hole in task.grid.missing(span, _open_times(page)):
            again = await self._fetch(task.symbol, task.interval, hole)
            page.klines += again.klines
            page.rejected += [one for one in again.rejected if one not in page.rejected]
            page.missing += task.grid.missing(hole, _open_times(again))
        return page

    async def _fetch(
        self, symbol: str, interval: str, span: Span, limit: int = endpoints.PAGE
    ) -> _Page:
        request = endpoints.klines(
            symbol, interval, limit=limit, start_ms=span.start, end_ms=span.end - 1
        )
        parsed = await self._ask(symbol, interval, request)
        return _Page(span, parsed.rows, parsed.rejected, [])

    async def _ask(self, symbol: str, interval: str, request: endpoints.Request) -> Parsed[Kline]:
        def read(body: bytes, times: Times) -> Parsed[Kline]:
            return messages.klines(body, self._venue, symbol, interval, times.server)

        return (await self._patiently(lambda: self._client.fetch(request, read))).value

    async def _patiently(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Ask; a ban is waited for to its end."""
        while True:
            try:
                return await ask()
            except Banned as error:
                log.warning("waiting for the end of a ban", reason=str(error))
                pause = error.until - utc_now()
                await asyncio.sleep(max(pause.total_seconds(), 0.0) + 0.1)

    # Storing

    def _keep(self, task: _Task, pages: Sequence[_Page]) -> int:
        """Store pages that follow each other, and the progress that they make."""
        rejected = [one for page in pages for one in page.rejected]
        gaps = [self._gap(task, page, hole) for page in pages for hole in page.missing]
        if gaps or rejected:  # before the progress says that this range is done
            self._store.store.write(Batch(gaps=gaps, rejected=rejected))
        progress = BackfillProgress(
            venue=self._venue,
            symbol=task.symbol,
            interval=task.interval,
            start_time=from_ms(task.span.start),
            end_time=from_ms(task.span.end),
            next_time=from_ms(pages[-1].span.end),
        )
        return self._store.store.copy_klines(
            [one for page in pages for one in page.klines], progress
        )

    def _gap(self, task: _Task, page: _Page, hole: Span) -> Gap:
        """A hole; not confirmed where either answer held a row that could not be read."""
        now = utc_now()
        return Gap(
            venue=self._venue,
            symbol=task.symbol,
            stream=f"klines_{task.interval}",
            first_missing=hole.start,
            last_missing=max(task.grid.times(hole)),
            state="open" if page.rejected else "exchange-confirmed",
            cause="quarantine" if page.rejected else "exchange",
            detail=f"{task.grid.count(hole)} candles from {from_ms(hole.start)} on",
            detected_at=now,
            as_of=now,
        )


def _open_times(page: _Page) -> Iterator[int]:
    return (in_ms(kline.open_time) for kline in page.klines)
