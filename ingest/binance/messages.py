"""Prices, books, trades and candles. Pure: bytes in, rows and rejected rows out.

All functions raise `BadAnswer` where the body as a whole is not what the endpoint promises.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import chain, pairwise
from typing import Annotated

import msgspec

from contracts.market import Depth, Kline, Price, Trade
from ingest.binance.pages import Columns, candles
from ingest.binance.rows import (
    UNREADABLE,
    BadValueError,
    Parsed,
    amounts,
    decode_whole,
    moment,
    positive,
    read_rows,
    reject,
)

Name = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Refusal(msgspec.Struct):
    code: int
    msg: str


_refusal = msgspec.json.Decoder(_Refusal)


def refusal(body: bytes) -> tuple[int, str] | None:
    """(code, message) of an error body such as {"code": -1121, "msg": "Invalid symbol."}."""
    try:
        answer = _refusal.decode(body)
    except UNREADABLE:
        return None
    return answer.code, answer.msg


class _Price(msgspec.Struct):
    symbol: Name
    price: str


_price = msgspec.json.Decoder(_Price)


def prices(body: bytes, venue: str, observed_at: datetime) -> Parsed[Price]:
    """Current prices; observed_at is when we received them, for they bear no time."""

    def read(raw: msgspec.Raw) -> Price:
        row = _price.decode(raw)
        (price,) = amounts((row.price,), ("price",))
        return Price(venue=venue, symbol=row.symbol, observed_at=observed_at, price=price)

    return read_rows(body, source=venue, endpoint="ticker/price", read=read)


class _Book(msgspec.Struct, rename="camel"):
    last_update_id: Count
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


_book = msgspec.json.Decoder(_Book)
_json = msgspec.json.Decoder(msgspec.Raw)


def depth(body: bytes, venue: str, symbol: str, observed_at: datetime) -> Parsed[Depth]:
    """One snapshot of the order book; a book that is crossed or out of order is rejected whole."""
    decode_whole(_json, body, source=venue, endpoint="depth")
    try:
        book = _book.decode(body)
        bids, asks = _levels(book.bids, "bid"), _levels(book.asks, "ask")
        _check_book(bids, asks)
    except (*UNREADABLE, BadValueError) as error:
        return Parsed([], [reject(venue, "depth", f"{symbol}: {error}", body)])
    row = Depth(
        venue=venue,
        symbol=symbol,
        observed_at=observed_at,
        last_update_id=book.last_update_id,
        bids=bids,
        asks=asks,
    )
    return Parsed([row], [])


def _levels(side: list[tuple[str, str]], name: str) -> list[tuple[Decimal, Decimal]]:
    if not side:
        return []
    flat = amounts(tuple(chain.from_iterable(side)), (name,) * (2 * len(side)))
    levels = list(zip(flat[::2], flat[1::2], strict=True))
    if min(flat) <= 0:
        raise BadValueError(f"a {name} level of price or quantity zero")
    return levels


def _check_book(bids: list[tuple[Decimal, Decimal]], asks: list[tuple[Decimal, Decimal]]) -> None:
    """Best first on both sides, each price once, best bid below best ask."""
    bid_prices, ask_prices = [price for price, _ in bids], [price for price, _ in asks]
    if any(a <= b for a, b in pairwise(bid_prices)):
        raise BadValueError("bids do not fall")
    if any(a >= b for a, b in pairwise(ask_prices)):
        raise BadValueError("asks do not rise")
    if bids and asks and bid_prices[0] >= ask_prices[0]:
        raise BadValueError(f"the book is crossed: bid {bid_prices[0]}, ask {ask_prices[0]}")


class _Trade(msgspec.Struct, rename="camel"):
    id: Count
    price: str
    qty: str
    quote_qty: str
    time: int
    is_buyer_maker: bool
    is_best_match: bool


_trade = msgspec.json.Decoder(_Trade)


def trades(body: bytes, venue: str, symbol: str, endpoint: str = "trades") -> Parsed[Trade]:
    """Trades as sent; `notional_usd` is 0 until `ingest.valuation` prices them."""

    def read(raw: msgspec.Raw) -> Trade:
        row = _trade.decode(raw)
        flags, texts = (row.is_buyer_maker, row.is_best_match), (row.price, row.qty, row.quote_qty)
        moment(row.time, "time")
        return fill(venue, symbol, (row.id, row.time * 1000), texts, flags)

    return read_rows(body, source=venue, endpoint=endpoint, read=read)


def fill(
    venue: str,
    symbol: str,
    identity: tuple[int, int],
    texts: tuple[str, str, str],
    flags: tuple[bool, bool],
) -> Trade:
    """A trade as the exchange said it: (id, µs), (price, quantity, quote quantity), (maker, best).

    `notional_usd` is 0 until it is priced.
    """
    trade_id, at_us = identity
    price, quantity, quote_quantity = amounts(texts, ("price", "qty", "quoteQty"))
    return Trade(
        venue=venue,
        symbol=symbol,
        trade_id=trade_id,
        traded_at=moment(at_us // 1000, "time"),
        traded_at_us=at_us,
        price=positive(price, "price"),
        quantity=positive(quantity, "qty"),
        quote_quantity=quote_quantity,
        notional_usd=Decimal(0),
        is_buyer_maker=flags[0],
        is_best_match=flags[1],
    )


# open time, open, high, low, close, volume, close time, quote volume, count, taker ×2, unused
_Kline = tuple[int, str, str, str, str, str, int, str, Count, str, str, str]
_kline = msgspec.json.Decoder(_Kline)
_page = msgspec.json.Decoder(list[_Kline])
_KLINE_NAMES = ("open", "high", "low", "close", "volume", "quoteVolume", "takerBase", "takerQuote")


def klines(body: bytes, venue: str, symbol: str, interval: str, as_of: datetime) -> Parsed[Kline]:
    """Candles; one is closed when its close time lies before as_of, the exchange's own clock."""

    def read(raw: msgspec.Raw) -> Kline:
        opened, o, h, low, c, v, closed, qv, count, tb, tq, _ = _kline.decode(raw)
        bounds, texts = (opened, closed), (o, h, low, c, v, qv, tb, tq)
        return candle(venue, symbol, interval, (bounds, texts, count), as_of)

    try:
        opened, o, h, low, c, v, closed, qv, count, tb, tq, _ = zip(
            *_page.decode(body), strict=True
        )
        columns = Columns(opened, closed, (o, h, low, c, v, qv, tb, tq), count)
        return Parsed(candles(venue, symbol, interval, columns, as_of), [])
    except (*UNREADABLE, ValueError, ArithmeticError):  # one by one: which, and why; an empty page
        return read_rows(body, source=venue, endpoint="klines", read=read)


