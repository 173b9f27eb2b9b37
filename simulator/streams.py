"""The streams: what each has to say since it last spoke. Pure but for the cursor of each.

A stream is asked every so often with the time; it pulls what is new from the market, so nothing is
broadcast, nothing queues, and two subscribers of one stream get the same events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeAlias

from simulator import book, frames, wire
from simulator.aggregates import grouped
from simulator.book import Book, Top, update_id_at
from simulator.catalogue import Listing
from simulator.intervals import INTERVALS, Interval
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.rest import Exchange, Moment
from simulator.rolling import RollingWindow

_NAME = re.compile(
    r"^(?P<symbol>[^@]*)@(?P<kind>[A-Za-z]+)(?:_(?P<argument>\w+)|(?P<levels>\d+))?"
    r"(?:@(?P<suffix>\S+))?$"
)
_PARTIAL_DEPTHS = {"5", "10", "20"}
_SECOND_US = 1_000_000
_HUNDRED_MS_US = 100_000
_CATCH_UP = 1000  # events at most in one go


class Stream(Protocol):
    """`every_us`: how often it may speak; `symbol`: of which it speaks, "" of all."""

    every_us: int
    symbol: str

    def news(self, moment: Moment) -> list[str]:
        """Events since the last call, oldest first, as JSON text."""


class TradeStream:
    """<symbol>@trade."""

    every_us = 0

    def __init__(self, market: Market, listing: Listing, moment: Moment) -> None:
        self.symbol = listing.symbol
        self._market, self._listing = market, listing
        self._next_id = market.trade_count(listing, moment.now_us)

    def news(self, moment: Moment) -> list[str]:
        run = self._market.newest(self._listing, self._next_id, moment.now_us)
        if run is None:
            return []
        self._next_id += len(run)
        event = moment.now_us // moment.unit_us
        return frames.trade_events(self._listing, run, event, moment.unit_us)


class AggregateStream:
    """<symbol>@aggTrade."""

    every_us = 0

    def __init__(self, exchange: Exchange, listing: Listing, moment: Moment) -> None:
        self.symbol = listing.symbol
        self._market, self._listing = exchange.market, listing
        newest = exchange.aggregates.recent(listing, 1, moment.now_us)
        self._next_id = newest.first_id + 1 if newest else 0
        self._next_trade = int(newest.last_trade[0]) + 1 if newest else 0

    def news(self, moment: Moment) -> list[str]:
        # trades of one taker order share their time, so orders come whole
        run = self._market.newest(self._listing, self._next_trade, moment.now_us)
        if run is None:
            return []
        found = grouped(run, self._next_id)
        self._next_trade += len(run)
        self._next_id += len(found.at_us)
        event = moment.now_us // moment.unit_us
        return frames.aggregate_events(self._listing, found, event, moment.unit_us)


class KlineStream:
    """<symbol>@kline_<interval>: the open candle when it changed, and each one when it closed."""

    def __init__(
        self, market: Market, listing: Listing, interval: Interval, shift: int, moment: Moment
    ) -> None:
        self.symbol = listing.symbol
        self.every_us = _SECOND_US if interval.name == "1s" else 2 * _SECOND_US
        self._market, self._listing = market, listing
        self._interval, self._shift = interval, shift
        newest = klines(market, listing, Query(interval, 1, shift=shift), moment.now_us)
        self._opened_us = int(newest.opened_us[0]) if newest else moment.now_us
        self._said = (0, -1)  # (opened, trades) of the last event

    def news(self, moment: Moment) -> list[str]:
        query = Query(self._interval, _CATCH_UP, self._opened_us, shift=self._shift)
        found = klines(self._market, self._listing, query, moment.now_us)
        if found is None:
            return []
        events = []
        clock = (moment.now_us, moment.unit_us)
        for row in range(len(found.opened_us)):
            opened_us, count = int(found.opened_us[row]), int(found.candles.trades[row])
            if found.closed_us[row] < moment.now_us:
                self._opened_us = int(found.closed_us[row]) + 1
            elif self._said == (opened_us, count):
                continue
            self._said = (opened_us, count)
            name = self._interval.name
            events.append(frames.kline_event(self._listing, name, found, row, clock))
        return events


class TickerStream:
    """<symbol>@miniTicker and <symbol>@ticker: when a trade changed it."""

    every_us = _SECOND_US

    def __init__(self, exchange: Exchange, listing: Listing, *, full: bool) -> None:
        self.symbol = listing.symbol
        self._rolling, self._market = exchange.rolling, exchange.market
        self._listing, self._full = listing, full
        self._last_id = -1

    def news(self, moment: Moment) -> list[str]:
        last_id = self._market.last(self._listing, moment.now_us).trade_id
        if last_id == self._last_id:
            return []
        self._last_id = last_id
        numbers = self._rolling.statistics(self._listing, moment.now_us)
        event = moment.now_us // moment.unit_us
        if not self._full:
            return [frames.mini_ticker_event(self._listing, numbers, event)]
        top = book.top(self._market, self._listing, update_id_at(self._listing, moment.now_us))
        return [frames.ticker_event(self._listing, numbers, top, event, moment.unit_us)]


class MarketTickerStream:
    """!miniTicker@arr: one array with every symbol that traded since the last one."""

    every_us = _SECOND_US
    symbol = ""

    def __init__(self, exchange: Exchange) -> None:
        self._market: Market = exchange.market
        self._rolling: RollingWindow = exchange.rolling
        self._last_ids: dict[str, int] = {}

    def news(self, moment: Moment) -> list[str]:
        changed = []
        event = moment.now_us // moment.unit_us
        for listing in self._market.listed(moment.now_us):
            last_id = self._market.last(listing, moment.now_us).trade_id
            if self._last_ids.get(listing.symbol) != last_id:
                self._last_ids[listing.symbol] = last_id
                numbers = self._rolling.statistics(listing, moment.now_us)
                changed.append(frames.mini_ticker_event(listing, numbers, event))
        return [wire.array(changed)] if changed else []


class DepthStream:
    """<symbol>@depth[@100ms]: changes from update to update, one after the other without holes."""

    def __init__(self, market: Market, listing: Listing, every_us: int, moment: Moment) -> None:
        self.symbol, self.every_us = listing.symbol, every_us
        self._market, self._listing = market, listing
        self._said = self._book(moment)

    def news(self, moment: Moment) -> list[str]:
        newer = self._book(moment)
        if newer.update_id == self._said.update_id:
            return []
        bids, asks = book.touched(self._market, self._listing, self._said, newer)
        if len(bids.price) == len(asks.price) == 0:
            return []
        ids = (self._said.update_id + 1, newer.update_id)
        self._said = newer
        event = moment.now_us // moment.unit_us
        return [frames.depth_event(self._listing, ids, bids, asks, event)]

    def _book(self, moment: Moment) -> Book:
        update_id = update_id_at(self._listing, moment.now_us)
        return book.book(self._market, self._listing, update_id)


class PartialDepthStream:
    """<symbol>@depth5|10|20[@100ms]: the best levels."""

    def __init__(self, market: Market, listing: Listing, levels: int, every_us: int) -> None:
        self.symbol, self.every_us = listing.symbol, every_us
        self._market, self._listing, self._levels = market, listing, levels

    def news(self, moment: Moment) -> list[str]:
        update_id = update_id_at(self._listing, moment.now_us)
        found = book.book(self._market, self._listing, update_id, self._levels)
        return [frames.partial_depth(self._listing, update_id, found.bids, found.asks)]


class BookTickerStream:
    """<symbol>@bookTicker: whenever the best bid or ask changed."""

    every_us = 0

    def __init__(self, market: Market, listing: Listing) -> None:
        self.symbol = listing.symbol
        self._market, self._listing = market, listing
        self._said: tuple[int, ...] = ()

    def news(self, moment: Moment) -> list[str]:
        top: Top = book.top(self._market, self._listing, update_id_at(self._listing, moment.now_us))
        best = (top.bid, top.bid_lots, top.ask, top.ask_lots)
        if best == self._said:
            return []
        self._said = best
        return [frames.book_ticker_event(self._listing, top)]


def stream(exchange: Exchange, name: str, moment: Moment) -> Stream | None:
    """The stream of that name; None for a name that never says anything, as on the exchange."""
    if name == "!miniTicker@arr":
        return MarketTickerStream(exchange)
    found = _NAME.match(name)
    if found is None or found["symbol"] != found["symbol"].lower():
        return None
    listing = exchange.market.listing(found["symbol"].upper(), moment.now_us)
    make = _KINDS.get(found["kind"])
    return None if listing is None or make is None else make(exchange, listing, found, moment)


def _kline(exchange: Exchange, listing: Listing, name: Name, moment: Moment) -> Stream | None:
    shift = 480 if name["suffix"] == "+08:00" else 0
    interval = INTERVALS.get(name["argument"] or "")
    if interval is None:
        return None
    return KlineStream(exchange.market, listing, interval, shift, moment)


def _depth(exchange: Exchange, listing: Listing, name: Name, moment: Moment) -> Stream | None:
    every_us = _HUNDRED_MS_US if name["suffix"] == "100ms" else _SECOND_US
    if name["levels"] is None:
        return DepthStream(exchange.market, listing, every_us, moment)
    if name["levels"] not in _PARTIAL_DEPTHS:
        return None
    return PartialDepthStream(exchange.market, listing, int(name["levels"]), every_us)


Name: TypeAlias = re.Match[str]
_KINDS: dict[str, Callable[[Exchange, Listing, Name, Moment], Stream | None]] = {
    "trade": lambda exchange, listing, _, now: TradeStream(exchange.market, listing, now),
    "aggTrade": lambda exchange, listing, _, now: AggregateStream(exchange, listing, now),
    "miniTicker": lambda exchange, listing, *_: TickerStream(exchange, listing, full=False),
    "ticker": lambda exchange, listing, *_: TickerStream(exchange, listing, full=True),
    "bookTicker": lambda exchange, listing, *_: BookTickerStream(exchange.market, listing),
    "kline": _kline,
    "depth": _depth,
}
