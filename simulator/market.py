"""The market at a time: what has happened until `now_us`, and nothing that has not.

Everything behind it is a pure function of (seed, trades per second), so two processes with the same
settings say exactly the same, and a restart loses nothing. Here are only caches, with limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator import candles, fills, trades
from simulator.candles import DAY, Candles
from simulator.catalogue import DEFAULT_TRADES_PER_SECOND, Listing, catalogue
from simulator.trades import MINUTE_US, Trades

_CACHED_DAYS = 256  # of minute candles, about 110 KB each
_CACHED_CHUNKS = 2000  # of trades, mostly below 100 KB
_CHUNK_TRADES = 2000  # aimed at
_FAR_CHUNKS = 8  # a wider range is drawn at once instead of chunk by chunk


@dataclass(frozen=True, slots=True)
class Last:
    """The latest trade at a time."""

    trade_id: int
    at_us: int
    price: int
    lots: int
    taker_buys: bool


class Market:
    """Answers about the past, by symbol and time. Safe to ask from several threads."""

    def __init__(self, seed: int, trades_per_second: float = DEFAULT_TRADES_PER_SECOND) -> None:
        self.seed = seed
        self.trades_per_second = trades_per_second
        self.listings = dict(catalogue(seed, trades_per_second))
        self.gone: dict[str, Listing] = {}  # by order of a test, see simulator.listings
        self._day = lru_cache(maxsize=_CACHED_DAYS)(self._draw_day)
        self._whole_day = lru_cache(maxsize=1_000_000)(self._merge_day)
        self._chunk = lru_cache(maxsize=_CACHED_CHUNKS)(self._draw_chunk)
        self._trade = lru_cache(maxsize=_CACHED_CHUNKS)(self._draw_trade)

    def listed(self, now_us: int) -> list[Listing]:
        """The symbols that the exchange has or had by now, each of which has traded."""
        minute = now_us // MINUTE_US
        return [listing for listing in self.listings.values() if listing.listed < minute]

    def listing(self, symbol: str, now_us: int) -> Listing | None:
        """The symbol, if it is listed by now."""
        found = self.listings.get(symbol)
        return found if found and found.listed < now_us // MINUTE_US else None

    # trades

    def trade_count(self, listing: Listing, now_us: int) -> int:
        """Trades so far, so the id of the next one."""
        at_us = min(now_us, listing.closed * MINUTE_US - 1)
        before, chunk = self._chunk(listing, self._chunk_at(listing, at_us))
        if chunk is None:
            return before
        return before + int(chunk.at_us.searchsorted(at_us, side="right"))

    def last(self, listing: Listing, now_us: int) -> Last:
        """The latest trade; LookupError in the first moments of a listing."""
        at_us = min(now_us, listing.closed * MINUTE_US - 1)
        before, chunk = self._chunk(listing, self._chunk_at(listing, at_us))
        row = -1 if chunk is None else int(chunk.at_us.searchsorted(at_us, side="right")) - 1
        if chunk is not None and row >= 0:
            return _row(chunk, row)
        if before == 0:
            raise LookupError(f"{listing.symbol} has not traded yet")
        return self._trade(listing, before - 1)

    def trades(self, listing: Listing, first_id: int, end_id: int) -> Trades | None:
        """Trades first_id … end_id − 1, which must have happened; None for an empty range."""
        if first_id >= end_id:
            return None
        first, last = (
            int(minute) for minute in fills.minute_of(listing, np.array([first_id, end_id - 1]))
        )
        width = self._width(listing)
        chunks = range(first // width, last // width + 1)
        if len(chunks) > _FAR_CHUNKS:
            found = [trades.trades_between(self.seed, listing, first, last + 1)]
        else:
            found = [self._chunk(listing, index)[1] for index in chunks]
        run = trades.joined([part for part in found if part is not None])
        return run.part(first_id - run.first_id, end_id - run.first_id)

    def newest(self, listing: Listing, first_id: int, now_us: int) -> Trades | None:
        """Trades from first_id until now; cheap while they are as new as questions usually are."""
        at_us = min(now_us, listing.closed * MINUTE_US - 1)
        before, chunk = self._chunk(listing, self._chunk_at(listing, at_us))
        if chunk is None or first_id < before:
            return self.trades(listing, first_id, self.trade_count(listing, now_us))
        end = int(chunk.at_us.searchsorted(at_us, side="right"))
        return chunk.part(first_id - before, end) if first_id - before < end else None

    def first_id_at(self, listing: Listing, at_us: int) -> int:
        """Id of the first trade at or after a time."""
        return self.trade_count(listing, at_us - 1)

    # candles

    def minutes(self, listing: Listing, start: int, end: int, now_us: int) -> Candles:
        """Minute candles start … end − 1; the current minute as it is so far."""
        current = now_us // MINUTE_US
        if end <= current:
            return self._days(listing, start, end)
        parts = [self._days(listing, start, current)] if start < current else []
        return candles.joined([*parts, self.forming(listing, now_us)])

    def daily(self, listing: Listing, day: int) -> Candles:
        """One candle of a whole day that is over."""
        return self._whole_day(listing, day)

    def forming(self, listing: Listing, now_us: int) -> Candles:
        """The candle of the current minute from its trades so far."""
        minute = now_us // MINUTE_US
        # a minute lies within one chunk
        before, chunk = self._chunk(listing, self._chunk_at(listing, now_us))
        start = end = 0
        if chunk is not None:
            start = int(chunk.at_us.searchsorted(minute * MINUTE_US))
            end = int(chunk.at_us.searchsorted(now_us, side="right"))
        if chunk is not None and start < end:
            return trades.summed(chunk.part(start, end), np.array([0]))
        price = self.price_before(listing, minute)
        return candles.flat(price, np.array([before + start]))

    def price_before(self, listing: Listing, minute: int) -> int:
        """Ticks of the last trade before a minute, the first price of all where there was none."""
        day = self._day(listing, (minute - 1) // DAY)
        return int(day.close[(minute - 1) % DAY])

    def _days(self, listing: Listing, start: int, end: int) -> Candles:
        parts = []
        for day in range(start // DAY, (end - 1) // DAY + 1):
            block = self._day(listing, day)
            parts.append(block.part(max(start - day * DAY, 0), min(end - day * DAY, DAY)))
        return candles.joined(parts)

    # drawing

    def _draw_day(self, listing: Listing, day: int) -> Candles:
        return candles.minute_candles(self.seed, listing, day * DAY, (day + 1) * DAY)

    def _merge_day(self, listing: Listing, day: int) -> Candles:
        minutes = self._draw_day(listing, day)  # past the cache of days: years come by here
        return candles.merged(minutes, np.array([0]))

    def _draw_chunk(self, listing: Listing, index: int) -> tuple[int, Trades | None]:
        """(trades before the chunk, its trades)."""
        width = self._width(listing)
        start = index * width
        before = int(fills.ids_before(listing, np.array([start]))[0])
        return before, trades.trades_between(self.seed, listing, start, start + width)

    def _draw_trade(self, listing: Listing, trade_id: int) -> Last:
        run = self.trades(listing, trade_id, trade_id + 1)
        if run is None:
            raise AssertionError("a trade that happened is drawn")
        return _row(run, 0)

    @staticmethod
    def _width(listing: Listing) -> int:
        """Minutes of a chunk: a divisor of a day that holds about _CHUNK_TRADES."""
        for width in (DAY, 60, 10):
            if listing.trades_per_minute * width <= _CHUNK_TRADES:
                return width
        return 1

    def _chunk_at(self, listing: Listing, at_us: int) -> int:
        return at_us // (self._width(listing) * MINUTE_US)


def _row(run: Trades, row: int) -> Last:
    return Last(
        trade_id=run.first_id + row,
        at_us=int(run.at_us[row]),
        price=int(run.price[row]),
        lots=int(run.lots[row]),
        taker_buys=bool(run.taker_buys[row]),
    )
