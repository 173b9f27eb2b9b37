"""The tables of PostgreSQL, the truth. SQLAlchemy Core; alembic makes every change.

Rules that hold for all of them:
- every row has `venue` in its key, so that sources never mix;
- prices and quantities are NUMERIC(38,18); a value that it would round goes to quarantine;
- a time in a key is floored to milliseconds (CHECK), so that one event is one row whatever the
  source's unit; the exact microseconds stand beside it where the source has them;
- `ingested_at` is ours, everything else is the source's;
- upserted tables have `as_of`, the source's time of what the row says; it never goes backwards.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Amount = Numeric(38, 18)
Time = DateTime(timezone=True)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _amount(name: str) -> Column[Any]:
    return Column(name, Amount, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _time(name: str) -> Column[Any]:
    return Column(name, Time, nullable=False)


def _ingested() -> Column[Any]:
    return Column("ingested_at", Time, nullable=False, server_default=func.clock_timestamp())


def _whole_ms(column: str) -> CheckConstraint:
    return CheckConstraint(f"date_trunc('milliseconds', {column}) = {column}", name=f"{column}_ms")


def _daily(column: str) -> str:
    return f"RANGE ({column})"


instruments = Table(
    "instruments",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("base_asset"),
    _text("quote_asset"),
    _text("status"),  # TRADING, HALT, BREAK, CANCEL_ONLY, DELISTED (ours: gone from exchangeInfo)
    _amount("tick_size"),
    _amount("lot_size"),
    _amount("min_notional"),  # 0 where the exchange names none
    _time("as_of"),
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol"),
)

prices = Table(
    "prices",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("observed_at"),  # when we received it: ticker/price has no time of its own
    _amount("price"),
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol", "observed_at"),
    _whole_ms("observed_at"),
    postgresql_partition_by=_daily("observed_at"),
)

depth = Table(
    "depth",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("observed_at"),
    _count("last_update_id"),
    Column("bids", JSONB, nullable=False),  # [["price", "quantity"], …] as strings, best first
    Column("asks", JSONB, nullable=False),
    _amount("best_bid"),
    _amount("best_bid_quantity"),
    _amount("best_ask"),
    _amount("best_ask_quantity"),
    _amount("spread"),  # best_ask − best_bid
    _amount(
        "imbalance"
    ),  # (bid − ask) / (bid + ask) of the summed quantities of these levels, −1…1
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol", "observed_at"),
    _whole_ms("observed_at"),
    postgresql_partition_by=_daily("observed_at"),
)

trades = Table(
    "trades",
    metadata,
    _text("venue"),
    _text("symbol"),
    _count("trade_id"),
    _time("traded_at"),
    Column("traded_at_us", BigInteger, nullable=False),  # µs since the epoch; ×1000 of a ms source
    _amount("price"),
    _amount("quantity"),
    _amount("quote_quantity"),
    _amount("notional_usd"),  # fixed at insert; 0 where the quote asset cannot be priced
    _flag("is_buyer_maker"),
    _flag("is_best_match"),
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol", "trade_id", "traded_at"),
    _whole_ms("traded_at"),
    postgresql_partition_by=_daily("traded_at"),
)

klines = Table(
    "klines",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("interval"),
    _time("open_time"),
    _time("close_time"),
    _amount("open"),
    _amount("high"),
    _amount("low"),
    _amount("close"),
    _amount("volume"),
    _amount("quote_volume"),
    _count("trade_count"),
    _amount("taker_buy_volume"),
    _amount("taker_buy_quote_volume"),
    _flag("is_closed"),
    _time("as_of"),  # when the source said so
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol", "interval", "open_time"),
    _whole_ms("open_time"),
)


def _ticker_columns() -> list[Column[Any]]:
    return [
        _time("open_time"),
        _amount("open"),
        _amount("high"),
        _amount("low"),
        _amount("last"),
        _amount("last_quantity"),
        _amount("weighted_average"),
        _amount("previous_close"),
        _amount("price_change"),
        _amount("price_change_percent"),
        _amount("bid"),
        _amount("bid_quantity"),
        _amount("ask"),
        _amount("ask_quantity"),
        _amount("volume"),
        _amount("quote_volume"),
        _count("first_trade_id"),  # −1 where nothing was traded
        _count("last_trade_id"),
        _count("trade_count"),
        _ingested(),
    ]


ticker_24h = Table(
    "ticker_24h",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("as_of"),  # the exchange's closeTime
    *_ticker_columns(),
    PrimaryKeyConstraint("venue", "symbol"),
)

ticker_24h_history = Table(
    "ticker_24h_history",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("as_of"),
    *_ticker_columns(),
    PrimaryKeyConstraint("venue", "symbol", "as_of"),
    _whole_ms("as_of"),
    postgresql_partition_by=_daily("as_of"),
)

movers_24h = Table(
    "movers_24h",
    metadata,
    _text("venue"),
    _text("quote_asset"),
    _text("ranking"),  # gainers, losers, volume
    _time("snapshot_at"),
    Column("rank", Integer, nullable=False),  # 1…N, always all N: a rank nobody holds has symbol ''
    _text("symbol"),
    _amount("last"),
    _amount("price_change_percent"),
    _amount("quote_volume"),
    _ingested(),
    PrimaryKeyConstraint("venue", "quote_asset", "ranking", "snapshot_at", "rank"),
    _whole_ms("snapshot_at"),
    postgresql_partition_by=_daily("snapshot_at"),
)

coin_markets = Table(
    "coin_markets",
    metadata,
    _text("venue"),
    _text("coin_id"),
    _text("vs_currency"),
    _time("ts_event"),
    _text("symbol"),
    _text("name"),
    _amount("price"),
    Column("market_cap", Amount),
    Column("market_cap_rank", Integer),
    Column("total_volume", Amount),
    Column("high_24h", Amount),
    Column("low_24h", Amount),
    Column("price_change_percent_24h", Amount),
    Column("circulating_supply", Amount),
    Column("total_supply", Amount),
    Column("max_supply", Amount),
    _time("as_of"),
    _ingested(),
    PrimaryKeyConstraint("venue", "coin_id", "vs_currency", "ts_event"),
    _whole_ms("ts_event"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("source"),  # venue
    _text("endpoint"),
    _text("reason"),
    Column("raw", LargeBinary, nullable=False),  # the row's own bytes, at most 64 KiB of them
    Column("received_at", Time, nullable=False, server_default=func.clock_timestamp()),
    Index(None, "received_at"),  # tidemark status: how many lately; a person: what came last
)

gaps = Table(
    "gaps",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("stream"),  # trades, klines_1m, …
    _count("first_missing"),  # trade id, or open time in ms of a candle
    _count("last_missing"),
    _text("state"),
    _text("cause"),
    _text("detail"),
    _time("detected_at"),
    _time("as_of"),
    _ingested(),
    PrimaryKeyConstraint("venue", "symbol", "stream", "first_missing"),
    CheckConstraint(
        "state IN ('open', 'repaired', 'exchange-confirmed', 'unprovable')", name="state"
    ),
    CheckConstraint("last_missing >= first_missing", name="range"),
    Index(
        "ix_gaps_open", "venue", "detected_at", postgresql_where=text("state = 'open'")
    ),  # what is to be repaired, oldest first
)

events = Table(
    "events",
    metadata,
    _text("venue"),
    Column("at", Time, nullable=False, server_default=text("date_trunc('milliseconds', now())")),
    Column("id", BigInteger, Identity(always=False), nullable=False),
    _text("kind"),  # listing, halt, delisting, ban, gap, alarm, backfill, …
    Column("symbol", Text, nullable=False, server_default=""),
    Column("severity", Text, nullable=False, server_default="info"),
    _text("message"),
    _ingested(),
    PrimaryKeyConstraint("venue", "at", "id"),
    _whole_ms("at"),
    CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    _text("source"),  # ingest, debezium, fence
    Column(
        "beat_at",
        Time,
        nullable=False,
        server_default=text("date_trunc('milliseconds', clock_timestamp())"),
    ),
    PrimaryKeyConstraint("source", "beat_at"),
    _whole_ms("beat_at"),
    postgresql_partition_by=_daily("beat_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", UUID(as_uuid=True), nullable=False, server_default=func.gen_random_uuid()),
    Column("created_at", Time, nullable=False, server_default=func.clock_timestamp()),
    _text("aggregatetype"),
    _text("aggregateid"),
    _text("type"),
    Column("payload", JSONB, nullable=False),
    PrimaryKeyConstraint("id", "created_at"),
    postgresql_partition_by=_daily("created_at"),
)

# Ours alone, never published:

dropped_days = Table(
    "dropped_days",
    metadata,
    _text("table_name"),
    Column("day", Date, nullable=False),
    Column("dropped_at", Time, nullable=False, server_default=func.clock_timestamp()),
    PrimaryKeyConstraint("table_name", "day"),
)

backfills = Table(
    "backfills",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("interval"),
    _time("start_time"),  # first open time asked for
    _time("end_time"),  # first open time not asked for
    _time("next_time"),  # everything before it is stored
    Column("updated_at", Time, nullable=False, server_default=func.clock_timestamp()),
    PrimaryKeyConstraint("venue", "symbol", "interval", "start_time", "end_time"),
)

PUBLISHED = (
    instruments,
    prices,
    depth,
    trades,
    klines,
    ticker_24h,
    ticker_24h_history,
    movers_24h,
    coin_markets,
    gaps,
    events,
    heartbeat,
    outbox,
)

PARTITIONED_BY = {
    prices.name: "observed_at",
    depth.name: "observed_at",
    trades.name: "traded_at",
    ticker_24h_history.name: "as_of",
    movers_24h.name: "snapshot_at",
    heartbeat.name: "beat_at",
    outbox.name: "created_at",
}
