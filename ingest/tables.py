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

from ingest import columns

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

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


instruments = _table(
    "instruments",
    *columns.texts("venue", "symbol", "base_asset", "quote_asset"),
    # TRADING, HALT, BREAK, CANCEL_ONLY, DELISTED (ours: gone from exchangeInfo)
    *columns.texts("status"),
    *columns.amounts("tick_size", "lot_size"),
    *columns.amounts("min_notional"),  # 0 where the exchange names none
    *columns.times("as_of"),
    columns.now("ingested_at"),
    key=("venue", "symbol"),
)

listings = _table(
    "listings",  # which asset a symbol stood for, and when (decision 0024)
    *columns.texts("venue", "symbol"),
    *columns.times("listed_at"),
    *columns.texts("base_asset", "quote_asset"),
    *columns.of(columns.Time, ("delisted_at",), nullable=True),
    *columns.times("as_of"),
    columns.now("ingested_at"),
    columns.whole_ms("listed_at"),
    key=("venue", "symbol", "listed_at"),
)

prices = _table(
    "prices",
    *columns.texts("venue", "symbol"),
    *columns.times("observed_at"),  # when we received it: ticker/price has no time of its own
    *columns.amounts("price"),
    columns.now("ingested_at"),
    columns.whole_ms("observed_at"),
    key=("venue", "symbol", "observed_at"),
    by_day="observed_at",
)

depth = _table(
    "depth",
    *columns.texts("venue", "symbol"),
    *columns.times("observed_at"),
    *columns.counts("last_update_id"),
    *columns.of(JSONB, ("bids", "asks")),  # [["price", "quantity"], …] as strings, best first
    # 0: no such side
    *columns.amounts("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity"),
    *columns.amounts("spread"),  # best_ask − best_bid; 0 where a side is empty
    # (bid − ask) / (bid + ask) of the levels' summed quantities, −1…1
    *columns.amounts("imbalance"),
    columns.now("ingested_at"),
    columns.whole_ms("observed_at"),
    key=("venue", "symbol", "observed_at"),
    by_day="observed_at",
)

trades = _table(
    "trades",
    *columns.texts("venue", "symbol"),
    *columns.counts("trade_id"),
    *columns.times("traded_at"),
    *columns.counts("traded_at_us"),  # µs since the epoch; ×1000 of a ms source
    *columns.amounts("price", "quantity", "quote_quantity"),
    *columns.amounts("notional_usd"),  # fixed at insert; 0 where the quote asset cannot be priced
    *columns.flags("is_buyer_maker", "is_best_match"),
    columns.now("ingested_at"),
    columns.whole_ms("traded_at"),
    key=("venue", "symbol", "traded_at", "trade_id"),  # as in Cassandra: read side by side
    by_day="traded_at",
)

klines = _table(
    "klines",
    *columns.texts("venue", "symbol", "interval"),
    *columns.times("open_time", "close_time"),
    *columns.amounts("open", "high", "low", "close", "volume", "quote_volume"),
    *columns.counts("trade_count"),
    *columns.amounts("taker_buy_volume", "taker_buy_quote_volume"),
    *columns.flags("is_closed"),
    *columns.times("as_of"),  # when the source said so
    columns.now("ingested_at"),
    columns.whole_ms("open_time"),
    key=("venue", "symbol", "interval", "open_time"),
)


def _ticker_columns() -> list[sa.Column[Any]]:
    return [
        *columns.texts("venue", "symbol"),
        *columns.times("as_of", "open_time"),  # as_of: the exchange's closeTime
        *columns.amounts("open", "high", "low", "last", "last_quantity", "weighted_average"),
        *columns.amounts("previous_close", "price_change", "price_change_percent"),
        *columns.amounts("bid", "bid_quantity", "ask", "ask_quantity", "volume", "quote_volume"),
        *columns.counts("first_trade_id", "last_trade_id"),  # −1 where nothing was traded
        *columns.counts("trade_count"),
        columns.now("ingested_at"),
    ]


ticker_24h = _table("ticker_24h", *_ticker_columns(), key=("venue", "symbol"))

ticker_24h_history = _table(
    "ticker_24h_history",
    *_ticker_columns(),
    columns.whole_ms("as_of"),
    key=("venue", "symbol", "as_of"),
    by_day="as_of",
)

movers_24h = _table(
    "movers_24h",
    *columns.texts("venue", "quote_asset", "ranking"),  # gainers, losers, volume
    *columns.times("snapshot_at"),
    *columns.of(sa.Integer, ("rank",)),  # 1…N, always all N: a rank nobody holds has symbol ''
    *columns.texts("symbol"),
    *columns.amounts("last", "price_change_percent", "quote_volume"),
    columns.now("ingested_at"),
    columns.whole_ms("snapshot_at"),
    key=("venue", "quote_asset", "ranking", "snapshot_at", "rank"),
    by_day="snapshot_at",
)

