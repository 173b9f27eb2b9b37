"""What the REST endpoints answer, as JSON text; simulator.endpoints lists their paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulator import book, candles, exchange_info, wire
from simulator.aggregates import AggregateTape
from simulator.catalogue import Listing
from simulator.errors import ApiError, bad_combination, missing, unknown_symbol
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.parameters import Parameters
from simulator.rolling import RollingWindow
from simulator.trades import MINUTE_US

_AVERAGE_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """When a request is answered, and in which unit it gets times (µs of the unit: 1000 or 1)."""

    now_us: int
    unit_us: int = 1000


class Exchange:
    """The market with what is derived from it, and the limits that exchangeInfo announces."""

    def __init__(self, market: Market, weight_limit: int = 6000) -> None:
        self.market = market
        self.weight_limit = weight_limit
        self.rolling = RollingWindow(market)
        self.aggregates = AggregateTape(market)

    def find(self, symbol: str, moment: Moment, status: str | None = None) -> Listing:
        """The symbol's listing; the exchange's own error where there is none."""
        listing = self.market.listing(symbol, moment.now_us)
        if listing is None:
            raise unknown_symbol()
        if status is not None and listing.status(moment.now_us // MINUTE_US) != status:
            raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")
        return listing

    def chosen(self, asked: Parameters, moment: Moment) -> Listing | list[Listing]:
        """What `symbol`, `symbols` and `symbolStatus` of a ticker select: one, or a list."""
        symbol, symbols, status = asked.optional_symbol(), asked.symbols(), asked.status()
        if symbol is not None and symbols is not None:
            raise bad_combination()
        if symbol is not None:
            return self.find(symbol, moment, status)
        if symbols is None:
            found = self.market.listed(moment.now_us)
        else:
            wanted = {self.find(name, moment).symbol for name in symbols}
            found = [each for each in self.market.listed(moment.now_us) if each.symbol in wanted]
        minute = moment.now_us // MINUTE_US
        return [each for each in found if status is None or each.status(minute) == status]


def ping(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    del exchange, moment
    asked.finish()
    return "{}"


def time(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    del exchange
    asked.finish()
    return f'{{"serverTime":{moment.now_us // moment.unit_us}}}'


def info(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, symbols, status = asked.optional_symbol(), asked.symbols(), asked.status()
    permissions = _permissions(asked)
    shown = asked.choice("showPermissionSets", ("true", "false"), missing("showPermissionSets"))
    asked.finish()
    if sum(each is not None for each in (symbol, symbols, permissions or status)) > 1:
        raise bad_combination()
    if symbol is not None:
        symbols = [symbol]
    if symbols is not None:
        listings = [exchange.find(name, moment) for name in symbols]
    else:
        allowed = permissions or {"SPOT", "MARGIN", "LEVERAGED"}
        listings = [
            each
            for each in exchange.market.listed(moment.now_us)
            if allowed & set(exchange_info.permissions(each))
        ]
    entries = (
        exchange_info.symbol_entry(each, each.status(minute), with_permissions=shown != "false")
        for minute in (moment.now_us // MINUTE_US,)
        for each in listings
        if status is None or each.status(minute) == status
    )
    head = exchange_info.header(moment.now_us // moment.unit_us, exchange.weight_limit)
    return f"{head}{wire.array(entries)}}}"


def _permissions(asked: Parameters) -> set[str] | None:
    text = asked.text("permissions")
    if text is None:
        return None
    names = asked.symbols("permissions") if text.startswith("[") else [text]
    if not set(names or ()) <= set(exchange_info.PERMISSIONS):
        raise ApiError(-1130, "Data sent for parameter 'permissions' is not valid.")
    return set(names or ())


def depth(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, limit, status = asked.symbol(), asked.limit(100, 5000), asked.status()
    asked.finish()
    listing = exchange.find(symbol, moment, status)
    update_id = book.update_id_at(listing, moment.now_us)
    found = book.book(exchange.market, listing, update_id, limit)
    bids, asks = wire.levels(listing, found.bids), wire.levels(listing, found.asks)
    return f'{{"lastUpdateId":{update_id},"bids":{bids},"asks":{asks}}}'


def trades(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, limit = asked.symbol(), asked.limit(500, 1000)
    asked.finish()
    listing = exchange.find(symbol, moment)
    count = exchange.market.trade_count(listing, moment.now_us)
    run = exchange.market.newest(listing, max(0, count - limit), moment.now_us)
    return wire.array(wire.trade_rows(listing, run, moment.unit_us) if run else ())


def historical_trades(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, limit, first = asked.symbol(), asked.limit(500, 1000), asked.number("fromId")
    asked.finish()
    listing = exchange.find(symbol, moment)
    count = exchange.market.trade_count(listing, moment.now_us)
    if first is None:
        first = max(0, count - limit)
    run = exchange.market.trades(listing, first, min(count, first + limit))
    return wire.array(wire.trade_rows(listing, run, moment.unit_us) if run else ())


def agg_trades(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, limit = asked.symbol(), asked.limit(500, 1000)
    from_id, start, end = (
        asked.number("fromId"),
        asked.time_us("startTime"),
        asked.time_us("endTime"),
    )
    asked.finish()
    listing = exchange.find(symbol, moment)
    if from_id is not None and (start is not None or end is not None):
        raise bad_combination()
    # what comes after endTime has not happened yet, as far as this request is concerned
    until = moment.now_us if end is None else min(moment.now_us, end + moment.unit_us - 1)
    if from_id is not None:
        found = exchange.aggregates.from_id(listing, from_id, limit, until)
    elif start is not None:
        first = exchange.market.first_id_at(listing, max(start, listing.listed * MINUTE_US))
        found = exchange.aggregates.from_trade(listing, first, limit, until)
    else:
        found = exchange.aggregates.recent(listing, limit, until)
    return wire.array(wire.aggregate_rows(listing, found, moment.unit_us) if found else ())


def kline_query(asked: Parameters) -> tuple[str, Query]:
    """The symbol and the query that /klines and /uiKlines ask."""
    symbol, interval = asked.symbol(), asked.interval()
    query = Query(
        interval=interval,
        limit=asked.limit(500, 1000),
        start_us=asked.time_us("startTime"),
        end_us=asked.time_us("endTime"),
        shift=asked.shift(),
    )
    asked.finish()
    return symbol, query


def kline_list(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol, query = kline_query(asked)
    listing = exchange.find(symbol, moment)
    found = klines(exchange.market, listing, query, moment.now_us)
    return wire.array(wire.kline_rows(listing, found, moment.unit_us) if found else ())


def average_price(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    symbol = asked.symbol()
    asked.finish()
    listing = exchange.find(symbol, moment)
    last = exchange.market.last(listing, moment.now_us)
    minute = min(moment.now_us // MINUTE_US + 1, listing.closed)
    start = max(minute - _AVERAGE_MINUTES, listing.listed)
    minutes = exchange.market.minutes(listing, start, minute, moment.now_us)
    total = candles.merged(minutes, np.array([0]))
    price = wire.weighted_average(listing, int(total.lots[0]), int(total.quote[0]))
    if total.lots[0] == 0:
        price = wire.number(last.price, listing.price_decimals)
    return (
        f'{{"mins":{_AVERAGE_MINUTES},"price":"{price}",'
        f'"closeTime":{last.at_us // moment.unit_us}}}'
    )


def ticker_24h(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    found = exchange.chosen(asked, moment)
    kind = asked.choice("type", ("FULL", "MINI"), ApiError(-1139, "Invalid ticker type."))
    asked.finish()

    def entry(listing: Listing) -> str:
        numbers = exchange.rolling.statistics(listing, moment.now_us)
        if kind == "MINI":
            return wire.mini_ticker(listing, numbers, moment.unit_us)
        best = book.top(exchange.market, listing, book.update_id_at(listing, moment.now_us))
        return wire.ticker(listing, numbers, best, moment.unit_us)

    return _one_or_all(found, entry)


def ticker_price(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    found = exchange.chosen(asked, moment)
    asked.finish()

    def entry(listing: Listing) -> str:
        last = exchange.market.last(listing, moment.now_us)
        price = wire.number(last.price, listing.price_decimals)
        return f'{{"symbol":"{listing.symbol}","price":"{price}"}}'

    return _one_or_all(found, entry)


def book_ticker(exchange: Exchange, asked: Parameters, moment: Moment) -> str:
    found = exchange.chosen(asked, moment)
    asked.finish()

    def entry(listing: Listing) -> str:
        best = book.top(exchange.market, listing, book.update_id_at(listing, moment.now_us))
        bid, bid_size, ask, ask_size = wire.best(listing, best)
        return (
            f'{{"symbol":"{listing.symbol}","bidPrice":"{bid}","bidQty":"{bid_size}",'
            f'"askPrice":"{ask}","askQty":"{ask_size}"}}'
        )

    return _one_or_all(found, entry)


def _one_or_all(found: Listing | list[Listing], entry: Callable[[Listing], str]) -> str:
    if isinstance(found, Listing):
        return entry(found)
    return wire.array(map(entry, found))
