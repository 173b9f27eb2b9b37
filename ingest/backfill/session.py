"""What a backfill needs open, and its symbols side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from ingest.backfill.apply import Backfill, Outcome, Progress
from ingest.backfill.asking import Asking
from ingest.backfill.plan import Prefer, SymbolPlan, Tariff
from ingest.backfill.survey import Survey
from ingest.batch import Batch
from ingest.binance.archive import Archive
from ingest.binance.archive_files import TRADES, klines_stream
from ingest.binance.client import Client
from ingest.binance.exchange_info import ExchangeInfo
from ingest.errors import BadAnswer, BadRange, BadRequest
from ingest.exchange import choose
from ingest.settings import IngestSettings, is_loopback
from ingest.span import Span
from ingest.store import Store
from ingest.writer import StoreThread

Item = TypeVar("Item")
Value = TypeVar("Value")
Count = Callable[[int, int], None]
"""How many symbols are done, of how many."""


class BackfillSession:
    """Connections to the exchange, its archive and PostgreSQL; use as an async context manager.

    Methods raise IngestError; a symbol that fails while plans are applied is in its Outcome.
    """

    def __init__(self, settings: IngestSettings, prefer: Prefer) -> None:
        self._settings = settings
        self._prefer: Prefer = prefer
        self._open = AsyncExitStack()
        self._store = StoreThread(Store(settings))

    async def __aenter__(self) -> Self:
        self._open.callback(self._store.close)
        try:
            await self._connect()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _connect(self) -> None:
        settings = self._settings
        exchange = await choose(settings)
        if exchange.venue == "simulator" and not is_loopback(exchange.archive_url):
            raise BadRange(
                f"the exchange is simulated, and {exchange.archive_url} is not: its rows would "
                "stand among simulated ones; leave --archive-url out"
            )
        client = await self._open.enter_async_context(Client(settings, exchange, paced=True))
        self._archive = await self._open.enter_async_context(
            Archive(settings, exchange.archive_url)
        )
        self._asking = Asking(client, exchange.venue)
        self._survey = Survey(
            self._asking,
            self._store,
            self._archive,
            prefer=self._prefer,
            file_limit_mb=settings.archive_file_limit_mb,
        )
        self._info: ExchangeInfo = await self._survey.listing()

    def symbols(self, named: Sequence[str], quote_asset: str | None) -> list[str]:
        """The named symbols, or all that are quoted in an asset; UnknownSymbol, BadRange."""
        return self._survey.chosen(named, quote_asset)

    async def plan_klines(
        self, symbols: Sequence[str], interval: str, span: Span, count: Count
    ) -> list[SymbolPlan]:
        """Of each symbol, what of the candles is to be loaded, and from where."""
        return await self._side_by_side(
            lambda symbol: _planned(
                symbol, klines_stream(interval), self._survey.klines(symbol, interval, span)
            ),
            symbols,
            count,
        )

    async def plan_trades(
        self, symbols: Sequence[str], span: Span, count: Count
    ) -> list[SymbolPlan]:
        """Of each symbol, what of the trades is to be loaded, and from where."""
        return await self._side_by_side(
            lambda symbol: _planned(symbol, TRADES, self._survey.trades(symbol, span)),
            symbols,
            count,
        )

    async def apply(
        self, plans: Sequence[SymbolPlan], progress: Progress, count: Count
    ) -> list[Outcome]:
        """Carry plans out; `progress` is called after each transaction."""
        listed = self._info.instruments
        batch = Batch(instruments=listed, rejected=self._info.rejected)
        await self._store.call(lambda: self._store.store.write(batch))
        backfill = Backfill(
            self._settings,
            self._asking,
            self._archive,
            self._store,
            {one.symbol: one.quote_asset for one in listed},
        )
        return await self._side_by_side(lambda plan: backfill.run(plan, progress), plans, count)

    async def _side_by_side(
        self,
        work: Callable[[Item], Awaitable[Value]],
        items: Sequence[Item],
        count: Count,
    ) -> list[Value]:
        """The results in the order of the items; some are worked on at once."""
        turn = asyncio.Semaphore(self._settings.backfill_symbols_at_once)
        done = 0

        async def one(item: Item) -> Value:
            nonlocal done
            async with turn:
                value = await work(item)
            done += 1
            count(done, len(items))
            return value

        count(0, len(items))
        tasks = [asyncio.create_task(one(item)) for item in items]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _planned(symbol: str, stream: str, plan: Awaitable[SymbolPlan]) -> SymbolPlan:
    """The plan; of a symbol whose answers cannot be used, none, so that the others are planned."""
    try:
        return await plan
    except (BadAnswer, BadRequest) as error:
        return SymbolPlan(
            symbol=symbol,
            stream=stream,
            span=Span(0, 0),
            rows=0,
            pieces=(),
            tariff=Tariff(1, 1),
            failure=f"{symbol}: {error}",
        )
