"""What ingestion reads back from PostgreSQL. Each query names the key that serves it.

Parameters are named. Per symbol the newest row is looked up from `instruments`, one index probe a
symbol and partition, because GROUP BY would read whole days.
"""

from __future__ import annotations

# pk_instruments
INSTRUMENTS = """
SELECT venue, symbol, base_asset, quote_asset, status, tick_size, lot_size, min_notional, as_of
FROM instruments WHERE venue = %(venue)s ORDER BY symbol
"""

# pk_listings, one range: a few rows a symbol
LISTINGS = """
SELECT venue, symbol, listed_at, base_asset, quote_asset, delisted_at, as_of
FROM listings WHERE venue = %(venue)s ORDER BY symbol, listed_at
"""

# pk_ticker_24h and, backwards in each recent partition, pk_trades: when each symbol was last traded
LAST_SIGNS = """
SELECT i.symbol, greatest(t.as_of, newest.traded_at) AS at
FROM instruments AS i
LEFT JOIN ticker_24h AS t USING (venue, symbol)
LEFT JOIN LATERAL (
    SELECT traded_at FROM trades AS r
    WHERE r.venue = i.venue AND r.symbol = i.symbol AND r.traded_at >= %(since)s
    ORDER BY r.traded_at DESC LIMIT 1
) AS newest ON true
WHERE i.venue = %(venue)s AND greatest(t.as_of, newest.traded_at) IS NOT NULL
"""

# pk_trades, backwards in each recent partition: ids rise with time
LAST_TRADE_IDS = """
SELECT i.symbol, newest.trade_id
FROM instruments AS i CROSS JOIN LATERAL (
    SELECT t.trade_id FROM trades AS t
    WHERE t.venue = i.venue AND t.symbol = i.symbol AND t.traded_at >= %(since)s
    ORDER BY t.traded_at DESC, t.trade_id DESC LIMIT 1
) AS newest
WHERE i.venue = %(venue)s
"""

# pk_trades, from a time on: the trades of that ms, and the first one behind them
NEXT_TRADE_ID = """
SELECT trade_id FROM trades
WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at >= %(since)s
  AND trade_id > %(after)s
ORDER BY traded_at, trade_id LIMIT 1
"""

# pk_prices, backwards in each recent partition
LATEST_PRICES = """
SELECT i.venue, i.symbol, newest.observed_at, newest.price
FROM instruments AS i CROSS JOIN LATERAL (
    SELECT p.observed_at, p.price FROM prices AS p
    WHERE p.venue = i.venue AND p.symbol = i.symbol AND p.observed_at >= %(since)s
    ORDER BY p.observed_at DESC LIMIT 1
) AS newest
WHERE i.venue = %(venue)s
"""

# pk_klines, backwards
LAST_CLOSED_KLINES = """
SELECT i.symbol, wanted.interval, newest.open_time
FROM instruments AS i
CROSS JOIN unnest(%(intervals)s) AS wanted (interval)
CROSS JOIN LATERAL (
    SELECT k.open_time FROM klines AS k
    WHERE k.venue = i.venue AND k.symbol = i.symbol AND k.interval = wanted.interval
      AND k.is_closed
    ORDER BY k.open_time DESC LIMIT 1
) AS newest
WHERE i.venue = %(venue)s
"""

# ix_gaps_open
OPEN_GAPS = """
SELECT venue, symbol, stream, first_missing, last_missing, state, cause, detail, detected_at, as_of
FROM gaps WHERE venue = %(venue)s AND state = 'open' ORDER BY detected_at, symbol, first_missing
"""

# pk_gaps
GAPS_WITHIN = """
SELECT venue, symbol, stream, first_missing, last_missing, state, cause, detail, detected_at, as_of
FROM gaps WHERE venue = %(venue)s AND symbol = %(symbol)s AND stream = %(stream)s
  AND first_missing >= %(first)s AND last_missing < %(end)s AND state <> 'repaired'
ORDER BY first_missing
"""

# one row; its age by PostgreSQL's own clock
LOAD_SHEDDING = """
SELECT level, extract(epoch FROM clock_timestamp() - at)::float8 AS age_s FROM load_shedding
"""

# pk_klines, one range: each closed candle, and the bounds, tell what should follow next
MISSING_KLINES = """
WITH known AS (
    SELECT open_time FROM klines
    WHERE venue = %(venue)s AND symbol = %(symbol)s AND interval = %(interval)s
      AND open_time >= %(start)s AND open_time < %(end)s AND is_closed
    UNION ALL VALUES (%(end)s)
), steps AS (
    SELECT coalesce(lag(open_time) OVER in_time + %(step)s::interval, %(start)s) AS expected,
           open_time AS found
    FROM known WINDOW in_time AS (ORDER BY open_time)
)
SELECT expected AS first_missing, found - %(step)s::interval AS last_missing
FROM steps WHERE found > expected ORDER BY expected
"""

# pk_backfills
BACKFILLS = """
SELECT venue, symbol, stream, start_time, next_time, source, checksum FROM backfills
WHERE venue = %(venue)s AND symbol = %(symbol)s AND stream = %(stream)s ORDER BY start_time
"""

# it never goes back, but where the same is loaded anew from another source
SAVE_BACKFILL_PROGRESS = """
INSERT INTO backfills AS b (venue, symbol, stream, start_time, next_time, source, checksum)
VALUES (%(venue)s, %(symbol)s, %(stream)s, %(start_time)s, %(next_time)s, %(source)s, %(checksum)s)
ON CONFLICT (venue, symbol, stream, start_time) DO UPDATE
SET next_time = excluded.next_time, source = excluded.source, checksum = excluded.checksum,
    updated_at = excluded.updated_at
WHERE excluded.next_time > b.next_time
   OR (excluded.source, excluded.checksum) <> (b.source, b.checksum)
"""

QUARANTINE = """
INSERT INTO quarantine (source, endpoint, reason, raw)
SELECT source, endpoint, reason, decode(raw, 'base64')
FROM json_to_recordset(%(rows)s) AS r (source text, endpoint text, reason text, raw text)
"""

TELL = """
INSERT INTO outbox (created_at, aggregatetype, aggregateid, type, payload)
SELECT created_at, aggregatetype, aggregateid, type, payload
FROM json_to_recordset(%(messages)s) AS m (created_at timestamptz, aggregatetype text,
    aggregateid text, type text, payload jsonb)
"""

BEAT = "INSERT INTO heartbeat (source) VALUES (%(source)s) ON CONFLICT DO NOTHING"
ENSURE_PARTITION = "SELECT ensure_partition(%(table)s, %(day)s)"


def interval_step(interval: str) -> str:
    """A candle's interval as PostgreSQL writes it: 15m → '15 minutes', 1M → '1 months'."""
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "M": "months"}
    return f"{int(interval[:-1])} {unit[interval[-1]]}"
