"""Which PostgreSQL table feeds which Cassandra tables: declared here, once.

Derived from it: the decoder's types, the CQL text, the connector's table list, verification.
Checked against it: `cassandra/*.cql` and `ingest.tables` (tests/unit/test_cdc_routes.py).
"""

from __future__ import annotations

from decimal import Decimal

from cdc.columns import amounts as _amounts
from cdc.columns import counts as _counts
from cdc.columns import key_time as _key_time
from cdc.columns import text as _text
from cdc.columns import time as _time
from cdc.mapping import Above, Bucket, Column, Field, Kind, Route, Source, Via, bucket_column, route

LARGE_TRADE_USD = Decimal(100_000)

# Published tables that the sink leaves alone.
UNROUTED = {"outbox": "contract events: Debezium's outbox router gives them topics of their own"}

_INGESTED = _time("ingested_at")

INSTRUMENTS = Source(
    "instruments",
    key=("venue", "symbol"),
    fields=(
        *_text("venue", "symbol", "base_asset", "quote_asset", "status"),
        *_amounts("tick_size", "lot_size", "min_notional"),
        _time("as_of"),
        _INGESTED,
    ),
)

LISTINGS = Source(
    "listings",
    key=("venue", "symbol", "listed_at"),
    fields=(
        *_text("venue", "symbol"),
        _key_time("listed_at"),
        *_text("base_asset", "quote_asset"),
        _time("delisted_at"),
        _time("as_of"),
        _INGESTED,
    ),
)

PRICES = Source(
    "prices",
    key=("venue", "symbol", "observed_at"),
    time="observed_at",
    fields=(
        *_text("venue", "symbol"),
        _key_time("observed_at"),
        *_amounts("price"),
        _INGESTED,
    ),
)

DEPTH = Source(
    "depth",
    key=("venue", "symbol", "observed_at"),
    time="observed_at",
    full_identity=True,  # the levels are TOASTed: a touched row must carry them whole
    fields=(
        *_text("venue", "symbol"),
        _key_time("observed_at"),
        *_counts("last_update_id"),
        Field("bids", Kind.JSONB),
        Field("asks", Kind.JSONB),
        *_amounts("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity"),
        *_amounts("spread", "imbalance"),
        _INGESTED,
    ),
)

TRADES = Source(
    "trades",
    key=("venue", "symbol", "traded_at", "trade_id"),
    time="traded_at",
    fields=(
        *_text("venue", "symbol"),
        *_counts("trade_id"),
        _key_time("traded_at"),
        *_counts("traded_at_us"),
        *_amounts("price", "quantity", "quote_quantity", "notional_usd"),
        Field("is_buyer_maker", Kind.BOOLEAN),
        Field("is_best_match", Kind.BOOLEAN),
        _INGESTED,
    ),
)

KLINES = Source(
    "klines",
    key=("venue", "symbol", "interval", "open_time"),
    fields=(
        *_text("venue", "symbol", "interval"),
        _key_time("open_time"),
        _time("close_time"),
        *_amounts("open", "high", "low", "close", "volume", "quote_volume"),
        *_counts("trade_count"),
        *_amounts("taker_buy_volume", "taker_buy_quote_volume"),
        Field("is_closed", Kind.BOOLEAN),
        _time("as_of"),
        _INGESTED,
    ),
)

_TICKER_FIELDS = (
    _time("open_time"),
    *_amounts("open", "high", "low", "last", "last_quantity", "weighted_average"),
    *_amounts("previous_close", "price_change", "price_change_percent"),
    *_amounts("bid", "bid_quantity", "ask", "ask_quantity", "volume", "quote_volume"),
    *_counts("first_trade_id", "last_trade_id", "trade_count"),
    _INGESTED,
)

TICKER_24H = Source(
    "ticker_24h",
    key=("venue", "symbol"),
    fields=(*_text("venue", "symbol"), _time("as_of"), *_TICKER_FIELDS),
)

TICKER_24H_HISTORY = Source(
    "ticker_24h_history",
    key=("venue", "symbol", "as_of"),
    time="as_of",
    fields=(*_text("venue", "symbol"), _key_time("as_of"), *_TICKER_FIELDS),
)

MOVERS_24H = Source(
    "movers_24h",
    key=("venue", "quote_asset", "ranking", "snapshot_at", "rank"),
    time="snapshot_at",
    fields=(
        *_text("venue", "quote_asset", "ranking"),
        _key_time("snapshot_at"),
        Field("rank", Kind.INT),
        *_text("symbol"),
        *_amounts("last", "price_change_percent", "quote_volume"),
        _INGESTED,
    ),
)

