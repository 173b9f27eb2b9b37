"""What the ledger asks of PostgreSQL: minutes rebuilt from their trades, holes between ids.

Parameters are named. Trades are read by pk_trades, a symbol and a time range at a time, so a query
costs what its range holds and never a day. Sums of NUMERIC are exact; they are those of
`ingest.conservation`, which says what they mean.
"""

from __future__ import annotations

CANDLE = (
    *("open_time", "close_time", "open", "high", "low", "close", "volume", "quote_volume"),
    *("trade_count", "taker_buy_volume", "taker_buy_quote_volume", "as_of"),
)
CERTIFICATE = ("state", "trade_count", "first_trade_id", "last_trade_id", "detail", "as_of")

_MADE = """
    count(*) AS made_trade_count,
    min(t.trade_id) AS made_first_trade_id, max(t.trade_id) AS made_last_trade_id,
    (min(ARRAY[t.trade_id::numeric, t.price]))[2] AS made_open,
    max(t.price) AS made_high, min(t.price) AS made_low,
    (max(ARRAY[t.trade_id::numeric, t.price]))[2] AS made_close,
    sum(t.quantity) AS made_volume, sum(t.product) AS made_quote_volume,
    sum(t.quantity) FILTER (WHERE NOT t.is_buyer_maker) AS made_taker_buy_volume,
    sum(t.product) FILTER (WHERE NOT t.is_buyer_maker) AS made_taker_buy_quote_volume,
    count(*) FILTER (WHERE t.product <> round(t.product, 8)) AS made_finer,
    count(*) FILTER (WHERE t.product <> round(t.product, 8) AND NOT t.is_buyer_maker)
        AS made_taker_buy_finer,
    count(*) FILTER (WHERE t.product < t.quote_quantity
                        OR t.product >= t.quote_quantity + 0.00000001) AS made_odd
"""
_TRADES = """
    SELECT trade_id, traded_at, price, quantity, quote_quantity, is_buyer_maker,
           price * quantity AS product
    FROM trades WHERE venue = %(venue)s AND symbol = {symbol}
      AND traded_at >= {since} AND traded_at < {until}
"""
_CANDLE = ", ".join(f"k.{name} AS candle_{name}" for name in CANDLE)
_CERTIFICATE = ", ".join(f"c.{name} AS known_{name}" for name in CERTIFICATE)
_KEY = "c.venue = %(venue)s AND c.symbol = {symbol} AND c.open_time = {open_time}"
_WITHIN = "{time} >= %(since)s AND {time} < %(until)s"  # leaves out other days when planned
_ONE_MINUTE = (
    _TRADES.format(
        symbol="w.symbol", since="w.open_time", until="w.open_time + interval '1 minute'"
    )
    + f"AND {_WITHIN.format(time='traded_at')}"
)
_REBUILT = f"""
SELECT w.*, made.* FROM wanted AS w CROSS JOIN LATERAL (SELECT {_MADE} FROM ({_ONE_MINUTE}) AS t)
    AS made
ORDER BY w.open_time, w.symbol
"""  # noqa: S608 - made of the constants above

# pk_klines and pk_certificates, a range of each symbol; pk_trades
FRESH_MINUTES = f"""
WITH wanted AS MATERIALIZED (
    SELECT k.symbol, k.open_time, {_CANDLE}, {_CERTIFICATE}
    FROM unnest(%(symbols)s) AS s (symbol)
    JOIN klines AS k ON k.venue = %(venue)s AND k.symbol = s.symbol AND k.interval = '1m'
        AND {_WITHIN.format(time="k.open_time")} AND k.is_closed
    LEFT JOIN certificates AS c ON {_WITHIN.format(time="c.open_time")}
        AND {_KEY.format(symbol="k.symbol", open_time="k.open_time")}
    WHERE c.as_of IS NULL OR c.as_of < k.as_of
    ORDER BY k.open_time, k.symbol LIMIT %(limit)s
)
{_REBUILT}
"""  # noqa: S608 - made of the constants above

# ix_certificates_unsettled, on from a place; pk_trades
UNSETTLED_MINUTES = f"""
WITH wanted AS MATERIALIZED (
    SELECT c.symbol, c.open_time, {_CANDLE}, {_CERTIFICATE}
    FROM certificates AS c
    JOIN klines AS k ON k.venue = c.venue AND k.symbol = c.symbol AND k.interval = '1m'
        AND k.open_time = c.open_time AND k.is_closed
    WHERE c.venue = %(venue)s AND c.state IN ('incomplete', 'differs') AND c.state = %(state)s
      AND {_WITHIN.format(time="c.open_time")}
      AND (c.open_time, c.symbol) > (%(since)s, %(after_symbol)s)
    ORDER BY c.open_time, c.symbol LIMIT %(limit)s
)
{_REBUILT}
"""  # noqa: S608 - made of the constants above

