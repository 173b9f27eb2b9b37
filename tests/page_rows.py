"""Rows for the page without a database: a seeded market of some symbols, as a reader gives them.

The reader is the page's seam; this one answers from memory, and raises what a test tells it to.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from page.errors import PageError
from page.feed import Feed
from page.reader import RANKINGS, TABLES, Reader
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

VENUE = "simulator"
PRICES = {  # symbol → price, tick
    "BTCUSDT": ("100234.56", "0.01"),
    "ETHUSDT": ("3456.78", "0.01"),
    "SOLUSDT": ("172.41", "0.01"),
    "XRPUSDT": ("2.4312", "0.0001"),
    "DOGEUSDT": ("0.18234", "0.00001"),
    "PEPEUSDT": ("0.00000012", "0.00000001"),
    "ADAUSDT": ("0.7421", "0.0001"),
    "LINKUSDT": ("17.338", "0.001"),
}
UNWATCHED = "ETHBTC"
HALTED = "WAVESUSDT"
MINUTE = timedelta(minutes=1)


def drift(symbol: str, at: datetime) -> float:
    """A factor around 1 that a price has at a moment; the same for the same arguments."""
    phase = sum(map(ord, symbol)) % 7
    seconds = at.timestamp()
    slow = math.sin(seconds / 5400 + phase) * 0.012
    fast = math.sin(seconds / 417 + phase * 2) * 0.002
    noise = random.Random(f"{symbol}{int(seconds)}").uniform(-0.0006, 0.0006)
    return 1 + slow + fast + noise


def price_at(symbol: str, at: datetime) -> Decimal:
    """In steps of the symbol's tick."""
    base, tick = PRICES[symbol]
    steps = round(float(base) * drift(symbol, at) / float(tick))
    return max(1, steps) * Decimal(tick)