COIN_MARKETS = Source(
    "coin_markets",
    key=("venue", "coin_id", "vs_currency", "ts_event"),
    fields=(
        *_text("venue", "coin_id", "vs_currency"),
        _key_time("ts_event"),
        *_text("symbol", "name"),
        *_amounts("price", "market_cap"),
        Field("market_cap_rank", Kind.INT),
        *_amounts("total_volume", "high_24h", "low_24h", "price_change_percent_24h"),
        *_amounts("circulating_supply", "total_supply", "max_supply"),
        _time("as_of"),
        _INGESTED,
    ),
)

GAPS = Source(
    "gaps",
    key=("venue", "symbol", "stream", "first_missing"),
    full_identity=True,  # free text may be TOASTed
    fields=(
        *_text("venue", "symbol", "stream"),
        *_counts("first_missing", "last_missing"),
        *_text("state", "cause", "detail"),
        _time("detected_at"),
        _time("as_of"),
        _INGESTED,
    ),
)

EVENTS = Source(
    "events",
    key=("venue", "at", "id"),
    full_identity=True,  # free text may be TOASTed
    fields=(
        *_text("venue"),
        _key_time("at"),
        *_counts("id"),
        *_text("kind", "symbol", "severity", "message"),
        _INGESTED,
    ),
)

HEARTBEAT = Source(
    "heartbeat",
    key=("source", "beat_at"),
    time="beat_at",
    fields=(*_text("source"), _key_time("beat_at")),
)

# Where a heartbeat was at what time; `visible_us` is written once its row is acknowledged.
TIMINGS = (
    Column("committed_us", "bigint", None, Via.SINK),  # PostgreSQL's commit
    Column("captured_us", "bigint", None, Via.SINK),  # Debezium
    Column("produced_ms", "bigint", None, Via.SINK),  # Kafka's record timestamp
    Column("received_us", "bigint", None, Via.SINK),  # the sink
    Column("visible_us", "bigint", None, Via.SINK),  # acknowledged by Cassandra
)

ROUTES: tuple[Route, ...] = (
    route(INSTRUMENTS, "instruments", ("venue",), ("symbol",)),
    route(LISTINGS, "listings", ("venue",), ("symbol", "listed_at")),
    route(
        PRICES,
        "prices_by_day",
        ("venue", "symbol", "day"),
        ("observed_at",),
        bucket=bucket_column("day", "observed_at", Bucket.DAY),
    ),
    route(PRICES, "latest_prices", ("venue",), ("symbol",), order_by="observed_at"),
    route(
        DEPTH,
        "depth_by_hour",
        ("venue", "symbol", "hour"),
        ("observed_at",),
        bucket=bucket_column("hour", "observed_at", Bucket.HOUR),
    ),
    route(DEPTH, "latest_depth", ("venue",), ("symbol",), order_by="observed_at"),
    route(
        TRADES,
        "trades_by_hour",
        ("venue", "symbol", "hour"),
        ("traded_at", "trade_id"),
        bucket=bucket_column("hour", "traded_at", Bucket.HOUR),
    ),
    route(
        TRADES,
        "large_trades_by_day",
        ("venue", "day"),
        ("traded_at DESC", "symbol", "trade_id"),
        bucket=bucket_column("day", "traded_at", Bucket.DAY),
        condition=Above("notional_usd", LARGE_TRADE_USD),
    ),
    route(
        KLINES,
        "klines",
        ("venue", "symbol", "interval", "bucket"),
        ("open_time",),
        bucket=bucket_column("bucket", "open_time", Bucket.BY_INTERVAL),
    ),
    route(TICKER_24H, "ticker_24h", ("venue",), ("symbol",)),
    route(
        TICKER_24H_HISTORY,
        "ticker_24h_by_day",
        ("venue", "symbol", "day"),
        ("as_of",),
        bucket=bucket_column("day", "as_of", Bucket.DAY),
    ),
    route(
        MOVERS_24H,
        "movers_24h",
        ("venue", "quote_asset", "ranking", "day"),
        ("snapshot_at DESC", "rank"),
        bucket=bucket_column("day", "snapshot_at", Bucket.DAY),
    ),
    route(
        COIN_MARKETS,
        "coin_markets",
        ("venue", "coin_id", "vs_currency", "month"),
        ("ts_event",),
        bucket=bucket_column("month", "ts_event", Bucket.MONTH),
    ),
    route(GAPS, "gaps", ("venue",), ("symbol", "stream", "first_missing")),
    route(
        EVENTS,
        "events_by_day",
        ("venue", "day"),
        ("at DESC", "id"),
        bucket=bucket_column("day", "at", Bucket.DAY),
    ),
    route(
        HEARTBEAT,
        "heartbeats_by_day",
        ("source", "day"),
        ("beat_at",),
        bucket=bucket_column("day", "beat_at", Bucket.DAY),
        extra=TIMINGS,
    ),
)

SOURCES: tuple[Source, ...] = tuple({each.source.table: each.source for each in ROUTES}.values())


def routes_of(table: str) -> tuple[Route, ...]:
    """Routes of a source table, in the order of their declaration."""
    return tuple(each for each in ROUTES if each.source.table == table)
