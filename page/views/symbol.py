"""Symbol: candles, the price against its average, the book, the tape."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import streamlit as st

from page import buckets, candles, choices, formats, markup
from page.candles import WIDTHS, Width
from page.feed import Feed
from page.figures.market import AVERAGE_OF, candlesticks, depth, trend
from page.live import CHARTS_S, Parts
from page.markup import Cell, Tile
from page.reader import Reader
from page.rows import Book, Candle, Instrument, Price, Ticker, Trade
from page.views import panels
from page.views.market import side

TREND = timedelta(minutes=45)
TAPE = 12
WHALES = 6


@dataclass(frozen=True)
class Head:
    """Its newest figures; `status` as the exchange tells it: TRADING, HALT, BREAK and the like."""

    status: str
    minutes: list[Candle]  # of the last hour
    price: Price | None
    ticker: Ticker | None
    book: Book | None
    trade: Trade | None


@dataclass(frozen=True)
class Course:
    """Its candles and prices over time; `followed`: there should be more than prices."""

    followed: bool
    minutes: list[Candle]
    prices: list[Price]


@dataclass(frozen=True)
class Tape:
    """Its newest trades, and the large ones among them and before, newest first."""

    trades: list[Trade]
    whales: list[Trade]


def show(feed: Feed) -> None:
    """The whole view."""
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        venue = choices.venue(feed, above)
        if venue is None:
            return
        listed = choices.begun(feed, lambda: choices.instruments(feed, venue))
        watched = choices.begun(feed, lambda: choices.watched(feed, venue)) if listed else None
        if not listed or watched is None:
            return
        instrument = choices.symbol(listed, watched, venue, above)
        name = st.segmented_control(
            "Candle",
            [w.name for w in WIDTHS],
            default="1m",
            key="width",
            label_visibility="collapsed",
        )
    if instrument is None:
        return
    width = next((each for each in WIDTHS if each.name == name), WIDTHS[0])
    _Symbol(feed, venue, instrument, width).show()


@st.cache_resource(ttl=60, show_spinner=False, max_entries=64)
def _earlier(
    _reader: Reader, feed_name: str, venue: str, symbol: str, start: datetime, end: datetime
) -> list[Candle]:
    """Candles of past hours: they hardly change, so they are asked for once a minute.

    A resource and no data: thousands of decimals are shared, not copied at each look.
    """
    del feed_name  # part of the key
    return _reader.candles(venue, [symbol], start, end)[symbol]


class _Symbol:
    """The view of one symbol."""

    def __init__(self, feed: Feed, venue: str, instrument: Instrument, width: Width) -> None:
        self._parts = Parts(
            feed, "symbol", f"{venue} {instrument.symbol} {width.name}", loud="head"
        )
        self._feed = feed
        self._venue = venue
        self._symbol = instrument.symbol
        self._base = instrument.base_asset
        self._quote = instrument.quote_asset
        self._tick = instrument.tick_size or None
        self._width = width

    def show(self) -> None:
        """What is new at once, and beside it what a browser takes longer to draw."""
        self._parts.show("head", self._head, self._draw_head)
        left, right = st.columns([7, 3])
        with left:
            self._parts.show("course", self._course, self._draw_course, least_s=CHARTS_S)
        with right:
            self._parts.show("book", self._newest_book, self._draw_book, least_s=CHARTS_S)
            self._parts.show("tape", self._newest_trades, self._draw_tape)

    def _head(self, reader: Reader, now: datetime) -> Head:
        venue, symbol = self._venue, self._symbol
        start = now - candles.HOUR - 2 * candles.MINUTE
        trades = reader.trades(venue, symbol, now)
        return Head(
            status=self._listed_as(),
            minutes=reader.candles(venue, [symbol], start, now + candles.MINUTE)[symbol],
            price=reader.latest_price(venue, symbol),
            ticker=reader.ticker(venue, symbol),
            book=reader.book(venue, symbol),
            trade=trades[0] if trades else None,
        )

    def _course(self, reader: Reader, now: datetime) -> Course:
        venue, symbol = self._venue, self._symbol
        start = candles.floor(now - self._width.reach, self._width.length)
        cut = max(start, buckets.hour(now) - candles.HOUR)
        earlier = _earlier(reader, self._feed.name, venue, symbol, start, cut)
        lately = reader.candles(venue, [symbol], cut, now + candles.MINUTE)[symbol]
        return Course(
            followed=self._followed(),
            minutes=[*earlier, *lately],
            prices=reader.prices(venue, symbol, now - TREND - candles.AVERAGE, now),
        )

    def _newest_book(self, reader: Reader, _now: datetime) -> Book | None:
        return reader.book(self._venue, self._symbol)

    def _newest_trades(self, reader: Reader, now: datetime) -> Tape:
        large = reader.large_trades(self._venue, now)
        return Tape(
            trades=reader.trades(self._venue, self._symbol, now)[:TAPE],
            whales=[each for each in large if each.symbol == self._symbol][:WHALES],
        )

    def _followed(self) -> bool:
        return self._symbol in choices.watched(self._feed, self._venue)

    def _listed_as(self) -> str:
        """Its status now, not when the view was opened."""
        listed = choices.instruments(self._feed, self._venue)
        found = (each.status for each in listed if each.symbol == self._symbol)
        return next(found, choices.DELISTED)

    def _draw_head(self, seen: Head, now: datetime) -> None:
        st.html(self._status(seen, now))
        st.html(markup.tiles(self._tiles(seen, now)))

    def _draw_course(self, seen: Course, _now: datetime) -> None:
        self._candles(seen)
        self._trend(seen)

    def _draw_tape(self, seen: Tape, _now: datetime) -> None:
        st.html(self._tape(seen))
        st.html(self._whales(seen))

    def _status(self, seen: Head, now: datetime) -> str:
        newest = self._newest(seen)
        age = formats.seconds_since(newest and newest[0], now)
        told = "no price yet" if age is None else f"newest price {formats.age(age)} old"
        return markup.status(formats.freshness(age), told, aside=f"· {formats.clock(now)} UTC")

    def _tiles(self, seen: Head, now: datetime) -> list[Tile]:
        hour = candles.hour_change(seen.minutes, now)
        tiles = [
            self._price_tile(seen),
            Tile("change, 1 h", formats.percent(hour), tone=markup.tone_of(hour)),
        ]
        if ticker := seen.ticker:
            change = ticker.price_change_percent
            tiles += [
                Tile("change, 24 h", formats.percent(change), tone=markup.tone_of(change)),
                Tile("high, 24 h", self._price(ticker.high)),
                Tile("low, 24 h", self._price(ticker.low)),
                Tile(f"turnover {self._quote}, 24 h", formats.compact(ticker.quote_volume)),
                Tile("trades, 24 h", formats.count(ticker.trade_count)),
            ]
        if book := seen.book:
            tiles.append(
                Tile(
                    "spread",
                    self._price(book.spread),
                    f"imbalance {book.imbalance:+.2f}".replace("-", formats.MINUS),
                )
            )
        return tiles

    def _price_tile(self, seen: Head) -> Tile:
        newest = self._newest(seen)
        told = formats.NOTHING if newest is None else self._price(newest[1])
        if seen.status == choices.TRADING:
            return Tile(self._symbol, told)
        return Tile(self._symbol, told, f"{seen.status}: not traded now", "warn")

    def _newest(self, seen: Head) -> tuple[datetime, Decimal] | None:
        """When and at which price, of its newest price and its newest trade."""
        known = []
        if seen.price is not None:
            known.append((seen.price.observed_at, seen.price.price))
        if seen.trade is not None:
            known.append((seen.trade.traded_at, seen.trade.price))
        return max(known, default=None)

    def _candles(self, seen: Course) -> None:
        title = f"{self._symbol}, candles of {self._width.name}"
        shown = candles.merged(seen.minutes, self._width.length)
        if not shown:
            panels.nothing(title, self._why_not(followed=seen.followed))
            return
        view = f"{self._venue} {self._symbol} {self._width.name}"
        figure = candlesticks(shown, self._width, view=view, tick=self._tick)
        note = f"hollow: still open · line: mean of {AVERAGE_OF} · below: volume {self._base}"
        panels.chart("candles", title, note, figure)

    def _trend(self, seen: Course) -> None:
        title = "Price against its 5-minute average"
        if not seen.prices:
            panels.nothing(title, "no price within the last 45 minutes")
            return
        figure = trend(seen.prices, view=f"{self._venue} {self._symbol}", tick=self._tick)
        panels.chart("trend", title, "blue: price · amber: average", figure)

    def _draw_book(self, book: Book | None, now: datetime) -> None:
        if book is None:
            panels.nothing("Order book", self._why_not(followed=self._followed()))
            return
        age = formats.age(formats.seconds_since(book.observed_at, now))
        figure = depth(book, view=f"{self._venue} {self._symbol}", tick=self._tick)
        panels.chart("depth", "Order book", f"±0.5 %, 20 levels at least · {age} old", figure)

    def _why_not(self, *, followed: bool) -> str:
        if followed:
            return "no data yet"
        return f"{self._symbol} is not watched (TIDEMARK_SYMBOLS names what is)"

    def _tape(self, seen: Tape) -> str:
        return markup.table(
            "Tape",
            ("time UTC", "side", ">price", f">{self._base}"),
            [
                [
                    formats.clock(each.traded_at),
                    side(each),
                    self._price(each.price),
                    formats.quantity(each.quantity),
                ]
                for each in seen.trades
            ],
            note="newest first",
        )

    def _whales(self, seen: Tape) -> str:
        title = "Whales: above 100,000 USD"
        if not seen.whales:
            return markup.empty(title, "none among the newest of today and yesterday")
        rows: list[list[Cell | str]] = [
            [
                formats.clock(each.traded_at),
                side(each),
                self._price(each.price),
                f"{each.notional_usd:,.0f}",
            ]
            for each in seen.whales
        ]
        return markup.table(title, ("time UTC", "side", ">price", ">USD"), rows)

    def _price(self, value: Decimal) -> str:
        return formats.price(value, self._tick)
