"""What the page reads: a row of each question, with only the columns that a view shows.

Prices, quantities and percentages are Decimal as they were stored; times are aware, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

Level = tuple[Decimal, Decimal]  # price, quantity


@dataclass(frozen=True, slots=True)
class Instrument:
    """`instruments`."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    tick_size: Decimal


@dataclass(frozen=True, slots=True)
class Ticker:
    """`ticker_24h`: volumes are of the last 24 hours, `quote_volume` in the quote asset."""

    symbol: str
    as_of: datetime
    last: Decimal
    high: Decimal
    low: Decimal
    price_change_percent: Decimal
    quote_volume: Decimal
    trade_count: int


@dataclass(frozen=True, slots=True)
class Mover:
    """`movers_24h`: a place of a ranking (`gainers`, `losers`, `volume`)."""

    snapshot_at: datetime
    ranking: str
    rank: int
    symbol: str
    last: Decimal
    price_change_percent: Decimal
    quote_volume: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """`latest_prices`, `prices_by_day`; `ingested_at_us` µs since the epoch."""

    symbol: str
    observed_at: datetime
    price: Decimal
    ingested_at_us: int


@dataclass(frozen=True, slots=True)
class Candle:
    """`klines`, of whatever width."""

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Trade:
    """`trades_by_hour`, `large_trades_by_day`; `is_buyer_maker`: the seller came to the buyer."""

    symbol: str
    traded_at: datetime
    trade_id: int
    price: Decimal
    quantity: Decimal
    notional_usd: Decimal
    is_buyer_maker: bool


@dataclass(frozen=True, slots=True)
class Book:
    """`latest_depth`: levels best first; `imbalance` −1 (only asks) … 1 (only bids)."""

    symbol: str
    observed_at: datetime
    spread: Decimal
    imbalance: Decimal
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """`heartbeats_by_day`: when each stage had it; µs (`produced_ms`: ms) since the epoch."""

    beat_at: datetime
    committed_us: int | None
    captured_us: int | None
    produced_ms: int | None
    received_us: int | None
    visible_us: int | None


@dataclass(frozen=True, slots=True)
class Proof:
    """`verified_through` of a table; None where nothing was proved yet."""

    table: str
    through: datetime | None
    at: datetime | None
    differences: int


@dataclass(frozen=True, slots=True)
class Gap:
    """`gaps`: trade ids, or open times in ms, that are missing."""

    detected_at: datetime
    symbol: str
    stream: str
    first_missing: int
    last_missing: int
    state: str
    cause: str


@dataclass(frozen=True, slots=True)
class Minute:
    """`certificates_by_day`: whether a minute's trades make its candle."""

    symbol: str
    open_time: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Event:
    """`events_by_day`."""

    at: datetime
    kind: str
    symbol: str
    severity: str
    message: str
