"""Events of the WebSocket streams. Pure: bytes in; rows, changes of books and rejected rows out.

| stream | becomes |
| --- | --- |
| <symbol>@trade | a row of `trades` |
| <symbol>@kline_<interval> | a row of `klines`; its `as_of` is the event's time |
| !miniTicker@arr, <symbol>@miniTicker | rows of `prices`: the last price, at the event's time |

Those of books are in `ingest.binance.book_messages`. The rules for amounts and times are those of
`ingest.binance.rows`. Readers raise BadValueError and what decoding raises;
`ingest.binance.stream_frames` makes rejected rows of that.

Source: Binance's "WebSocket Streams" documents of August 2026.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import msgspec

from contracts.market import Kline, Price, Rejected, Trade
from ingest.binance.messages import Count, Name
from ingest.binance.order_book import BookDiff, BookTop
from ingest.binance.rows import UNREADABLE, BadValueError, amounts, moment, positive, reject
from ingest.binance.tickers import TradeId

WHOLE_MARKET: Final = "!miniTicker@arr"
_EXACT = Context(prec=80)  # two amounts of at most 38 digits multiply to at most 76


class Told(msgspec.Struct, frozen=True):
    """What an event said: rows of one kind, or what is wrong with them.

    `event_ms`: when the exchange said so, by its clock; None where the event bears no time.
    """

    stream: str = ""
    event_ms: int | None = None
    trades: list[Trade] = []
    klines: list[Kline] = []
    prices: list[Price] = []
    diffs: list[BookDiff] = []
    tops: list[BookTop] = []
    rejected: list[Rejected] = []


_array = msgspec.json.Decoder(list[msgspec.Raw])


def check_kind(kind: str, wanted: str) -> None:
    """BadValueError where an event is of another kind than its stream promises."""
    if kind != wanted:
        raise BadValueError(f"an event {kind[:60]!r} where {wanted!r} is due")


def check_symbol(stream: str, symbol: str) -> None:
    """BadValueError where an event is of another symbol than its stream promises."""
    if stream.partition("@")[0].lower() != symbol.lower():
        raise BadValueError(f"an event of {symbol!r} on the stream {stream[:60]!r}")


class _Trade(msgspec.Struct):
    e: str
    E: int
    s: Name
    t: Count
    p: str
    q: str
    T: int
    m: bool
    M: bool = True  # "ignore", say the documents; it is REST's isBestMatch


_trade = msgspec.json.Decoder(_Trade)


def read_trade(data: msgspec.Raw, venue: str, stream: str) -> Told:
    """The quote quantity is not told; it is price × quantity, exact."""
    row = _trade.decode(data)
    check_kind(row.e, "trade")
    check_symbol(stream, row.s)
    price, quantity = amounts((row.p, row.q), ("p", "q"))
    moment(row.E, "E")
    trade = Trade(
        venue=venue,
        symbol=row.s,
        trade_id=row.t,
        traded_at=moment(row.T, "T"),
        traded_at_us=row.T * 1000,
        price=positive(price, "p"),
        quantity=positive(quantity, "q"),
        quote_quantity=_EXACT.multiply(price, quantity),
        notional_usd=Decimal(0),
        is_buyer_maker=row.m,
        is_best_match=row.M,
    )
    return Told(stream, row.E, trades=[trade])


class _Candle(msgspec.Struct):
    t: int
    T: int
    s: Name
    i: str
    f: TradeId
    L: TradeId
    o: str
    c: str
    h: str
    l: str  # noqa: E741 - the exchange's name
    v: str
    n: Count
    x: bool
    q: str
    V: str
    Q: str


class _KlineEvent(msgspec.Struct):
    e: str
    E: int
    s: Name
    k: _Candle


_kline = msgspec.json.Decoder(_KlineEvent)
_KLINE_NAMES: Final = ("o", "h", "l", "c", "v", "q", "V", "Q")


def read_kline(data: msgspec.Raw, venue: str, stream: str) -> Told:
    event = _kline.decode(data)
    row = event.k
    check_kind(event.e, "kline")
    check_symbol(stream, row.s)
    if stream.partition("@kline_")[2] != row.i or event.s != row.s:
        raise BadValueError(f"a candle of {row.s!r} {row.i!r} on the stream {stream[:60]!r}")
    open_, high, low, close, volume, quote_volume, taker, taker_quote = amounts(
        (row.o, row.h, row.l, row.c, row.v, row.q, row.V, row.Q), _KLINE_NAMES
    )
    if not (low <= open_ <= high and low <= close <= high):
        raise BadValueError(f"a crossed candle: o {row.o}, h {row.h}, l {row.l}, c {row.c}")
    if row.t > row.T:
        raise BadValueError(f"it closes ({row.T}) before it opens ({row.t})")
    kline = Kline(
        venue=venue,
        symbol=row.s,
        interval=row.i,
        open_time=moment(row.t, "t"),
        close_time=moment(row.T, "T"),
        open=open_,
        high=high,
        low=positive(low, "l"),
        close=close,
        volume=volume,
        quote_volume=quote_volume,
        trade_count=row.n,
        taker_buy_volume=taker,
        taker_buy_quote_volume=taker_quote,
        is_closed=row.x,
        as_of=moment(event.E, "E"),
    )
    return Told(stream, event.E, klines=[kline])


class _MiniTicker(msgspec.Struct):
    e: str
    E: int
    s: Name
    c: str


_mini_ticker = msgspec.json.Decoder(_MiniTicker)


def _price(raw: msgspec.Raw, venue: str) -> tuple[Price, int]:
    row = _mini_ticker.decode(raw)
    check_kind(row.e, "24hrMiniTicker")
    (price,) = amounts((row.c,), ("c",))
    observed_at = moment(row.E, "E")
    return Price(venue=venue, symbol=row.s, observed_at=observed_at, price=price), row.E


def read_mini_ticker(data: msgspec.Raw, venue: str, stream: str) -> Told:
    price, event_ms = _price(data, venue)
    check_symbol(stream, price.symbol)
    return Told(stream, event_ms, prices=[price])


def read_whole_market(data: msgspec.Raw, venue: str, stream: str) -> Told:
    """Last prices of all symbols that changed; a bad row leaves the others as they are."""
    prices: list[Price] = []
    rejected: list[Rejected] = []
    newest: int | None = None
    for raw in _array.decode(data):
        try:
            price, event_ms = _price(raw, venue)
        except (*UNREADABLE, BadValueError) as error:
            rejected.append(reject(venue, stream, str(error), raw))
        else:
            prices.append(price)
            newest = max(newest or 0, event_ms)
    return Told(stream, newest, prices=prices, rejected=rejected)