@dataclass
class Recorded(Reader):
    """Rows of one moment, with whatever a test wants to be different.

    `failure` is raised by every question; `missing` names questions that have no rows.
    """

    now: datetime
    failure: PageError | None = None
    missing: set[str] = field(default_factory=set)
    extra_events: list[Event] = field(default_factory=list)
    found_gaps: list[Gap] = field(default_factory=list)
    symbols: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(PRICES))

    def _asked(self, question: str) -> bool:
        """Whether there are rows; raises the failure that was told."""
        if self.failure is not None:
            raise self.failure
        return question not in self.missing

    def feed(self, name: str = "recorded") -> Feed:
        return Feed(name=name, reader=lambda: self, now=lambda: self.now, refresh_s=2.0)

    def venues(self) -> list[str]:
        return [VENUE] if self._asked("venues") else []

    def instruments(self, venue: str) -> list[Instrument]:
        if not self._asked("instruments") or venue != VENUE:
            return []
        watched = [
            Instrument(symbol, symbol.removesuffix("USDT"), "USDT", "TRADING", Decimal(tick))
            for symbol, (_, tick) in self.symbols.items()
        ]
        others = [
            Instrument(UNWATCHED, "ETH", "BTC", "TRADING", Decimal("0.00001")),
            Instrument(HALTED, "WAVES", "USDT", "BREAK", Decimal("0.0001")),
            Instrument("LUNAUSDT", "LUNA", "USDT", "DELISTED", Decimal("0.01")),
        ]
        return [*watched, *others]

    def tickers(self, venue: str) -> list[Ticker]:
        return self._tickers() if self._asked("tickers") and venue == VENUE else []

    def _tickers(self) -> list[Ticker]:
        return [
            Ticker(
                symbol=symbol,
                as_of=self.now - timedelta(seconds=7),
                last=price_at(symbol, self.now) if symbol in PRICES else Decimal(1),
                high=Decimal(base) * Decimal("1.02"),
                low=Decimal(base) * Decimal("0.97"),
                price_change_percent=Decimal(f"{(place % 5 - 2) * 1.73 + 0.4:.2f}"),
                quote_volume=Decimal(2_400_000_000) / (place + 1) ** 2,
                trade_count=1_234_567 // (place + 1),
            )
            for place, (symbol, (base, _)) in enumerate(self.symbols.items())
        ]

    def ticker(self, venue: str, symbol: str) -> Ticker | None:
        if not self._asked("ticker") or venue != VENUE:
            return None
        return next((each for each in self._tickers() if each.symbol == symbol), None)

    def movers(self, venue: str, quote_asset: str, now: datetime) -> list[Mover]:
        del now
        if not self._asked("movers") or (venue, quote_asset) != (VENUE, "USDT"):
            return []
        tickers = self._tickers()
        orders = {
            "gainers": sorted(tickers, key=lambda t: -t.price_change_percent),
            "losers": sorted(tickers, key=lambda t: t.price_change_percent),
            "volume": sorted(tickers, key=lambda t: -t.quote_volume),
        }
        ranked = [
            Mover(
                self.now - timedelta(seconds=9),
                ranking,
                rank,
                ticker.symbol,
                ticker.last,
                ticker.price_change_percent,
                ticker.quote_volume,
            )
            for ranking in RANKINGS
            for rank, ticker in enumerate(orders[ranking][:4], 1)
        ]
        nothing = Decimal(0)
        nobody = Mover(self.now - timedelta(seconds=9), "losers", 5, "", nothing, nothing, nothing)
        return [*ranked, nobody]

    def latest_prices(self, venue: str) -> list[Price]:
        if not self._asked("latest_prices") or venue != VENUE:
            return []
        return [
            self._price_of(symbol, self.now - timedelta(seconds=place, milliseconds=430))
            for place, symbol in enumerate(PRICES)
        ]

    def latest_price(self, venue: str, symbol: str) -> Price | None:
        if not self._asked("latest_price") or venue != VENUE or symbol not in PRICES:
            return None
        return self._price_of(symbol, self.now - timedelta(milliseconds=430))

    def watched(self, venue: str) -> list[str]:
        return list(self.symbols) if self._asked("watched") and venue == VENUE else []

    def prices(self, venue: str, symbol: str, start: datetime, end: datetime) -> list[Price]:
        if not self._asked("prices") or venue != VENUE or symbol not in PRICES:
            return []
        seconds = int((end - start).total_seconds())
        return [self._price_of(symbol, start + timedelta(seconds=n)) for n in range(0, seconds, 10)]

    def book(self, venue: str, symbol: str) -> Book | None:
        if not self._asked("book") or venue != VENUE or symbol not in PRICES:
            return None
        middle, tick = price_at(symbol, self.now), Decimal(PRICES[symbol][1])
        draw = random.Random(symbol)
        step = max(tick, (middle * Decimal("0.00005")).quantize(tick))
        amounts = [Decimal(f"{draw.expovariate(0.4):.4f}") for _ in range(240)]
        return Book(
            symbol=symbol,
            observed_at=self.now - timedelta(seconds=3),
            spread=step,
            imbalance=Decimal("-0.137"),
            bids=tuple((middle - n * step, amounts[n]) for n in range(120) if middle > n * step),
            asks=tuple((middle + (n + 1) * step, amounts[120 + n]) for n in range(120)),
        )

    def candles(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, list[Candle]]:
        there = self._asked("candles") and venue == VENUE
        return {
            symbol: self._minutes(symbol, start, end) if there and symbol in PRICES else []
            for symbol in symbols
        }

    def trades(self, venue: str, symbol: str, now: datetime) -> list[Trade]:
        if not self._asked("trades") or venue != VENUE or symbol not in PRICES:
            return []
        return [self._trade(symbol, now - timedelta(seconds=1.3 * n), n) for n in range(25)]

    def large_trades(self, venue: str, now: datetime) -> list[Trade]:
        if not self._asked("large_trades") or venue != VENUE:
            return []
        names = list(PRICES)[:3]
        return [
            self._trade(names[n * n % 3], now - timedelta(minutes=7 * n), n, usd=104_000 + n * 7919)
            for n in range(40)
        ]

    def beats(self, source: str, start: datetime, end: datetime) -> list[Beat]:
        if not self._asked("beats"):
            return []
        seconds = int((end - start).total_seconds())
        return [self._beat(source, start + timedelta(seconds=n)) for n in range(seconds)]

    def newest_beat(self, source: str, now: datetime) -> datetime | None:
        del now
        there = self._asked("newest_beat")
        age = timedelta(seconds=0.8 if source == "ingest" else 1.6)
        return self.now - age if there else None

    def proofs(self) -> list[Proof]:
        if not self._asked("proofs"):
            return []
        hour = self.now.replace(minute=0, second=0, microsecond=0)
        looked = self.now - timedelta(minutes=11)
        return [Proof(table, hour, looked, 0) for table in TABLES[:-1]]

    def gaps(self, venue: str) -> list[Gap]:
        return self.found_gaps if self._asked("gaps") and venue == VENUE else []

    def minutes(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> list[Minute]:
        if not self._asked("minutes") or venue != VENUE:
            return []
        first = start.replace(second=0, microsecond=0) + MINUTE
        length = int((end - first) / MINUTE) - 2
        return [
            Minute(symbol, first + n * MINUTE, self._state(place, n))
            for place, symbol in enumerate(symbols)
            for n in range(length)
        ]

    def events(self, venue: str, start: datetime, end: datetime) -> list[Event]:
        del start, end
        if not self._asked("events"):
            return []
        if venue == VENUE:
            at = self.now - timedelta(hours=2)
            return [Event(at, "listing", "PEPEUSDT", "info", "PEPEUSDT is listed")]
        over = Event(self.now - MINUTE, "alarm", "", "info", "slot: over after 40 s")
        raised = Event(self.now - 2 * MINUTE, "alarm", "", "critical", "slot: it retains 2 GB")
        return [*self.extra_events, over, raised]

    def _price_of(self, symbol: str, at: datetime) -> Price:
        stored_us = round(at.timestamp() * 1e6) + 38_000
        return Price(symbol, at, price_at(symbol, at), stored_us)

    def _minutes(self, symbol: str, start: datetime, end: datetime) -> list[Candle]:
        first = start.replace(second=0, microsecond=0)
        times = [first + n * MINUTE for n in range(int((end - first) / MINUTE) + 1)]
        return [self._candle(symbol, at) for at in times if start <= at < end and at <= self.now]

    def _candle(self, symbol: str, at: datetime) -> Candle:
        within = [price_at(symbol, at + timedelta(seconds=n)) for n in range(0, 60, 10)]
        volume = Decimal(f"{random.Random(f'{symbol}{at}').expovariate(0.02):.3f}")
        return Candle(
            open_time=at,
            open=within[0],
            high=max(within),
            low=min(within),
            close=within[-1],
            volume=volume,
            quote_volume=volume * within[-1],
            is_closed=at + MINUTE <= self.now,
        )

    def _trade(self, symbol: str, at: datetime, number: int, usd: int | None = None) -> Trade:
        price = price_at(symbol, at)
        draw = random.Random(number)
        amount = Decimal(usd) / price if usd else Decimal(f"{draw.expovariate(2):.5f}")
        worth = Decimal(usd) if usd else price * amount
        return Trade(symbol, at, 10_000 - number, price, amount, worth, draw.random() < 0.5)

    def _beat(self, source: str, at: datetime) -> Beat:
        draw = random.Random(f"{source}{int(at.timestamp())}")
        moment = round(at.timestamp() * 1e6)
        committed = moment + draw.randint(1_000, 3_000)
        captured = committed + draw.randint(8_000, 24_000)
        produced = captured + draw.randint(1_000, 9_000)
        received = produced + draw.randint(2_000, 20_000)
        stall = draw.randint(200_000, 700_000) if draw.random() < 0.01 else 0
        visible = received + draw.randint(3_000, 12_000) + stall
        return Beat(at, committed, captured, produced // 1000, received, visible)

    @staticmethod
    def _state(place: int, number: int) -> str:
        if (place, number) == (1, 40):
            return "differs"
        return "incomplete" if place == 3 and 90 <= number < 97 else "certified"
