"""One poll: ask an endpoint, and make of its answer a batch for the store.

What a poll must remember between two answers (trade ids, candles, listings, dollar prices) is in
`Market`; everything here is glue between the client, those pure parts and `Batch`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal

import msgspec

from contracts.market import Depth, Gap, Kline, Price, Ticker24h
from ingest import metrics
from ingest.batch import Batch, MoversPoll
from ingest.binance import endpoints, messages
from ingest.binance.client import Client, Times
from ingest.binance.exchange_info import ExchangeInfo, exchange_info
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.binance.tickers import tickers
from ingest.candles import Candles
from ingest.catalogue import Catalogue
from ingest.repair import TapeRepair
from ingest.schedule import Poll
from ingest.selection import Watchlist
from ingest.settings import IngestSettings
from ingest.shedding import Shedding
from ingest.tape import Tape
from ingest.valuation import Valuation


class Market(msgspec.Struct, frozen=True):
    """What is known of a venue's market between two polls."""

    venue: str
    catalogue: Catalogue
    tape: Tape
    candles: Candles
    valuation: Valuation
    watched: Watchlist = msgspec.field(default_factory=Watchlist)
    traded: dict[str, Decimal] = {}  # symbol → turnover of 24 hours in its quote asset
    signs: dict[str, datetime] = {}  # symbol → when it last was in the statistics of what is traded

    def turnover(self) -> dict[str, Decimal]:
        """Symbol → turnover of the last 24 hours in dollars, 0 where nobody can say."""
        usd, quote_asset = self.valuation.usd, self.catalogue.quote_asset
        return {symbol: amount * usd(quote_asset(symbol)) for symbol, amount in self.traded.items()}

    def last_sign(self, symbol: str) -> datetime | None:
        """When a symbol was last known to be traded; None where nobody knows."""
        signs = (self.signs.get(symbol), self.tape.last_at(symbol))
        return max((each for each in signs if each is not None), default=None)


class Fetched(msgspec.Struct, frozen=True):
    """A batch to be written, and the bytes of the answer that it came from."""

    batch: Batch
    size: int


