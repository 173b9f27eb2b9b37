"""The tables of PostgreSQL, the truth. SQLAlchemy Core; alembic makes every change.

Rules that hold for all of them:
- every row has `venue` in its key, so that sources never mix;
- prices and quantities are NUMERIC(38,18); a value that it would round goes to quarantine;
- a time in a key is floored to milliseconds (CHECK), so that one event is one row whatever the
  source's unit; the exact microseconds stand beside it where the source has them;
- `ingested_at` is ours, everything else is the source's;
- upserted tables have `as_of`, the source's time of what the row says; it never goes backwards;
- a key's columns stand in the order in which they are asked for, so that the primary key is the
  index of the hot queries (`migrations/versions/0001_tables.py` names the query of each index).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.schema import SchemaItem

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

Amount = sa.Numeric(38, 18)
Time = sa.DateTime(timezone=True)

PARTITIONED_BY: dict[str, str] = {}
"""Table → the column by whose UTC day it is partitioned; filled by `_table(by_day=…)`."""


def _table(
    name: str, *items: SchemaItem, key: tuple[str, ...], by_day: str | None = None
) -> sa.Table:
    """A table of ours; `by_day`: the time by which it is partitioned, and which is whole ms."""
    options: dict[str, Any] = {}
    if by_day is not None:
        PARTITIONED_BY[name] = by_day
        options["postgresql_partition_by"] = f"RANGE ({by_day})"
    return sa.Table(name, metadata, *items, sa.PrimaryKeyConstraint(*key), **options)


def _of(
    column_type: Any, names: tuple[str, ...], *, nullable: bool = False
) -> list[sa.Column[Any]]:
    return [sa.Column(name, column_type, nullable=nullable) for name in names]


def _texts(*names: str) -> list[sa.Column[Any]]:
    return _of(sa.Text, names)


def _amounts(*names: str) -> list[sa.Column[Any]]:
    return _of(Amount, names)


def _counts(*names: str) -> list[sa.Column[Any]]:
    return _of(sa.BigInteger, names)


def _flags(*names: str) -> list[sa.Column[Any]]:
    return _of(sa.Boolean, names)


def _times(*names: str) -> list[sa.Column[Any]]:
    return _of(Time, names)


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, Time, nullable=False, server_default=sa.func.clock_timestamp())


def _now_in_ms(name: str, clock: str) -> sa.Column[Any]:
    default = sa.text(f"date_trunc('milliseconds', {clock}())")
    return sa.Column(name, Time, nullable=False, server_default=default)


def _whole_ms(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"date_trunc('milliseconds', {column}) = {column}", name=f"{column}_ms"
    )


instruments = _table(
    "instruments",
    *_texts("venue", "symbol", "base_asset", "quote_asset"),
    *_texts("status"),  # TRADING, HALT, BREAK, CANCEL_ONLY, DELISTED (ours: gone from exchangeInfo)
    *_amounts("tick_size", "lot_size"),
    *_amounts("min_notional"),  # 0 where the exchange names none
    *_times("as_of"),
    _now("ingested_at"),
    key=("venue", "symbol"),
)

prices = _table(
    "prices",
    *_texts("venue", "symbol"),
    *_times("observed_at"),  # when we received it: ticker/price has no time of its own
    *_amounts("price"),
    _now("ingested_at"),
    _whole_ms("observed_at"),
    key=("venue", "symbol", "observed_at"),
    by_day="observed_at",
)

depth = _table(
    "depth",
    *_texts("venue", "symbol"),
    *_times("observed_at"),
    *_counts("last_update_id"),
    *_of(JSONB, ("bids", "asks")),  # [["price", "quantity"], …] as strings, best first
    *_amounts("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity"),  # 0: no such side
    *_amounts("spread"),  # best_ask − best_bid; 0 where a side is empty
    *_amounts("imbalance"),  # (bid − ask) / (bid + ask) of the levels' summed quantities, −1…1
    _now("ingested_at"),
    _whole_ms("observed_at"),
    key=("venue", "symbol", "observed_at"),
    by_day="observed_at",
)

trades = _table(
    "trades",
    *_texts("venue", "symbol"),
    *_counts("trade_id"),
    *_times("traded_at"),
    *_counts("traded_at_us"),  # µs since the epoch; ×1000 of a ms source
    *_amounts("price", "quantity", "quote_quantity"),
    *_amounts("notional_usd"),  # fixed at insert; 0 where the quote asset cannot be priced
    *_flags("is_buyer_maker", "is_best_match"),
    _now("ingested_at"),
    _whole_ms("traded_at"),
    key=("venue", "symbol", "traded_at", "trade_id"),  # as in Cassandra: read side by side
    by_day="traded_at",
)

klines = _table(
    "klines",
    *_texts("venue", "symbol", "interval"),
    *_times("open_time", "close_time"),
    *_amounts("open", "high", "low", "close", "volume", "quote_volume"),
    *_counts("trade_count"),
    *_amounts("taker_buy_volume", "taker_buy_quote_volume"),
    *_flags("is_closed"),
    *_times("as_of"),  # when the source said so
    _now("ingested_at"),
    _whole_ms("open_time"),
    key=("venue", "symbol", "interval", "open_time"),
)


def _ticker_columns() -> list[sa.Column[Any]]:
    return [
        *_texts("venue", "symbol"),
        *_times("as_of"),  # the exchange's closeTime
        *_times("open_time"),
        *_amounts("open", "high", "low", "last", "last_quantity", "weighted_average"),
        *_amounts("previous_close", "price_change", "price_change_percent"),
        *_amounts("bid", "bid_quantity", "ask", "ask_quantity", "volume", "quote_volume"),
        *_counts("first_trade_id", "last_trade_id"),  # −1 where nothing was traded
        *_counts("trade_count"),
        _now("ingested_at"),
    ]


ticker_24h = _table("ticker_24h", *_ticker_columns(), key=("venue", "symbol"))

ticker_24h_history = _table(
    "ticker_24h_history",
    *_ticker_columns(),
    _whole_ms("as_of"),
    key=("venue", "symbol", "as_of"),
    by_day="as_of",
)

movers_24h = _table(
    "movers_24h",
    *_texts("venue", "quote_asset"),
    *_texts("ranking"),  # gainers, losers, volume
    *_times("snapshot_at"),
    *_of(sa.Integer, ("rank",)),  # 1…N, always all N: a rank nobody holds has symbol ''
    *_texts("symbol"),
    *_amounts("last", "price_change_percent", "quote_volume"),
    _now("ingested_at"),
    _whole_ms("snapshot_at"),
    key=("venue", "quote_asset", "ranking", "snapshot_at", "rank"),
    by_day="snapshot_at",
)

coin_markets = _table(
    "coin_markets",
    *_texts("venue", "coin_id", "vs_currency"),
    *_times("ts_event"),
    *_texts("symbol", "name"),
    *_amounts("price"),
    *_of(Amount, ("market_cap",), nullable=True),
    *_of(sa.Integer, ("market_cap_rank",), nullable=True),
    *_of(Amount, ("total_volume", "high_24h", "low_24h"), nullable=True),
    *_of(Amount, ("price_change_percent_24h",), nullable=True),
    *_of(Amount, ("circulating_supply", "total_supply", "max_supply"), nullable=True),
    *_times("as_of"),
    _now("ingested_at"),
    _whole_ms("ts_event"),
    key=("venue", "coin_id", "vs_currency", "ts_event"),
)

gaps = _table(
    "gaps",
    *_texts("venue", "symbol"),
    *_texts("stream"),  # trades, klines_1m, depth, prices (symbol '*': all)
    # trade ids; open times of candles in ms; of depth and prices, times in ms of polls left out
    *_counts("first_missing", "last_missing"),
    *_texts("state", "cause", "detail"),
    *_times("detected_at", "as_of"),
    _now("ingested_at"),
    sa.CheckConstraint(
        "state IN ('open', 'repaired', 'exchange-confirmed', 'unprovable')", name="state"
    ),
    sa.CheckConstraint("last_missing >= first_missing", name="range"),
    sa.Index("ix_gaps_open", "venue", "detected_at", postgresql_where=sa.text("state = 'open'")),
    key=("venue", "symbol", "stream", "first_missing"),
)

events = _table(
    "events",
    *_texts("venue"),
    _now_in_ms("at", "now"),
    sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
    *_texts("kind"),  # listing, halt, delisting, ban, gap, alarm, backfill, …
    sa.Column("symbol", sa.Text, nullable=False, server_default=""),
    sa.Column("severity", sa.Text, nullable=False, server_default="info"),
    *_texts("message"),
    _now("ingested_at"),
    _whole_ms("at"),
    sa.CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
    sa.Index(None, "at"),
    key=("venue", "at", "id"),
)

heartbeat = _table(
    "heartbeat",
    *_texts("source"),  # ingest, debezium, fence
    _now_in_ms("beat_at", "clock_timestamp"),
    _whole_ms("beat_at"),
    key=("source", "beat_at"),
    by_day="beat_at",
)

outbox = _table(
    "outbox",
    sa.Column("id", UUID(as_uuid=True), nullable=False, server_default=sa.func.gen_random_uuid()),
    _now("created_at"),
    *_texts("aggregatetype", "aggregateid", "type"),
    *_of(JSONB, ("payload",)),
    key=("id", "created_at"),
    by_day="created_at",
)

# Everything above is published to Debezium; what follows is ours alone.
PUBLISHED: tuple[sa.Table, ...] = tuple(metadata.tables.values())

FULL_IDENTITY = (depth, gaps, events)
"""REPLICA IDENTITY FULL: their large values (levels, free text) are stored out of line, and a
touched row must carry them whole. Every other table's key holds all that its copies need."""