# pk_trades, one range
MINUTES = f"""
WITH made AS (
    SELECT date_trunc('minute', t.traded_at) AS made_of, {_MADE}
    FROM ({_TRADES.format(symbol="%(symbol)s", since="%(since)s", until="%(until)s")}) AS t
    GROUP BY 1
), candles AS (
    SELECT * FROM klines WHERE venue = %(venue)s AND symbol = %(symbol)s AND interval = '1m'
      AND {_WITHIN.format(time="open_time")} AND is_closed
)
SELECT %(symbol)s AS symbol, coalesce(k.open_time, made_of) AS open_time, {_CANDLE},
       {_CERTIFICATE}, made.*
FROM candles AS k FULL JOIN made ON made_of = k.open_time
LEFT JOIN certificates AS c ON {_WITHIN.format(time="c.open_time")}
    AND {_KEY.format(symbol="%(symbol)s", open_time="coalesce(k.open_time, made_of)")}
ORDER BY 2
"""  # noqa: S608 - made of the constants above

# pk_trades: the last one before a range, the first one behind it
AROUND = """
SELECT (SELECT trade_id FROM trades
        WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at < %(since)s
        ORDER BY traded_at DESC, trade_id DESC LIMIT 1) AS before,
       (SELECT trade_id FROM trades
        WHERE venue = %(venue)s AND symbol = %(symbol)s
          AND traded_at >= %(until)s AND traded_at < %(now)s
        ORDER BY traded_at, trade_id LIMIT 1) AS after
"""

# pk_trades, one range and the rows beside it. A trade whose id stands out of order, while those
# beside it are in order, stands at a wrong time and bounds no hole.
HOLES = """
WITH tape AS (
    (SELECT traded_at, trade_id FROM trades
     WHERE venue = %(venue)s AND symbol = %(symbol)s AND traded_at < %(since)s
     ORDER BY traded_at DESC, trade_id DESC LIMIT 1)
    UNION ALL
    (SELECT traded_at, trade_id FROM trades
     WHERE venue = %(venue)s AND symbol = %(symbol)s
       AND traded_at >= %(since)s AND traded_at < %(until)s)
    UNION ALL
    (SELECT traded_at, trade_id FROM trades
     WHERE venue = %(venue)s AND symbol = %(symbol)s
       AND traded_at >= %(until)s AND traded_at < %(now)s
     ORDER BY traded_at, trade_id LIMIT 1)
), placed AS (
    SELECT trade_id, lag(trade_id) OVER in_time AS one, lead(trade_id) OVER in_time AS two
    FROM tape WINDOW in_time AS (ORDER BY traded_at, trade_id)
), steps AS (
    SELECT lag(trade_id) OVER (ORDER BY trade_id) AS before, trade_id FROM placed
    WHERE NOT coalesce(one < two AND trade_id NOT BETWEEN one AND two, false)
)
SELECT before + 1 AS first_missing, trade_id - 1 AS last_missing
FROM steps WHERE trade_id > before + 1 ORDER BY 1
"""

# pk_gaps
GAPS_AMONG = """
SELECT venue, symbol, stream, first_missing, last_missing, state, cause, detail, detected_at, as_of
FROM gaps WHERE venue = %(venue)s AND symbol = %(symbol)s AND stream = %(stream)s
  AND state <> 'repaired' AND first_missing <= %(last)s AND last_missing >= %(first)s
ORDER BY first_missing
"""

# pk_trades, one minute
TRADES = """
SELECT venue, symbol, trade_id, traded_at, traded_at_us, price, quantity, quote_quantity,
       notional_usd, is_buyer_maker, is_best_match
FROM trades WHERE venue = %(venue)s AND symbol = %(symbol)s
  AND traded_at >= %(since)s AND traded_at < %(until)s
ORDER BY traded_at, trade_id
"""

# pk_klines, both ends
CANDLE_BOUNDS = """
SELECT min(open_time) AS first, max(open_time) AS last FROM klines
WHERE venue = %(venue)s AND symbol = %(symbol)s AND interval = %(interval)s AND is_closed
  AND open_time >= %(since)s
"""

# the catalogue: days of which trades are held
TRADE_DAYS = """
SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') AS day
FROM pg_inherits WHERE inhparent = 'trades'::regclass ORDER BY day DESC
"""

CORRECT = "SELECT correct_trades(%(venue)s, %(symbol)s, %(minute)s, %(wrong)s, %(told)s)"

# ix_gaps_open, ix_certificates_unsettled
OPEN_COUNTS = """
SELECT 'gaps' AS what, CASE WHEN stream LIKE 'klines%%' THEN 'klines' ELSE stream END AS label,
       count(*) AS count
FROM gaps WHERE venue = %(venue)s AND state = 'open' GROUP BY 2
UNION ALL
SELECT 'minutes', state, count(*) FROM certificates
WHERE venue = %(venue)s AND state IN ('incomplete', 'differs') GROUP BY state
"""
