"""Questions of a backfill to the exchange. A ban is waited for to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import structlog

from contracts.market import Kline, Trade
from ingest.aggregates import Aggregate
from ingest.binance import endpoints, messages
from ingest.binance.aggregate_messages import aggregates
from ingest.binance.client import Client, Times
from ingest.binance.exchange_info import ExchangeInfo, exchange_info
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.errors import BadAnswer, Banned
from ingest.span import Span

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

_FEW = 10  # rows of an answer, where the first or the last one is wanted


class Asking:
    """The endpoints that a backfill needs, on one venue."""

    def __init__(self, client: Client, venue: str) -> None:
        self.venue = venue
        self._client = client

    def now(self) -> datetime:
        """The time on the exchange."""
        return self._client.now()

    @property
    def weight_a_s(self) -> float:
        """Weight that may be spent a second, if nobody else spends any."""
        return self._client.budget.allowance / 60

    async def exchange_info(self) -> ExchangeInfo:
        """The instruments; the weight limit and the clock are learned from it."""

        def read(body: bytes, _: object) -> ExchangeInfo:
            return exchange_info(body, self.venue)

        request = endpoints.exchange_info()
        answer = await self._patiently(lambda: self._client.fetch(request, read))
        info = answer.value
        self._client.set_clock(info.server_time, answer.times.received)
        if info.weight_limit is not None:
            self._client.budget.limit = info.weight_limit
        return info

    async def klines(
        self, symbol: str, interval: str, span: Span | None = None, limit: int = endpoints.PAGE
    ) -> Parsed[Kline]:
        """Candles that open in a span, oldest first; the newest without one."""

        def read(body: bytes, times: Times) -> Parsed[Kline]:
            return messages.klines(body, self.venue, symbol, interval, times.server)

        bounds = {} if span is None else {"start_ms": span.start, "end_ms": span.end - 1}
        request = endpoints.klines(symbol, interval, limit=limit, **bounds)
        return (await self._patiently(lambda: self._client.fetch(request, read))).value

    async def trades(self, symbol: str, ids: range) -> Parsed[Trade]:
        """The trades of at most PAGE ids, as far as the exchange has them."""
        found = await self._historical(symbol, ids.start, len(ids))
        return Parsed([trade for trade in found.rows if trade.trade_id in ids], found.rejected)

    async def next_trade(self, symbol: str, from_id: int) -> Trade | None:
        """The first trade of this id or a later one; None where there is none yet."""
        found = await self._historical(symbol, from_id, 1)
        return found.rows[0] if found.rows else None

    async def _historical(self, symbol: str, from_id: int, limit: int) -> Parsed[Trade]:
        def read(body: bytes, _: object) -> Parsed[Trade]:
            return messages.trades(body, self.venue, symbol, "historicalTrades")

        request = endpoints.historical_trades(symbol, from_id, limit)
        return (await self._patiently(lambda: self._client.fetch(request, read))).value

    async def first_id(self, symbol: str, at_ms: int) -> int:
        """The id of the first trade at or after a time; of the next one where there is none yet."""
        for limit in (_FEW, endpoints.PAGE):  # the first ones may all stand for no trade
            found = await self._whole(
                endpoints.aggregate_trades(symbol, start_ms=at_ms, limit=limit)
            )
            if found:
                return found[0].first_id
        newest = await self._whole(endpoints.aggregate_trades(symbol, limit=_FEW))
        return max((each.last_id for each in newest), default=-1) + 1

    async def aggregates(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None
    ) -> Parsed[Aggregate]:
        """A page of aggregates, from an id of theirs or a time on."""
        request = endpoints.aggregate_trades(symbol, from_id=from_id, start_ms=start_ms)
        return await self._aggregates(request)

    async def _whole(self, request: endpoints.Request) -> list[Aggregate]:
        """Aggregates of which each could be read; BadAnswer."""
        found = await self._aggregates(request)
        if found.rejected:
            raise BadAnswer("aggTrades", found.rejected[0].reason, found.rejected[0])
        return found.rows

    async def _aggregates(self, request: endpoints.Request) -> Parsed[Aggregate]:
        def read(body: bytes, _: object) -> Parsed[Aggregate]:
            return aggregates(body, self.venue)

        return (await self._patiently(lambda: self._client.fetch(request, read))).value

    async def _patiently(self, ask: Callable[[], Awaitable[Value]]) -> Value:
        while True:
            try:
                return await ask()
            except Banned as error:
                log.warning("waiting for the end of a ban", reason=str(error))
                pause = error.until - utc_now()
                await asyncio.sleep(max(pause.total_seconds(), 0.0) + 0.1)
