"""Aggregate trades: what one taker order bought or sold at one price and time.

Their ids are contiguous too. How many there were before a minute is a sum over all minutes since
the listing, which needs only the numbers of trades: some 100 ms for a symbol of five years, of
which all whole months are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator.candles import DAY
from simulator.catalogue import Listing
from simulator.fills import ids_before, minute_of
from simulator.market import Market
from simulator.noise import Flags, Ints
from simulator.trades import MINUTE_US, Trades, orders_in

_MONTH = 30 * DAY
_TRADES_PER_ORDER = 8 / 5  # at most, over a fill


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Columns of shape (N,); ids are first_id … first_id + N − 1."""

    first_id: int
    first_trade: Ints
    last_trade: Ints
    at_us: Ints
    price: Ints
    lots: Ints
    taker_buys: Flags

    def part(self, start: int, end: int) -> Aggregates:
        """Rows start … end − 1, as views."""
        return Aggregates(
            first_id=self.first_id + start,
            first_trade=self.first_trade[start:end],
            last_trade=self.last_trade[start:end],
            at_us=self.at_us[start:end],
            price=self.price[start:end],
            lots=self.lots[start:end],
            taker_buys=self.taker_buys[start:end],
        )


def grouped(run: Trades, first_id: int) -> Aggregates:
    """The aggregates of a run that begins with one and ends with the last trade of one."""
    starts = np.flatnonzero(run.leads)
    ends = np.append(starts[1:], len(run))
    return Aggregates(
        first_id=first_id,
        first_trade=run.first_id + starts,
        last_trade=run.first_id + ends - 1,
        at_us=run.at_us[starts],
        price=run.price[starts],
        lots=np.add.reduceat(run.lots, starts),
        taker_buys=run.taker_buys[starts],
    )


class AggregateTape:
    """Aggregate trades of a market, by their ids or from a trade on."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._month = lru_cache(maxsize=64 * 80)(self._count_month)

    def before(self, listing: Listing, minute: int) -> int:
        """Aggregates before a minute."""
        month = minute // _MONTH
        whole = range(listing.listed // _MONTH, month)
        known = sum(self._month(listing, each) for each in whole)
        return known + int(_orders(listing, month * _MONTH, minute).sum())

    def from_id(
        self, listing: Listing, first_id: int, limit: int, now_us: int
    ) -> Aggregates | None:
        """At most `limit` aggregates from an id on, of those that happened."""
        last_minute = min(now_us, listing.closed * MINUTE_US - 1) // MINUTE_US
        before = 0
        for month in range(listing.listed // _MONTH, last_minute // _MONTH + 1):
            count = self._month(listing, month)
            if first_id < before + count:
                start = month * _MONTH
                ends = before + np.cumsum(_orders(listing, start, start + _MONTH))
                minute = start + int(ends.searchsorted(first_id, side="right"))
                return self._cut(listing, minute, (first_id, limit), now_us)
            before += count
        return None

    def from_trade(
        self, listing: Listing, trade_id: int, limit: int, now_us: int
    ) -> Aggregates | None:
        """At most `limit` aggregates from the one of a trade on."""
        if trade_id >= self._market.trade_count(listing, now_us):
            return None
        minute = int(minute_of(listing, np.array([trade_id]))[0])
        begin = int(ids_before(listing, np.array([minute]))[0])
        run = self._market.trades(listing, begin, trade_id + 1)
        if run is None:
            return None
        first_id = self.before(listing, minute) + int(run.leads.sum()) - 1
        return self._cut(listing, minute, (first_id, limit), now_us)

    def recent(self, listing: Listing, limit: int, now_us: int) -> Aggregates | None:
        """The newest `limit` aggregates."""
        count = self._market.trade_count(listing, now_us)
        start = max(0, count - int(limit * _TRADES_PER_ORDER) - 1)
        found = self.from_trade(listing, start, 4 * limit + 16, now_us)
        return found and found.part(max(0, len(found.at_us) - limit), len(found.at_us))

    def _cut(
        self, listing: Listing, minute: int, wanted: tuple[int, int], now_us: int
    ) -> Aggregates | None:
        """Aggregates wanted = (first id, limit), which begin in `minute`."""
        first_id, limit = wanted
        skip = first_id - self.before(listing, minute)
        begin = int(ids_before(listing, np.array([minute]))[0])
        end = begin + int((skip + limit + 1) * _TRADES_PER_ORDER) + 16
        run = self._market.trades(
            listing, begin, min(end, self._market.trade_count(listing, now_us))
        )
        if run is None:
            return None
        found = grouped(run, first_id - skip)
        return found.part(skip, skip + limit) if skip < len(found.at_us) else None

    def _count_month(self, listing: Listing, month: int) -> int:
        start = month * _MONTH
        ids = ids_before(listing, np.arange(start, start + _MONTH + 1))
        minutes_of = np.bincount(np.diff(ids))  # how many minutes have 0, 1, 2 … trades
        return int((minutes_of * orders_in(np.arange(len(minutes_of)))).sum())


def _orders(listing: Listing, start: int, end: int) -> Ints:
    return orders_in(np.diff(ids_before(listing, np.arange(start, end + 1))))
