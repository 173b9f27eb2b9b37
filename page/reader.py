"""What a view may ask, and of what it may ask it: the seam between the page and Cassandra.

Every call raises PageError where there is no answer. Times are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from page.rows import (
    Beat,
    Book,
    Candle,
    Event,
    Gap,
    Instrument,
    Minute,
    Mover,
    Price,
    Proof,
    Ticker,
    Trade,
)

RANKINGS = ("gainers", "losers", "volume")
# What the venue's rows are replicated into, as the table `verified_through` names it.
TABLES = (
    "instruments",
    "listings",
    "prices_by_day",
    "latest_prices",
    "depth_by_hour",
    "latest_depth",
    "trades_by_hour",
    "large_trades_by_day",
    "klines",
    "ticker_24h",
    "ticker_24h_by_day",
    "movers_24h",
    "coin_markets",
    "gaps",
    "certificates_by_day",
    "events_by_day",
    "heartbeats_by_day",
)


class Reader(Protocol):
    """The history, by the question."""

    def venues(self) -> list[str]:
        """Exchanges of which there are rows, in the order of preference."""

    def instruments(self, venue: str) -> list[Instrument]:
        """All that the venue lists, by symbol."""

    def tickers(self, venue: str) -> list[Ticker]:
        """24 h statistics of every symbol."""

    def ticker(self, venue: str, symbol: str) -> Ticker | None:
        """24 h statistics of one symbol; None where there are none."""

    def movers(self, venue: str, quote_asset: str, now: datetime) -> list[Mover]:
        """The five first places of each ranking in its newest snapshot of a day or two."""

    def latest_prices(self, venue: str) -> list[Price]:
        """The current price of every symbol."""

    def latest_price(self, venue: str, symbol: str) -> Price | None:
        """The current price of one symbol; None where there is none."""

    def watched(self, venue: str) -> list[str]:
        """Symbols of which there is more than prices: books, trades, candles."""

    def prices(self, venue: str, symbol: str, start: datetime, end: datetime) -> list[Price]:
        """Prices from `start` on, ascending; `end` is the present."""

    def book(self, venue: str, symbol: str) -> Book | None:
        """The newest order book; None where there is none."""

    def candles(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, list[Candle]]:
        """One-minute candles of [start, end) of each symbol, ascending."""

    def trades(self, venue: str, symbol: str, now: datetime) -> list[Trade]:
        """The newest trades of this hour and the last, newest first."""

    def large_trades(self, venue: str, now: datetime) -> list[Trade]:
        """Trades above 100,000 USD of today and yesterday, newest first."""

    def beats(self, source: str, start: datetime, end: datetime) -> list[Beat]:
        """Heartbeats of a source from `start` on, ascending; `end` is the present."""

    def newest_beat(self, source: str, now: datetime) -> datetime | None:
        """The newest heartbeat of a day or two; None where there is none."""

    def proofs(self) -> list[Proof]:
        """How far each table was verified; in the order of TABLES, unverified ones left out."""

    def gaps(self, venue: str) -> list[Gap]:
        """What is missing or was."""

    def minutes(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> list[Minute]:
        """Certificates of each symbol from `start` on; `end` is the present."""

    def events(self, venue: str, start: datetime, end: datetime) -> list[Event]:
        """Events of the days of [start, end], newest first."""
