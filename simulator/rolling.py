"""24 h statistics: minute candles of the last 1440 minutes and the current minute so far.

The window opens on a minute, as Binance's rolling statistics do, so it is up to 59.999 s wider than
24 h and every value can be recomputed from klines or trades between open and close time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator import candles
from simulator.candles import DAY, Candles
from simulator.catalogue import Listing
from simulator.market import Last, Market
from simulator.trades import MINUTE_US

DAY_US = DAY * MINUTE_US
_HOUR = 60
_KEPT_SUMS = 2048  # this minute and the next of every symbol
_KEPT_WINDOWS = 1200  # this hour and, at its end, the next of every symbol; 120 KB each


@dataclass(frozen=True, slots=True)
class Statistics:
    """In ticks, lots and ticks × lots. A dead symbol has count 0, first and last id −1, zeros."""

    opened_us: int
    closed_us: int
    open: int
    high: int
    low: int
    last: int
    last_lots: int
    previous_close: int
    lots: int
    quote: int
    first_id: int
    last_id: int
    count: int


@dataclass(frozen=True, slots=True)
class _Closed:
    """Sums over the 1440 minutes before one; `open` is 0 if none of them has a trade."""

    open: int
    high: int
    low: int
    lots: int
    quote: int
    trades: int
    end_id: int  # id of the first trade after them
    previous_close: int


class RollingWindow:
    """Statistics of any symbol at any time; sums over closed minutes are kept for a minute."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._closed_minutes = lru_cache(maxsize=_KEPT_SUMS)(self._sum)
        self._window = lru_cache(maxsize=_KEPT_WINDOWS)(self._draw_window)

    def statistics(self, listing: Listing, now_us: int) -> Statistics:
        """The 24 hours until now."""
        last = self._market.last(listing, now_us)
        minute = now_us // MINUTE_US
        if minute - DAY >= listing.closed:
            return _dead(last, (listing.closed + DAY) * MINUTE_US)
        closed = self._closed_minutes(listing, minute)
        opened = high = low = lots = quote = trades = 0  # of the current minute
        if last.trade_id >= closed.end_id:
            row = self._market.forming(listing, now_us)
            columns = (row.open, row.high, row.low, row.lots, row.quote, row.trades)
            opened, high, low, lots, quote, trades = (int(column[0]) for column in columns)
        count = closed.trades + trades
        if count == 0:
            return _dead(last, now_us)
        return Statistics(
            opened_us=(minute - DAY) * MINUTE_US,
            closed_us=now_us,
            open=closed.open or opened,
            high=max(closed.high, high),
            low=min(closed.low or low, low or closed.low),
            last=last.price,
            last_lots=last.lots,
            previous_close=closed.previous_close,
            lots=closed.lots + lots,
            quote=closed.quote + quote,
            first_id=last.trade_id - count + 1,
            last_id=last.trade_id,
            count=count,
        )

    def warm(self, listing: Listing, minute: int) -> None:
        """Make the sums that the first question of a minute will need."""
        self._closed_minutes(listing, minute)

    def _sum(self, listing: Listing, minute: int) -> _Closed:
        hour = minute // _HOUR
        window = self._window(listing, hour)
        first = _window_start(hour)
        start = max(minute - DAY, listing.listed)
        total = candles.merged(window.part(start - first, minute - first), np.array([0]))
        trades = int(total.trades[0])
        return _Closed(
            open=int(total.open[0]) if trades else 0,
            high=int(total.high[0]) if trades else 0,
            low=int(total.low[0]) if trades else 0,
            lots=int(total.lots[0]),
            quote=int(total.quote[0]),
            trades=trades,
            end_id=int(total.first_id[0]) + trades,
            previous_close=int(window.close[start - 1 - first]),
        )

    def _draw_window(self, listing: Listing, hour: int) -> Candles:
        """The minutes that the windows of one hour are made of, and one before them."""
        start, end = _window_start(hour), (hour + 1) * _HOUR
        return candles.minute_candles(self._market.seed, listing, start, end)


def _window_start(hour: int) -> int:
    return hour * _HOUR - DAY - 1


def _dead(last: Last, closed_us: int) -> Statistics:
    return Statistics(
        opened_us=closed_us - DAY_US,
        closed_us=closed_us,
        open=0,
        high=0,
        low=0,
        last=last.price,
        last_lots=last.lots,
        previous_close=last.price,
        lots=0,
        quote=0,
        first_id=-1,
        last_id=-1,
        count=0,
    )
