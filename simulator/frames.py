"""The events of the WebSocket streams as JSON text."""

from __future__ import annotations

import numpy as np

from simulator.aggregates import Aggregates
from simulator.book import Side, Top
from simulator.catalogue import Listing
from simulator.klines import Klines
from simulator.rolling import Statistics
from simulator.trades import Trades
from simulator.wire import (
    best,
    change_percent,
    levels,
    number,
    parts,
    rows,
    spec,
    weighted_average,
)


def trade_events(listing: Listing, run: Trades, event: int, unit_us: int) -> list[str]:
    """<symbol>@trade. `event`: the event's time in the wanted unit."""
    template = (
        f'{{"e":"trade","E":{event},"s":"{listing.symbol}","t":%d,'
        f'"p":"{spec(listing.price_decimals)}","q":"{spec(listing.lot_decimals)}",'
        '"T":%d,"m":%s,"M":true}'
    )
    return rows(
        template,
        [
            list(range(run.first_id, run.first_id + len(run))),
            *parts(run.price, listing.price_decimals),
            *parts(run.lots, listing.lot_decimals),
            (run.at_us // unit_us).tolist(),
            np.where(run.taker_buys, "false", "true").tolist(),
        ],
    )


def aggregate_events(listing: Listing, found: Aggregates, event: int, unit_us: int) -> list[str]:
    """<symbol>@aggTrade."""
    template = (
        f'{{"e":"aggTrade","E":{event},"s":"{listing.symbol}","a":%d,'
        f'"p":"{spec(listing.price_decimals)}","q":"{spec(listing.lot_decimals)}",'
        '"f":%d,"l":%d,"T":%d,"m":%s,"M":true}'
    )
    return rows(
        template,
        [
            list(range(found.first_id, found.first_id + len(found.at_us))),
            *parts(found.price, listing.price_decimals),
            *parts(found.lots, listing.lot_decimals),
            found.first_trade.tolist(),
            found.last_trade.tolist(),
            (found.at_us // unit_us).tolist(),
            np.where(found.taker_buys, "false", "true").tolist(),
        ],
    )


def kline_event(
    listing: Listing, interval: str, klines: Klines, row: int, clock: tuple[int, int]
) -> str:
    """<symbol>@kline_<interval>, one candle; clock = (now_us, unit_us)."""
    now_us, unit_us = clock
    price, lot, quote = listing.price_decimals, listing.lot_decimals, listing.quote_decimals
    opened, high, low, close, lots, quoted, count, taker, taker_quote, first_id = (
        int(column[row]) for column in klines.candles.columns()
    )
    closed_us = int(klines.closed_us[row])
    ids = (first_id, first_id + count - 1) if count else (-1, -1)
    return (
        f'{{"e":"kline","E":{now_us // unit_us},"s":"{listing.symbol}","k":{{'
        f'"t":{int(klines.opened_us[row]) // unit_us},"T":{closed_us // unit_us},'
        f'"s":"{listing.symbol}","i":"{interval}","f":{ids[0]},"L":{ids[1]},'
        f'"o":"{number(opened, price)}","c":"{number(close, price)}",'
        f'"h":"{number(high, price)}","l":"{number(low, price)}",'
        f'"v":"{number(lots, lot)}","n":{count},"x":{"true" if closed_us < now_us else "false"},'
        f'"q":"{number(quoted, quote)}","V":"{number(taker, lot)}",'
        f'"Q":"{number(taker_quote, quote)}","B":"0"}}}}'
    )


def mini_ticker_event(listing: Listing, numbers: Statistics, event: int) -> str:
    """<symbol>@miniTicker and the rows of !miniTicker@arr."""
    price = listing.price_decimals
    return (
        f'{{"e":"24hrMiniTicker","E":{event},"s":"{listing.symbol}",'
        f'"c":"{number(numbers.last, price)}","o":"{number(numbers.open, price)}",'
        f'"h":"{number(numbers.high, price)}","l":"{number(numbers.low, price)}",'
        f'"v":"{number(numbers.lots, listing.lot_decimals)}",'
        f'"q":"{number(numbers.quote, listing.quote_decimals)}"}}'
    )


def ticker_event(listing: Listing, numbers: Statistics, top: Top, event: int, unit_us: int) -> str:
    """<symbol>@ticker."""
    price, lot = listing.price_decimals, listing.lot_decimals
    bid, bid_size, ask, ask_size = best(listing, top)
    change = numbers.last - numbers.open if numbers.count else 0
    return (
        f'{{"e":"24hrTicker","E":{event},"s":"{listing.symbol}",'
        f'"p":"{number(change, price)}","P":"{change_percent(numbers.open, numbers.last)}",'
        f'"w":"{weighted_average(listing, numbers.lots, numbers.quote)}",'
        f'"x":"{number(numbers.previous_close, price)}","c":"{number(numbers.last, price)}",'
        f'"Q":"{number(numbers.last_lots, lot)}","b":"{bid}","B":"{bid_size}","a":"{ask}",'
        f'"A":"{ask_size}","o":"{number(numbers.open, price)}",'
        f'"h":"{number(numbers.high, price)}","l":"{number(numbers.low, price)}",'
        f'"v":"{number(numbers.lots, lot)}",'
        f'"q":"{number(numbers.quote, listing.quote_decimals)}",'
        f'"O":{numbers.opened_us // unit_us},"C":{numbers.closed_us // unit_us},'
        f'"F":{numbers.first_id},"L":{numbers.last_id},"n":{numbers.count}}}'
    )


def depth_event(listing: Listing, ids: tuple[int, int], bids: Side, asks: Side, event: int) -> str:
    """<symbol>@depth: the changes of updates ids[0] … ids[1]."""
    return (
        f'{{"e":"depthUpdate","E":{event},"s":"{listing.symbol}","U":{ids[0]},"u":{ids[1]},'
        f'"b":{levels(listing, bids)},"a":{levels(listing, asks)}}}'
    )


def partial_depth(listing: Listing, update_id: int, bids: Side, asks: Side) -> str:
    """<symbol>@depth<levels>: the best levels as they are."""
    return (
        f'{{"lastUpdateId":{update_id},"bids":{levels(listing, bids)},'
        f'"asks":{levels(listing, asks)}}}'
    )


def book_ticker_event(listing: Listing, top: Top) -> str:
    """<symbol>@bookTicker."""
    bid, bid_size, ask, ask_size = best(listing, top)
    return (
        f'{{"u":{top.update_id},"s":"{listing.symbol}","b":"{bid}","B":"{bid_size}",'
        f'"a":"{ask}","A":"{ask_size}"}}'
    )
