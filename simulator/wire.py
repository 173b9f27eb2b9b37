"""Market values as Binance's JSON text, built in bulk without a Decimal a value.

A column of integers is divided once by its unit; rows then go through one printf template that
holds the decimal places of their symbol. Prices and quantities always show 8 decimals.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from simulator.aggregates import Aggregates
from simulator.book import Side, Top
from simulator.catalogue import Listing
from simulator.klines import Klines
from simulator.noise import Ints
from simulator.rolling import Statistics
from simulator.trades import Trades

_SHOWN = 8
ZERO = "0.00000000"


@lru_cache(maxsize=16)
def spec(decimals: int) -> str:
    """The printf form of a number that comes divided into its whole and its rest."""
    if decimals == 0:
        return "%d." + "0" * _SHOWN
    return f"%d.%0{decimals}d" + "0" * (_SHOWN - decimals)


def parts(values: Ints, decimals: int) -> list[list[int]]:
    """The columns that `spec(decimals)` consumes."""
    if decimals == 0:
        return [values.tolist()]
    whole, rest = np.divmod(values, 10**decimals)
    return [whole.tolist(), rest.tolist()]


def number(value: int, decimals: int) -> str:
    """One value, which may be negative, with 8 decimals."""
    scaled = abs(value) * 10 ** (_SHOWN - decimals)
    sign = "-" if value < 0 else ""
    return f"{sign}{scaled // 10**_SHOWN}.{scaled % 10**_SHOWN:0{_SHOWN}d}"


def rows(template: str, columns: Iterable[list[int]] | Iterable[list[object]]) -> list[str]:
    return [template % row for row in zip(*columns, strict=True)]


def array(rows: Iterable[str]) -> str:
    """A JSON array of rows that are JSON text already."""
    return f"[{','.join(rows)}]"


def kline_rows(listing: Listing, klines: Klines, unit_us: int) -> list[str]:
    """Rows of /klines. `unit_us`: µs of the time unit, 1000 for milliseconds."""
    price, lot, quote = listing.price_decimals, listing.lot_decimals, listing.quote_decimals
    prices = f'"{spec(price)}",' * 4
    template = f'[%d,{prices}"{spec(lot)}",%d,"{spec(quote)}",%d,"{spec(lot)}","{spec(quote)}","0"]'
    candles = klines.candles
    return rows(
        template,
        [
            (klines.opened_us // unit_us).tolist(),
            *parts(candles.open, price),
            *parts(candles.high, price),
            *parts(candles.low, price),
            *parts(candles.close, price),
            *parts(candles.lots, lot),
            (klines.closed_us // unit_us).tolist(),
            *parts(candles.quote, quote),
            candles.trades.tolist(),
            *parts(candles.taker_lots, lot),
            *parts(candles.taker_quote, quote),
        ],
    )


def trade_rows(listing: Listing, trades: Trades, unit_us: int) -> list[str]:
    """Rows of /trades and /historicalTrades."""
    template = (
        f'{{"id":%d,"price":"{spec(listing.price_decimals)}",'
        f'"qty":"{spec(listing.lot_decimals)}","quoteQty":"{spec(listing.quote_decimals)}",'
        '"time":%d,"isBuyerMaker":%s,"isBestMatch":true}'
    )
    return rows(
        template,
        [
            list(range(trades.first_id, trades.first_id + len(trades))),
            *parts(trades.price, listing.price_decimals),
            *parts(trades.lots, listing.lot_decimals),
            *parts(trades.price * trades.lots, listing.quote_decimals),
            (trades.at_us // unit_us).tolist(),
            np.where(trades.taker_buys, "false", "true").tolist(),
        ],
    )


def levels(listing: Listing, side: Side) -> str:
    """One side of a book: [["price","quantity"],…]."""
    template = f'["{spec(listing.price_decimals)}","{spec(listing.lot_decimals)}"]'
    price = parts(side.price, listing.price_decimals)
    return array(rows(template, [*price, *parts(side.lots, listing.lot_decimals)]))


def best(listing: Listing, top: Top) -> tuple[str, str, str, str]:
    """(bid price, bid quantity, ask price, ask quantity)."""
    price, lot = listing.price_decimals, listing.lot_decimals
    return (
        number(top.bid, price),
        number(top.bid_lots, lot),
        number(top.ask, price),
        number(top.ask_lots, lot),
    )


def weighted_average(listing: Listing, lots: int, quote: int) -> str:
    """Quote volume ÷ volume, half up to 8 decimals; 0 without volume."""
    if lots == 0:
        return ZERO
    scale = 10 ** (_SHOWN - listing.price_decimals)
    return number((2 * quote * scale + lots) // (2 * lots), _SHOWN)


def change_percent(opened: int, last: int) -> str:
    """(last − open) ÷ open in percent, half away from zero to 3 decimals; 0 without an open."""
    if opened == 0:
        return "0.000"
    thousandths = (2 * abs(last - opened) * 100_000 + opened) // (2 * opened)
    sign = "-" if last < opened and thousandths else ""
    return f"{sign}{thousandths // 1000}.{thousandths % 1000:03d}"


def ticker(listing: Listing, numbers: Statistics, top: Top, unit_us: int) -> str:
    """A full entry of /ticker/24hr."""
    price = listing.price_decimals
    bid, bid_size, ask, ask_size = best(listing, top)
    change = numbers.last - numbers.open if numbers.count else 0
    return (
        f'{{"symbol":"{listing.symbol}","priceChange":"{number(change, price)}",'
        f'"priceChangePercent":"{change_percent(numbers.open, numbers.last)}",'
        f'"weightedAvgPrice":"{weighted_average(listing, numbers.lots, numbers.quote)}",'
        f'"prevClosePrice":"{number(numbers.previous_close, price)}",'
        f'"lastPrice":"{number(numbers.last, price)}",'
        f'"lastQty":"{number(numbers.last_lots, listing.lot_decimals)}",'
        f'"bidPrice":"{bid}","bidQty":"{bid_size}","askPrice":"{ask}","askQty":"{ask_size}",'
        f"{_window(listing, numbers, unit_us)}}}"
    )


def mini_ticker(listing: Listing, numbers: Statistics, unit_us: int) -> str:
    """An entry of /ticker/24hr?type=MINI."""
    last = f'"lastPrice":"{number(numbers.last, listing.price_decimals)}",'
    window = _window(listing, numbers, unit_us).replace('"volume"', f'{last}"volume"', 1)
    return f'{{"symbol":"{listing.symbol}",{window}}}'


def _window(listing: Listing, numbers: Statistics, unit_us: int) -> str:
    price = listing.price_decimals
    return (
        f'"openPrice":"{number(numbers.open, price)}","highPrice":"{number(numbers.high, price)}",'
        f'"lowPrice":"{number(numbers.low, price)}",'
        f'"volume":"{number(numbers.lots, listing.lot_decimals)}",'
        f'"quoteVolume":"{number(numbers.quote, listing.quote_decimals)}",'
        f'"openTime":{numbers.opened_us // unit_us},"closeTime":{numbers.closed_us // unit_us},'
        f'"firstId":{numbers.first_id},"lastId":{numbers.last_id},"count":{numbers.count}'
    )


def aggregate_rows(listing: Listing, found: Aggregates, unit_us: int) -> list[str]:
    """Rows of /aggTrades."""
    template = (
        f'{{"a":%d,"p":"{spec(listing.price_decimals)}","q":"{spec(listing.lot_decimals)}",'
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
