"""What streams told since the last batch, gathered into the next one. Pure, with given times.

The same rules as for polls: rows that cannot be read go to quarantine, trades pass the
tape, closed candles never leave a hole behind them, and what is shed is left out. Of a candle and
of a price only the newest goes into a batch. Prices of watched symbols go on as they come, those of
the rest of the market as often as a poll would bring them, for they are many.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from datetime import datetime
from typing import Final

import msgspec

from contracts.market import Gap, Kline, Price, Rejected, Trade
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.allotment import kline_stream, trade_stream
from ingest.binance.limits import utc_now
from ingest.binance.stream_messages import Told
from ingest.candles import Candles
from ingest.held_trades import HeldTrades
from ingest.polling import Market
from ingest.repair import trade_gap
from ingest.shedding import CAUSE, Shedding

BYTES_A_ROW: Final = 200  # of an event, roughly
REJECTED_A_BATCH: Final = 20  # more than that are counted only: a broken stream says the same often


class Gathered(msgspec.Struct, frozen=True):
    """A batch, its size in bytes, and streams of which something is missing that polls have."""

    batch: Batch
    size: int
    missed: set[str]


class LastPrices:
    """The newest price of each symbol, and which of them are due."""

    def __init__(self, watched: Container[str], every_s: float) -> None:
        """Those that are not `watched` go on each `every_s` at most."""
        self._watched = watched
        self._every_s = every_s
        self._newest: dict[str, Price] = {}
        self._due_s: dict[str, float] = {}

    def take(self, price: Price) -> None:
        """Remember a price, unless a newer one waits."""
        waiting = self._newest.get(price.symbol)
        if waiting is None or waiting.observed_at <= price.observed_at:
            self._newest[price.symbol] = price

    def release(self, now_s: float) -> list[Price]:
        """Those that are due; the others wait, and the newest of each stays."""
        due = [
            price for symbol, price in self._newest.items() if self._due_s.get(symbol, 0) <= now_s
        ]
        for price in due:
            del self._newest[price.symbol]
            if price.symbol not in self._watched:
                self._due_s[price.symbol] = now_s + self._every_s
        return due

    def clear(self) -> int:
        """Forget what waits; how much that was."""
        count = len(self._newest)
        self._newest.clear()
        return count


class LastCandles:
    """The last word on each candle; a closed one that leaves a hole behind it is left to a poll."""

    def __init__(self, candles: Candles) -> None:
        self._candles = candles
        self._newest: dict[tuple[str, str, datetime], Kline] = {}

    def take(self, kline: Kline) -> None:
        """Remember a candle; nothing comes after it was closed."""
        key = (kline.symbol, kline.interval, kline.open_time)
        waiting = self._newest.get(key)
        if waiting is None or (waiting.is_closed, waiting.as_of) <= (kline.is_closed, kline.as_of):
            self._newest[key] = kline

    def release(self, missed: set[str]) -> list[Kline]:
        """All that wait, by their times; `missed` gets the streams that left a hole."""
        kept = []
        for key in sorted(self._newest):
            kline = self._newest[key]
            follows = self._candles.follows(kline)
            if not follows:
                missed.add(kline_stream(kline.symbol, kline.interval))
            if follows or not kline.is_closed:
                self._candles.take([kline])
                kept.append(kline)
        self._newest.clear()
        return kept


class Inflow:
    """Rows of the streams until they are written together."""

    def __init__(
        self, market: Market, shedding: Shedding, watched: Collection[str], prices_every_s: float
    ) -> None:
        self._market = market
        self._shedding = shedding
        self._trades = HeldTrades(market.tape)
        self._candles = LastCandles(market.candles)
        self._watched = watched
        self._prices = LastPrices(watched, prices_every_s)
        self._rejected: list[Rejected] = []
        self.stale = False  # a symbol was named that exchangeInfo did not list

    def take(self, told: Told) -> None:
        """Keep what an event said; never waits."""
        dropped = sum(not self._trades.take(trade) for trade in told.trades)
        for kline in told.klines:
            self._candles.take(kline)
        self._market.valuation.learn(told.prices)
        for price in told.prices:
            self.stale |= price.symbol not in self._market.catalogue
            if self._market.catalogue.is_trading(price.symbol):
                self._prices.take(price)
        room = REJECTED_A_BATCH - len(self._rejected)
        self._rejected += told.rejected[:room]
        metrics.STREAM_DROPPED.labels("trades").inc(dropped)
        metrics.STREAM_DROPPED.labels("rejected").inc(max(len(told.rejected) - room, 0))

    def gather(self, now_s: float) -> Gathered:
        """The next batch: what waits and may go on."""
        missed: set[str] = set()
        self._leave_out()
        trades: list[Trade] = []
        gaps: list[Gap] = []
        for run in self._trades.release(now_s):
            gaps += self._gaps(run.symbol, run.trades, run.holes)
            self._market.tape.take(run.symbol, run.trades)
            quote_asset = self._market.catalogue.quote_asset(run.symbol)
            trades += self._market.valuation.price(run.trades, quote_asset)
        missed |= {trade_stream(symbol) for symbol in self._trades.waiting()}
        rejected, self._rejected = self._rejected, []
        batch = Batch(
            trades=trades,
            klines=self._candles.release(missed),
            prices=self._prices.release(now_s),
            watched=frozenset(self._watched),
            gaps=gaps,
            rejected=rejected,
        )
        rows = len(batch.trades) + len(batch.klines) + len(batch.prices) + len(batch.gaps)
        size = BYTES_A_ROW * rows + sum(len(one.raw) for one in rejected)
        return Gathered(batch, size, missed)

    def _leave_out(self) -> None:
        """Drop what is shed; polls that are left out keep the record of it."""
        if self._shedding.sheds_stream("trades"):
            metrics.SHED_ROWS.labels("trades").inc(self._trades.clear())
        if self._shedding.sheds_stream("prices"):
            metrics.SHED_ROWS.labels("prices").inc(self._prices.clear())

    def _gaps(self, symbol: str, fresh: list[Trade], holes: list[range]) -> list[Gap]:
        """Rows for holes that no poll has filled; they are read back with patience."""
        cause = CAUSE if self._shedding.cause(symbol) == CAUSE else "disconnect"
        detail = "missing in the stream, and not polled in time"
        venue = self._market.venue
        gaps = [trade_gap(venue, symbol, hole, "open", cause, detail) for hole in holes]
        return [*gaps, *self._shedding.trades_again(symbol, fresh, gaps, utc_now())]