Candle = tuple[tuple[int, int], tuple[str, str, str, str, str, str, str, str], int]
"""(open time, close time) in ms; open, high, low, close, volume, quote volume, taker buy volume and
quote volume; the number of trades."""


def candle(venue: str, symbol: str, interval: str, said: Candle, as_of: datetime) -> Kline:
    """A candle as the exchange said it; BadValueError where it contradicts itself."""
    (opened, closed), texts, count = said
    open_, high, low, close, volume, quote_volume, taker, taker_quote = amounts(texts, _KLINE_NAMES)
    if not (low <= open_ <= high and low <= close <= high):
        o, h, bottom, c, *_ = texts
        raise BadValueError(f"a crossed candle: open {o}, high {h}, low {bottom}, close {c}")
    close_time = moment(closed, "close time")
    if closed < opened:
        raise BadValueError(f"it closes ({closed}) before it opens ({opened})")
    return Kline(
        venue=venue,
        symbol=symbol,
        interval=interval,
        open_time=moment(opened, "open time"),
        close_time=close_time,
        open=open_,
        high=high,
        low=positive(low, "low"),
        close=close,
        volume=volume,
        quote_volume=quote_volume,
        trade_count=count,
        taker_buy_volume=taker,
        taker_buy_quote_volume=taker_quote,
        is_closed=close_time < as_of,
        as_of=as_of,
    )
