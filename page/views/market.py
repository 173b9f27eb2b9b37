"""Market: what moves, what is large, what has just come."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import streamlit as st

from page import candles, choices, formats, markup
from page.feed import Feed
from page.figures.market import heat
from page.live import POLLED_S, Parts
from page.markup import Cell, Tile
from page.reader import Reader
from page.rows import Candle, Instrument, Mover, Price, Ticker, Trade
from page.views import panels

TILES = 12
LATEST = 12
WHALES = 12
TITLES = {
    "gainers": "Top 5 gainers, 24 h",
    "losers": "Top 5 losers, 24 h",
    "volume": "Top 5 by volume",
}


@dataclass(frozen=True)
class Lately:
    """The pipeline's newest heartbeat, and an hour of candles of each watched symbol."""

    beat: datetime | None
    hours: dict[str, list[Candle]]


def show(feed: Feed) -> None:
    """The whole view."""
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        venue = choices.venue(feed, above)
        if venue is None:
            return
        listed = choices.begun(feed, lambda: choices.instruments(feed, venue))
        if listed is None:
            return
        quote = choices.quote_asset(choices.traded(listed) or listed)
    _Market(feed, venue, quote, {each.symbol: each for each in listed}).show()


class _Market:
    """The view of one venue and one quote asset."""

    def __init__(self, feed: Feed, venue: str, quote: str, listed: dict[str, Instrument]) -> None:
        self._parts = Parts(feed, "market", f"{venue} {quote}", loud="hours")
        self._feed = feed
        self._venue = venue
        self._quote = quote
        self._listed = listed

    def show(self) -> None:
        self._parts.show("hours", self._lately, self._draw_lately)
        self._parts.show("movers", self._movers, self._draw_movers, least_s=POLLED_S)
        left, middle, right = st.columns([5, 4, 3])
        with left:
            self._parts.show("heat", self._tickers, self._draw_heat, least_s=POLLED_S)
        with middle:
            self._parts.show("whales", self._whales, self._draw_whales)
        with right:
            self._parts.show("latest", self._latest, self._draw_latest, least_s=POLLED_S)

    def _lately(self, reader: Reader, now: datetime) -> Lately:
        start = now - timedelta(minutes=62)
        watched = choices.watched(self._feed, self._venue)[:TILES]
        return Lately(
            beat=reader.newest_beat("ingest", now),
            hours=reader.candles(self._venue, watched, start, now + candles.MINUTE),
        )

    def _draw_lately(self, seen: Lately, now: datetime) -> None:
        age = formats.seconds_since(seen.beat, now)
        told = "no row has arrived yet" if age is None else f"newest row {formats.age(age)} old"
        st.html(markup.status(formats.freshness(age), told, aside=f"· {formats.clock(now)} UTC"))
        tiles = [self._tile(symbol, minutes, now) for symbol, minutes in seen.hours.items()]
        st.html(markup.tiles(tiles) if tiles else markup.notice("no symbol is watched yet"))

    def _tile(self, symbol: str, minutes: list[Candle], now: datetime) -> Tile:
        link = markup.symbol_link(self._venue, symbol)
        if not minutes:
            return Tile(symbol, formats.NOTHING, "no candle within the hour", link=link)
        change = candles.hour_change(minutes, now)
        note = "not an hour yet" if change is None else f"{formats.percent(change)} in 1 h"
        last = minutes[-1]
        late = formats.seconds_since(last.open_time, now) or 0.0
        if late > 3 * 60:  # the newest candle should be the one that is open
            return Tile(symbol, self._price(symbol, last), f"{formats.age(late)} old", "warn", link)
        past = tuple(float(each.close) for each in minutes)
        return Tile(symbol, self._price(symbol, last), note, markup.tone_of(change), link, past)

    def _price(self, symbol: str, candle: Candle) -> str:
        return formats.price(candle.close, self._tick(symbol))

    def _whale(self, trade: Trade) -> list[Cell | str]:
        return [
            formats.clock(trade.traded_at),
            self._symbol(trade.symbol),
            side(trade),
            formats.price(trade.price, self._tick(trade.symbol)),
            formats.quantity(trade.quantity),
            f"{trade.notional_usd:,.0f}",
        ]

    def _whales(self, reader: Reader, now: datetime) -> list[Trade]:
        return reader.large_trades(self._venue, now)[:WHALES]

    def _draw_whales(self, seen: list[Trade], _now: datetime) -> None:
        headers = ("time UTC", "symbol", "side", ">price", ">quantity", ">USD")
        rows = [self._whale(each) for each in seen]
        title = "Whales: above 100,000 USD"
        st.html(
            markup.table(title, headers, rows, note="newest first")
            if rows
            else markup.empty(title, "none today and yesterday")
        )

    def _tickers(self, reader: Reader, _now: datetime) -> list[Ticker]:
        # of now, not of when the view was opened
        traded = choices.traded(choices.instruments(self._feed, self._venue))
        mine = {each.symbol for each in traded if each.quote_asset == self._quote}
        return [each for each in reader.tickers(self._venue) if each.symbol in mine]

    def _draw_heat(self, seen: list[Ticker], now: datetime) -> None:
        title = f"Heat of the market, {self._quote}, 24 h"
        if not seen:
            panels.nothing(title, f"no 24 h statistics of {self._quote} pairs yet")
            return
        age = formats.age(formats.seconds_since(max(each.as_of for each in seen), now))
        view = f"heat {self._venue} {self._quote}"
        panels.chart("heat", title, f"size: turnover · {age} old", heat(seen, view=view))

    def _latest(self, reader: Reader, _now: datetime) -> list[Price]:
        known = [each for each in reader.latest_prices(self._venue) if each.symbol in self._listed]
        return heapq.nlargest(LATEST, known, key=lambda each: each.observed_at)

    def _draw_latest(self, seen: list[Price], _now: datetime) -> None:
        headers = ("symbol", ">price", ">observed UTC", ">stored after")
        rows = [self._late(each) for each in seen]
        st.html(markup.table("Latest rows", headers, rows, note="prices"))

    def _movers(self, reader: Reader, now: datetime) -> list[Mover]:
        return reader.movers(self._venue, self._quote, now)

    def _draw_movers(self, seen: list[Mover], now: datetime) -> None:
        for column, (ranking, title) in zip(st.columns(3), TITLES.items(), strict=True):
            column.html(self._ranking(title, [m for m in seen if m.ranking == ranking], now))

    def _ranking(self, title: str, movers: list[Mover], now: datetime) -> str:
        if not movers:
            return markup.empty(
                title, f"no ranking of {self._quote} pairs yet (TIDEMARK_MOVERS_QUOTES)"
            )
        age = formats.age(formats.seconds_since(movers[0].snapshot_at, now))
        return markup.table(
            title,
            ("", "symbol", ">price", ">24 h", f">turnover {self._quote}"),
            [self._place(each) for each in movers],
            note=f"{age} old",
        )

    def _place(self, mover: Mover) -> list[Cell | str]:
        if not mover.symbol:  # a place that nobody holds
            return [Cell(str(mover.rank), "muted"), formats.NOTHING, "", "", ""]
        return [
            Cell(str(mover.rank), "muted"),
            self._symbol(mover.symbol),
            formats.price(mover.last, self._tick(mover.symbol)),
            markup.change(mover.price_change_percent),
            formats.compact(mover.quote_volume),
        ]

    def _late(self, price: Price) -> list[Cell | str]:
        stored_ms = price.ingested_at_us / 1000 - price.observed_at.timestamp() * 1000
        return [
            self._symbol(price.symbol),
            formats.price(price.price, self._tick(price.symbol)),
            formats.clock(price.observed_at),
            formats.milliseconds(max(0.0, stored_ms)),
        ]

    def _symbol(self, symbol: str) -> Cell:
        return Cell(symbol, link=markup.symbol_link(self._venue, symbol))

    def _tick(self, symbol: str) -> Decimal | None:
        instrument = self._listed.get(symbol)
        return instrument.tick_size if instrument else None


def side(trade: Trade) -> Cell:
    """Who came to whom: a taker that buys, or one that sells."""
    return Cell("sell", "down") if trade.is_buyer_maker else Cell("buy", "up")
