"""A market as SQL: two symbols, the smallest price and a large one, around a midnight.

Rows go on for most of an hour after the moment at which the dashboards' ranges end, so that a query
without an upper bound shows too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

STEPS = """(
    SELECT t, row_number() OVER (ORDER BY t) AS n
    FROM generate_series({end} - interval '{past}', {end} + interval '50 min',
                         interval '{step}') AS t
) AS g"""
SYMBOLS = "(VALUES ('BTCUSDT', 100000), ('TINYUSDT', 0.00000012)) AS s (symbol, p)"

INSTRUMENTS = """
INSERT INTO instruments (venue, symbol, base_asset, quote_asset, status, tick_size, lot_size,
                         min_notional, as_of)
SELECT 'simulator', symbol, 'B', 'USDT', 'TRADING', 1, 1, 0, {end} FROM {symbols}
"""
PRICES = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'simulator', symbol, t, p + p * n / 1000 FROM {steps}, {symbols}
"""
DEPTH = """
INSERT INTO depth (venue, symbol, observed_at, last_update_id, bids, asks, best_bid,
                   best_bid_quantity, best_ask, best_ask_quantity, spread, imbalance)
SELECT 'simulator', symbol, t, n, '[["1", "2"]]', '[["3", "4"]]', p, 1, p + p / 100, 1, p / 100,
       (n % 9 - 4) / 4.0
FROM {steps}, {symbols}
"""
TRADES = """
INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity,
                    quote_quantity, notional_usd, is_buyer_maker, is_best_match)
SELECT 'simulator', symbol, n, t, (extract(epoch FROM t) * 1000000)::bigint, p, n, p * n,
       (n % 10) * 20000, n % 2 = 0, true
FROM {steps}, {symbols}
"""
CANDLES = """
INSERT INTO klines (venue, symbol, interval, open_time, close_time, open, high, low, close, volume,
                    quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, is_closed,
                    as_of)
SELECT 'simulator', symbol, '{interval}', date_trunc('{unit}', t), t, p, p + p * (n % 7) / 10,
       p - p * (n % 5) / 10, p + p * (n % 3 - 1) / 20, n, n * p, n, n, n, t < {end}, t
FROM {steps}, {symbols}
"""
TICKERS = """
INSERT INTO {table} (venue, symbol, as_of, open_time, open, high, low, last, last_quantity,
                     weighted_average, previous_close, price_change, price_change_percent, bid,
                     bid_quantity, ask, ask_quantity, volume, quote_volume, first_trade_id,
                     last_trade_id, trade_count)
SELECT 'simulator', symbol, t, t - interval '1 day', p, p * 2, p / 2, p + p * n / 1000, 1, p, p, 0,
       n / 100.0, p, 1, p, 1, n, n * p, n, n + 9, 10
FROM {steps}, {symbols}
"""
MOVERS = """
INSERT INTO movers_24h (venue, quote_asset, ranking, snapshot_at, rank, symbol, last,
                        price_change_percent, quote_volume)
SELECT 'simulator', 'USDT', ranking, t, rank,
       CASE WHEN rank < 5 THEN 'S' || (rank + n % 3) ELSE '' END, rank, n - rank, n * rank
FROM {steps}, generate_series(1, 5) AS rank,
     unnest(ARRAY['gainers', 'losers', 'volume']) AS ranking
"""
GAPS = """
INSERT INTO gaps (venue, symbol, stream, first_missing, last_missing, state, cause, detail,
                  detected_at, as_of)
SELECT 'simulator', CASE WHEN n % 2 = 0 THEN symbol ELSE '*' END, 'trades', n * 10 + length(symbol),
       n * 10 + 9, 'open', 'disconnect', '', t, t
FROM {steps}, {symbols}
"""
CERTIFICATES = """
INSERT INTO certificates (venue, symbol, open_time, state, trade_count, first_trade_id,
                          last_trade_id, detail, as_of)
SELECT 'simulator', symbol, date_trunc('minute', t),
       CASE WHEN n % 5 = 0 THEN 'differs' ELSE 'certified' END, 1, 1, 1, '', t
FROM {steps}, {symbols}
"""
EVENTS = """
INSERT INTO events (venue, at, kind, symbol, severity, message)
SELECT venue, t, 'halt', '', 'warning', 'message ' || n
FROM {steps}, unnest(ARRAY['simulator', 'tidemark']) AS venue
"""

# statement, its own values, how far back it goes, a row each; steps that divide the length end at
# the very end of the range
ROWS: tuple[tuple[str, dict[str, str], str, str], ...] = (
    (INSTRUMENTS, {}, "0 s", "1 day"),
    (PRICES, {}, "2 days", "3 min"),
    (DEPTH, {}, "9 hours", "2 min"),
    (TRADES, {}, "50 hours", "40 s"),
    (CANDLES, {"interval": "1m", "unit": "minute"}, "16 days", "7 min"),
    (CANDLES, {"interval": "1h", "unit": "hour"}, "400 days", "5 hours"),
    (CANDLES, {"interval": "1d", "unit": "day"}, "900 days", "3 days"),
    (TICKERS, {"table": "ticker_24h_history"}, "2 days", "12 min"),
    (TICKERS, {"table": "ticker_24h"}, "1 min", "1 day"),
    (MOVERS, {}, "2 days", "5 min"),
    (GAPS, {}, "2 days", "5 hours"),
    (CERTIFICATES, {}, "30 hours", "4 min"),
    (EVENTS, {}, "9 days", "50 min"),
)
OLDEST_DAYS = 10
"""Days before the last one for which rows of partitioned tables are made."""


def statements(end: datetime) -> Iterator[str]:
    """The INSERTs of a market whose ranges end at `end`, a whole millisecond in UTC."""
    moment = f"'{end.isoformat()}'::timestamptz"
    for statement, values, past, step in ROWS:
        steps = STEPS.format(end=moment, past=past, step=step)
        yield statement.format(end=moment, steps=steps, symbols=SYMBOLS, **values)
