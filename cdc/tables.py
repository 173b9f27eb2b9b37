"""PostgreSQL's tables as their change events have them: columns with their kinds, and the key.

Checked against `ingest.tables` (tests/unit/test_cdc_routes.py).
"""

from __future__ import annotations

from cdc.mapping import Field, Kind, Source


def _text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.TEXT) for name in names)


def _amounts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.DECIMAL) for name in names)


def _counts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.BIGINT) for name in names)


def _time(name: str) -> Field:
    return Field(name, Kind.TIMESTAMP)


def _key_time(name: str) -> Field:
    return Field(name, Kind.TIMESTAMP, whole_ms=True)


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

CERTIFICATES = Source(
    "certificates",
    key=("venue", "symbol", "open_time"),
    time="open_time",
    fields=(
        *_text("venue", "symbol"),
        _key_time("open_time"),
        *_text("state"),
        *_counts("trade_count", "first_trade_id", "last_trade_id"),
        *_text("detail"),
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