class Poller:
    """Carries out polls."""

    def __init__(
        self, settings: IngestSettings, client: Client, market: Market, shedding: Shedding
    ) -> None:
        self._settings = settings
        self._client = client
        self._market = market
        self._shedding = shedding
        self._venue = market.venue
        self._repair = TapeRepair(client, market.venue, settings.trade_repair_limit)
        self._polls: dict[str, Callable[[Poll], Awaitable[Fetched]]] = {
            "exchangeInfo": self._exchange_info,
            "ticker/price": self._prices,
            "ticker/24hr": self._tickers,
            "depth": self._depth,
            "trades": self._trades,
            "klines": self._klines,
        }
        self.stale = False  # an answer shows that exchangeInfo is out of date
        self.informed = False  # exchangeInfo was read since somebody set this back
        self._ranked: set[str] | None = None  # symbols in the last 24 h statistics
        self._tolerated: set[str] = set()  # of which they and exchangeInfo say different things

    def wants(self, poll: Poll) -> bool:
        """Whether the poll makes sense now: a symbol that is halted or gone is left alone."""
        return not poll.symbol or self._market.catalogue.is_trading(poll.symbol)

    async def poll(self, poll: Poll) -> Fetched:
        """Ask, read and remember; raises ExchangeError where there is nothing to store."""
        return await self._polls[poll.endpoint](poll)

    async def _exchange_info(self, _: Poll) -> Fetched:
        def read(body: bytes, _: Times) -> ExchangeInfo:
            return exchange_info(body, self._venue)

        self.stale = False  # what shows up from now on may be newer than the answer
        doubted = self._doubted()
        answer = await self._client.fetch(endpoints.exchange_info(), read)
        info = answer.value
        self._client.set_clock(info.server_time, answer.times.received)
        changes = self._market.catalogue.learn(info, self._market.last_sign)
        if info.weight_limit is not None:
            self._client.budget.limit = info.weight_limit
        metrics.WEIGHT_LIMIT.set(self._client.budget.limit)
        watched = self._market.watched
        metrics.POLLED_SYMBOLS.set(sum(map(self._market.catalogue.is_trading, watched)))
        self.informed = True
        self._tolerated = doubted & self._doubted()  # asked after they were doubted
        self._market.tape.doubt(changes.anew)
        batch = Batch(
            instruments=changes.instruments,
            listings=changes.listings,
            events=changes.events,
            rejected=info.rejected,
        )
        return Fetched(batch, answer.size)

    async def _prices(self, _: Poll) -> Fetched:
        def read(body: bytes, times: Times) -> Parsed[Price]:
            return messages.prices(body, self._venue, whole_ms(times.received))

        answer = await self._client.fetch(endpoints.prices(), read)
        rows = answer.value.rows
        self._market.valuation.learn(rows)
        self.stale = self.stale or any(row.symbol not in self._market.catalogue for row in rows)
        watched = frozenset(self._market.watched)
        batch = Batch(prices=rows, watched=watched, rejected=answer.value.rejected)
        return Fetched(batch, answer.size)

    async def _tickers(self, _: Poll) -> Fetched:
        answer = await self._client.fetch(
            endpoints.ticker_24h(), lambda body, _: tickers(body, self._venue)
        )
        self._remember(answer.value)
        settings = self._settings
        movers = MoversPoll(
            venue=self._venue,
            snapshot_at=whole_ms(answer.times.received),
            quote_assets=settings.movers_quotes,
            ranks=settings.movers_ranks,
            min_quote_volume=settings.movers_min_quote_volume,
        )
        batch = Batch(
            tickers=answer.value.rows,
            watched=frozenset(self._market.watched),
            movers=movers,
            rejected=answer.value.rejected,
        )
        return Fetched(batch, answer.size)

    def _remember(self, answer: Parsed[Ticker24h]) -> None:
        """Keep turnovers and signs of life, and hold against exchangeInfo who is in the answer."""
        market = self._market
        market.traded.clear()
        market.traded.update((row.symbol, row.quote_volume) for row in answer.rows)
        for row in answer.rows:
            if market.catalogue.is_trading(row.symbol):  # else it may be another asset by now
                market.signs[row.symbol] = row.as_of
        if not answer.rejected:  # a symbol whose row is broken is not gone
            self._ranked = set(market.traded)
            self.stale |= not self._doubted() <= self._tolerated

    def _doubted(self) -> set[str]:
        """Symbols that exchangeInfo calls TRADING and the statistics do not have, or contrariwise.

        Each is listed, halted, resumed or gone since exchangeInfo was read, or is one of which the
        exchange always says both: those are tolerated from the next exchangeInfo on.
        """
        catalogue = self._market.catalogue
        if self._ranked is None:
            return set()
        return self._ranked ^ set(filter(catalogue.is_trading, catalogue.listed()))

    async def _depth(self, poll: Poll) -> Fetched:
        def read(body: bytes, times: Times) -> Parsed[Depth]:
            return messages.depth(body, self._venue, poll.symbol, whole_ms(times.received))

        request = endpoints.depth(poll.symbol, self._settings.depth_limit)
        answer = await self._client.fetch(request, read)
        return Fetched(Batch(depth=answer.value.rows, rejected=answer.value.rejected), answer.size)

    async def _klines(self, poll: Poll) -> Fetched:
        def read(body: bytes, times: Times) -> Parsed[Kline]:
            return messages.klines(body, self._venue, poll.symbol, poll.interval, times.server)

        request = self._market.candles.request(poll.symbol, poll.interval, self._client.now())
        answer = await self._client.fetch(request, read)
        self._market.candles.take(answer.value.rows)
        return Fetched(Batch(klines=answer.value.rows, rejected=answer.value.rejected), answer.size)

    async def _trades(self, poll: Poll) -> Fetched:
        symbol, tape = poll.symbol, self._market.tape
        request = endpoints.trades(symbol, self._settings.trades_limit)
        answer = await self._client.fetch(
            request, lambda body, _: messages.trades(body, self._venue, symbol)
        )
        rejected = list(answer.value.rejected)
        fresh = tape.fresh(symbol, answer.value.rows)
        gaps: list[Gap] = []
        if holes := tape.holes(symbol, fresh):
            cause = self._shedding.cause(symbol)
            refilled = await self._repair.refill(symbol, holes, cause)
            fresh = tape.fresh(symbol, [*fresh, *refilled.trades])
            gaps = refilled.gaps
            rejected += refilled.rejected
        gaps = [*gaps, *self._shedding.trades_again(symbol, fresh, gaps, utc_now())]
        tape.take(symbol, fresh)
        priced = self._market.valuation.price(fresh, self._market.catalogue.quote_asset(symbol))
        share = len(fresh) / max(len(answer.value.rows), 1)  # of the answer that is kept
        batch = Batch(trades=priced, gaps=gaps, rejected=rejected)
        return Fetched(batch, int(answer.size * share))


def whole_ms(moment: datetime) -> datetime:
    """Floored to the millisecond, as every time in a key is."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
