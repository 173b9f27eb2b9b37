"""Which PostgreSQL table feeds which Cassandra tables: declared here and in `cdc.tables`, once.

Derived from it: the decoder's types, the CQL text, the connector's table list, verification.
Checked against it: `cassandra/*.cql` and `ingest.tables` (tests/unit/test_cdc_routes.py).
"""

from __future__ import annotations

from decimal import Decimal

from cdc.mapping import Above, Bucket, Column, Route, Source, Via, bucket_column, route
from cdc.tables import (
    CERTIFICATES,
    COIN_MARKETS,
    DEPTH,
    EVENTS,
    GAPS,
    HEARTBEAT,
    INSTRUMENTS,
    KLINES,
    LISTINGS,
    MOVERS_24H,
    PRICES,
    TICKER_24H,
    TICKER_24H_HISTORY,
    TRADES,
)
from contracts.naming import OUTBOX

LARGE_TRADE_USD = Decimal(100_000)

# Captured tables that the sink leaves alone.
UNROUTED = {OUTBOX: "contract events: Debezium's outbox router gives them topics of their own"}

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
        CERTIFICATES,
        "certificates_by_day",
        ("venue", "symbol", "day"),
        ("open_time",),
        bucket=bucket_column("day", "open_time", Bucket.DAY),
    ),
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

BY_DAY: tuple[str, ...] = (*(each.table for each in SOURCES if each.time), *UNROUTED)
"""The tables that PostgreSQL keeps in partitions of a day, and drops by the day."""

CAPTURED: tuple[str, ...] = (*(each.table for each in SOURCES), *UNROUTED)
"""Every table that the connector reads."""


def routes_of(table: str) -> tuple[Route, ...]:
    """Routes of a source table, in the order of their declaration."""
    return tuple(each for each in ROUTES if each.source.table == table)
