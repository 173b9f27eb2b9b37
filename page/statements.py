"""Every question that the page asks, as CQL.

Each binds the whole partition key and says how many rows it takes at most: no view can become a
scan, however long the history is. A test holds both against the `.cql` files.
"""

from __future__ import annotations

INSTRUMENTS = (
    "SELECT symbol, base_asset, quote_asset, status, tick_size FROM instruments "
    "WHERE venue = ? LIMIT 10000"
)
TICKERS = (
    "SELECT symbol, as_of, last, high, low, price_change_percent, quote_volume, trade_count "
    "FROM ticker_24h WHERE venue = ? LIMIT 10000"
)
TICKER = (
    "SELECT symbol, as_of, last, high, low, price_change_percent, quote_volume, trade_count "
    "FROM ticker_24h WHERE venue = ? AND symbol = ? LIMIT 1"
)
ANY_TICKER = "SELECT as_of FROM ticker_24h WHERE venue = ? LIMIT 1"
MOVERS = (
    "SELECT snapshot_at, ranking, rank, symbol, last, price_change_percent, quote_volume "
    "FROM movers_24h WHERE venue = ? AND quote_asset = ? AND ranking = ? AND day = ? LIMIT 5"
)
LATEST_PRICES = (
    "SELECT symbol, observed_at, price, ingested_at_us FROM latest_prices "
    "WHERE venue = ? LIMIT 10000"
)
LATEST_PRICE = (
    "SELECT symbol, observed_at, price, ingested_at_us FROM latest_prices "
    "WHERE venue = ? AND symbol = ? LIMIT 1"
)
PRICES = (
    "SELECT symbol, observed_at, price, ingested_at_us FROM prices_by_day "
    "WHERE venue = ? AND symbol = ? AND day = ? AND observed_at >= ? LIMIT 10000"
)
WATCHED = "SELECT symbol FROM latest_depth WHERE venue = ? LIMIT 10000"
BOOK = (
    "SELECT symbol, observed_at, spread, imbalance, bids, asks FROM latest_depth "
    "WHERE venue = ? AND symbol = ? LIMIT 1"
)
CANDLES = (
    "SELECT open_time, open, high, low, close, volume, quote_volume, is_closed FROM klines "
    "WHERE venue = ? AND symbol = ? AND interval = ? AND bucket = ? "
    "AND open_time >= ? AND open_time < ? LIMIT 10000"
)
TRADES = (
    "SELECT symbol, traded_at, trade_id, price, quantity, notional_usd, is_buyer_maker "
    "FROM trades_by_hour WHERE venue = ? AND symbol = ? AND hour = ? "
    "ORDER BY traded_at DESC, trade_id DESC LIMIT 25"
)
LARGE_TRADES = (
    "SELECT symbol, traded_at, trade_id, price, quantity, notional_usd, is_buyer_maker "
    "FROM large_trades_by_day WHERE venue = ? AND day = ? LIMIT 200"
)
BEATS = (
    "SELECT beat_at, committed_us, captured_us, produced_ms, received_us, visible_us "
    "FROM heartbeats_by_day WHERE source = ? AND day = ? AND beat_at >= ? LIMIT 10000"
)
NEWEST_BEAT = (
    "SELECT beat_at FROM heartbeats_by_day WHERE source = ? AND day = ? "
    "ORDER BY beat_at DESC LIMIT 1"
)
PROOFS = (
    "SELECT table_name, verified_through, at, differences FROM verified_through "
    "WHERE table_name = ? LIMIT 1"
)
GAPS = (
    "SELECT detected_at, symbol, stream, first_missing, last_missing, state, cause FROM gaps "
    "WHERE venue = ? LIMIT 2000"
)
MINUTES = (
    "SELECT symbol, open_time, state FROM certificates_by_day "
    "WHERE venue = ? AND symbol = ? AND day = ? AND open_time >= ? LIMIT 2000"
)
EVENTS = (
    "SELECT at, kind, symbol, severity, message FROM events_by_day "
    "WHERE venue = ? AND day = ? LIMIT 500"
)