coin_markets = _table(
    "coin_markets",
    *columns.texts("venue", "coin_id", "vs_currency"),
    *columns.times("ts_event"),
    *columns.texts("symbol", "name"),
    *columns.amounts("price"),
    *columns.of(columns.Amount, ("market_cap",), nullable=True),
    *columns.of(sa.Integer, ("market_cap_rank",), nullable=True),
    *columns.of(columns.Amount, ("total_volume", "high_24h", "low_24h"), nullable=True),
    *columns.of(columns.Amount, ("price_change_percent_24h",), nullable=True),
    *columns.of(
        columns.Amount, ("circulating_supply", "total_supply", "max_supply"), nullable=True
    ),
    *columns.times("as_of"),
    columns.now("ingested_at"),
    columns.whole_ms("ts_event"),
    key=("venue", "coin_id", "vs_currency", "ts_event"),
)

gaps = _table(
    "gaps",
    *columns.texts("venue", "symbol", "stream"),  # trades, klines_1m, depth, prices (of '*')
    # trade ids; open times of candles in ms; of depth and prices, times in ms of polls left out
    *columns.counts("first_missing", "last_missing"),
    *columns.texts("state", "cause", "detail"),
    *columns.times("detected_at", "as_of"),
    columns.now("ingested_at"),
    columns.one_of("state", "open", "repaired", "exchange-confirmed", "unprovable"),
    sa.CheckConstraint("last_missing >= first_missing", name="range"),
    sa.Index("ix_gaps_open", "venue", "detected_at", postgresql_where=sa.text("state = 'open'")),
    key=("venue", "symbol", "stream", "first_missing"),
)

certificates = _table(
    "certificates",
    *columns.texts("venue", "symbol"),
    *columns.times("open_time"),  # of a closed 1-minute candle
    *columns.texts("state"),
    *columns.counts("trade_count"),  # trades held of the minute, and their ids; −1 without any
    *columns.counts("first_trade_id", "last_trade_id"),
    *columns.texts("detail"),  # what differs, what was put right; empty where all was well
    *columns.times("as_of"),  # of the candle
    columns.now("ingested_at"),
    columns.whole_ms("open_time"),
    columns.one_of("state", "certified", "incomplete", "differs", "unprovable"),
    sa.CheckConstraint("char_length(detail) <= 400", name="detail"),
    sa.Index(
        "ix_certificates_unsettled",
        *("venue", "open_time", "symbol"),
        postgresql_where=sa.text("state IN ('incomplete', 'differs')"),
    ),
    key=("venue", "symbol", "open_time"),
    by_day="open_time",
)

events = _table(
    "events",
    *columns.texts("venue"),
    columns.now_in_ms("at", "now"),
    sa.Column("id", sa.BigInteger, sa.Identity(always=False), nullable=False),
    *columns.texts("kind"),  # listing, halt, delisting, ban, gap, alarm, backfill, …
    sa.Column("symbol", sa.Text, nullable=False, server_default=""),
    sa.Column("severity", sa.Text, nullable=False, server_default="info"),
    *columns.texts("message"),
    columns.now("ingested_at"),
    columns.whole_ms("at"),
    columns.one_of("severity", "info", "warning", "critical"),
    sa.Index(None, "at"),
    key=("venue", "at", "id"),
)

heartbeat = _table(
    "heartbeat",
    *columns.texts("source"),  # ingest, debezium, fence
    columns.now_in_ms("beat_at", "clock_timestamp"),
    columns.whole_ms("beat_at"),
    key=("source", "beat_at"),
    by_day="beat_at",
)

outbox = _table(
    "outbox",
    sa.Column("id", UUID(as_uuid=True), nullable=False, server_default=sa.func.gen_random_uuid()),
    columns.now("created_at"),
    *columns.texts("aggregatetype", "aggregateid", "type"),
    *columns.of(JSONB, ("payload",)),
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
    *columns.texts("source", "endpoint", "reason"),  # source: the venue
    *columns.of(sa.LargeBinary, ("raw",)),  # the row's own bytes, at most 64 KiB of them
    columns.now("received_at"),
    sa.Index(None, "received_at"),
    key=("id",),
)

dropped_days = _table(
    "dropped_days",
    *columns.texts("table_name"),
    sa.Column("day", sa.Date, nullable=False),
    columns.now("dropped_at"),
    key=("table_name", "day"),
)

backfills = _table(
    "backfills",
    *columns.texts("venue", "symbol"),
    *columns.texts("stream"),  # klines_1m, trades: as in gaps
    *columns.times("start_time", "next_time"),  # everything in [start_time, next_time) is stored
    columns.now("updated_at"),
    *columns.texts("source", "checksum"),  # path of the archive file, its SHA-256; rest and ''
    key=("venue", "symbol", "stream", "start_time"),
)

load_shedding = _table(
    "load_shedding",  # one row: what the watch wants ingest to leave out
    sa.Column("only_row", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("level", sa.SmallInteger, nullable=False),  # of contracts.shedding.ORDER
    columns.now("since"),
    *columns.texts("reason"),
    columns.now("at"),  # when the watch last confirmed it
    sa.CheckConstraint("only_row", name="one_row"),
    sa.CheckConstraint("level >= 0", name="level"),
    key=("only_row",),
)