quarantine = _table(
    "quarantine",
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    *_texts("source"),  # venue
    *_texts("endpoint", "reason"),
    *_of(sa.LargeBinary, ("raw",)),  # the row's own bytes, at most 64 KiB of them
    _now("received_at"),
    sa.Index(None, "received_at"),
    key=("id",),
)

dropped_days = _table(
    "dropped_days",
    *_texts("table_name"),
    sa.Column("day", sa.Date, nullable=False),
    _now("dropped_at"),
    key=("table_name", "day"),
)

backfills = _table(
    "backfills",
    *_texts("venue", "symbol", "interval"),
    *_times("start_time", "end_time"),  # first open time asked for, first not asked for
    *_times("next_time"),  # everything before it is stored
    _now("updated_at"),
    key=("venue", "symbol", "interval", "start_time", "end_time"),
)

load_shedding = _table(
    "load_shedding",  # one row: what the watch wants ingest to leave out
    sa.Column("only_row", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("level", sa.SmallInteger, nullable=False),  # of contracts.shedding.ORDER
    _now("since"),
    *_texts("reason"),
    _now("at"),  # when the watch last confirmed it
    sa.CheckConstraint("only_row", name="one_row"),
    sa.CheckConstraint("level >= 0", name="level"),
    key=("only_row",),
)
