"""The market as typed rows: what every exchange's messages become, and what one table row holds.

Field names are the columns of the table named in each docstring; `ingested_at` is left to the
database. Prices, quantities and percentages are Decimal, exactly as the source wrote them. Times
are aware datetimes in UTC; those in a key are whole milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """`instruments`. `lot_size` is the step of quantities; `min_notional` 0 where none is named."""

    venue: str
    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    as_of: datetime


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """`listings`: what a symbol stands for from `listed_at` on, until `delisted_at` or the next."""

    venue: str
    symbol: str
    listed_at: datetime
    base_asset: str
    quote_asset: str
    delisted_at: datetime | None
    as_of: datetime


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """`prices`."""

    venue: str
    symbol: str
    observed_at: datetime
    price: Decimal


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """`depth`: levels as (price, quantity), best first."""

    venue: str
    symbol: str
    observed_at: datetime
    last_update_id: int
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """`trades`. `traded_at_us` are exact µs since the epoch; `traded_at` is its floor to ms."""

    venue: str
    symbol: str
    trade_id: int
    traded_at: datetime
    traded_at_us: int
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    notional_usd: Decimal
    is_buyer_maker: bool
    is_best_match: bool


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """`klines`: one candle; `as_of` is when the source said so."""

    venue: str
    symbol: str
    interval: str
    open_time: datetime
    close_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    is_closed: bool
    as_of: datetime


class Ticker24h(msgspec.Struct, frozen=True, kw_only=True):
    """`ticker_24h` and, for watched symbols, `ticker_24h_history`; `as_of` is the closeTime."""

    venue: str
    symbol: str
    as_of: datetime
    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    last_quantity: Decimal
    weighted_average: Decimal
    previous_close: Decimal
    price_change: Decimal
    price_change_percent: Decimal
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    volume: Decimal
    quote_volume: Decimal
    first_trade_id: int
    last_trade_id: int
    trade_count: int


class CoinMarket(msgspec.Struct, frozen=True, kw_only=True):
    """`coin_markets`: a coin on all its markets together; None where the source says null.

    `ts_event` is the source's own time of the values, `as_of` when it said so.
    """

    venue: str
    coin_id: str
    vs_currency: str
    ts_event: datetime
    symbol: str
    name: str
    price: Decimal
    market_cap: Decimal | None
    market_cap_rank: int | None
    total_volume: Decimal | None
    high_24h: Decimal | None
    low_24h: Decimal | None
    price_change_percent_24h: Decimal | None
    circulating_supply: Decimal | None
    total_supply: Decimal | None
    max_supply: Decimal | None
    as_of: datetime


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """`gaps`: a range that is missing (trade ids, or open times in ms), its state and its cause."""

    venue: str
    symbol: str
    stream: str
    first_missing: int
    last_missing: int
    state: str
    cause: str
    detail: str
    detected_at: datetime
    as_of: datetime


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """`certificates`: whether the trades of a minute make its closed candle.

    `trade_count` and the ids are of the trades held; ids are −1 where there is none. `as_of` is the
    candle's.
    """

    venue: str
    symbol: str
    open_time: datetime
    state: str
    trade_count: int
    first_trade_id: int
    last_trade_id: int
    detail: str
    as_of: datetime


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`events`: what a chart annotates (listing, halt, ban, alarm, backfill, …)."""

    venue: str
    kind: str
    message: str
    symbol: str = ""
    severity: str = "info"


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """`quarantine`: a row that failed validation, its reason and its own bytes."""

    source: str
    endpoint: str
    reason: str
    raw: bytes
