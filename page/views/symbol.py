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
from page.live import Part, live
from page.markup import Cell, Tile
from page.reader import Reader
from page.rows import Book, Candle, Instrument, Price, Ticker, Trade
from page.views import panels
from page.views.market import side

TREND = timedelta(minutes=45)
TAPE = 12
WHALES = 6


@dataclass(frozen=True)
class Seen:
    """Everything of the symbol at one moment; `followed`: there should be more than its price.

    `status` as the exchange tells it: TRADING, HALT, BREAK and the like.
    """

    status: str
    followed: bool
    minutes: list[Candle]
    prices: list[Price]
    ticker: Ticker | None
    book: Book | None
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
    view = _Symbol(feed, venue, instrument, width)
    of = f"{venue} {instrument.symbol} {width.name}"
    live(feed, Part("symbol", of, view.gather, view.draw))


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
        self._feed = feed
        self._venue = venue
        self._symbol = instrument.symbol
        self._base = instrument.base_asset
        self._quote = instrument.quote_asset
        self._tick = instrument.tick_size or None
        self._width = width

    def gather(self, reader: Reader, now: datetime) -> Seen:
        venue, symbol = self._venue, self._symbol
        start = candles.floor(now - self._width.reach, self._width.length)
        # of the last hour, too, for the change within it
        cut = max(start, buckets.hour(now) - candles.HOUR)
        earlier = _earlier(reader, self._feed.name, venue, symbol, start, cut)
        lately = reader.candles(venue, [symbol], cut, now + candles.MINUTE)[symbol]
        return Seen(
            status=self._listed_as(),
            followed=symbol in choices.watched(self._feed, venue),
            minutes=[*earlier, *lately],
            prices=reader.prices(venue, symbol, now - TREND - candles.AVERAGE, now),
            ticker=reader.ticker(venue, symbol),
            book=reader.book(venue, symbol),
            trades=reader.trades(venue, symbol, now)[:TAPE],
            whales=[t for t in reader.large_trades(venue, now) if t.symbol == symbol][:WHALES],
        )

    def _listed_as(self) -> str:
        """Its status now, not when the view was opened."""
        listed = choices.instruments(self._feed, self._venue)
        found = (each.status for each in listed if each.symbol == self._symbol)
        return next(found, choices.DELISTED)

    def draw(self, seen: Seen, now: datetime) -> None:
        st.html(self._status(seen, now))
        st.html(markup.tiles(self._tiles(seen, now)))
        left, right = st.columns([7, 3])
        with left:
            self._candles(seen)
            self._trend(seen)
        with right:
            self._book(seen, now)
            st.html(self._tape(seen))
            st.html(self._whales(seen))

    def _status(self, seen: Seen, now: datetime) -> str:
        newest = [each.observed_at for each in seen.prices[-1:]]
        newest += [each.traded_at for each in seen.trades[:1]]
        age = formats.seconds_since(max(newest, default=None), now)
        told = "no price yet" if age is None else f"newest price {formats.age(age)} old"
        return markup.status(formats.freshness(age), told, aside=f"· {formats.clock(now)} UTC")

    def _tiles(self, seen: Seen, now: datetime) -> list[Tile]:
        hour = candles.hour_change(seen.minutes, now)
        last = self._last(seen)
        tiles = [
            self._price_tile(seen, last),
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

    def _price_tile(self, seen: Seen, last: Decimal | None) -> Tile:
        told = formats.NOTHING if last is None else self._price(last)
        if seen.status == choices.TRADING:
            return Tile(self._symbol, told)
        return Tile(self._symbol, told, f"{seen.status}: not traded now", "warn")

    def _last(self, seen: Seen) -> Decimal | None:
        """The newest of trades and prices."""
        known = [(each.observed_at, each.price) for each in seen.prices[-1:]]
        known += [(each.traded_at, each.price) for each in seen.trades[:1]]
        return max(known)[1] if known else None

    def _candles(self, seen: Seen) -> None:
        title = f"{self._symbol}, candles of {self._width.name}"
        shown = candles.merged(seen.minutes, self._width.length)
        if not shown:
            panels.nothing(title, self._why_not(seen))
            return
        view = f"{self._venue} {self._symbol} {self._width.name}"
        figure = candlesticks(shown, self._width, view=view, tick=self._tick)
        note = f"hollow: still open · line: mean of {AVERAGE_OF} · below: volume {self._base}"
        panels.chart("candles", title, note, figure)

    def _trend(self, seen: Seen) -> None:
        title = "Price against its 5-minute average"
        if not seen.prices:
            panels.nothing(title, "no price within the last 45 minutes")
            return
        figure = trend(seen.prices, view=f"{self._venue} {self._symbol}", tick=self._tick)
        panels.chart("trend", title, "blue: price · amber: average", figure)

    def _book(self, seen: Seen, now: datetime) -> None:
        if seen.book is None:
            panels.nothing("Order book", self._why_not(seen))
            return
        age = formats.age(formats.seconds_since(seen.book.observed_at, now))
        figure = depth(seen.book, view=f"{self._venue} {self._symbol}", tick=self._tick)
        panels.chart("depth", "Order book", f"±0.5 %, 20 levels at least · {age} old", figure)

    def _why_not(self, seen: Seen) -> str:
        if seen.followed:
            return "no data yet"
        return f"{self._symbol} is not watched (TIDEMARK_SYMBOLS names what is)"

    def _tape(self, seen: Seen) -> str:
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

    def _whales(self, seen: Seen) -> str:
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
