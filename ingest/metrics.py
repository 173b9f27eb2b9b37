"""What ingestion says about itself on TIDEMARK_INGEST_METRICS_PORT (default 19101).

`tidemark status` reads tidemark_ingest_ban_until_seconds, …_ban_status, …_quarantined_total,
…_last_write_seconds, …_spool_bytes, …_used_weight and …_failing_polls.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info

_NAME = "tidemark_ingest"

VENUE = Info(f"{_NAME}_venue", "The exchange that is polled: its `venue` in every row")
REQUESTS = Counter(
    f"{_NAME}_requests_total", "Requests by endpoint and outcome", ("endpoint", "status")
)
REQUEST_SECONDS = Histogram(
    f"{_NAME}_request_seconds", "From sending to the whole body", ("endpoint",)
)
USED_WEIGHT = Gauge(f"{_NAME}_used_weight", "Weight used in this minute, as the exchange says")
WEIGHT_LIMIT = Gauge(f"{_NAME}_weight_limit", "Weight a minute that the exchange allows")
BAN_UNTIL = Gauge(
    f"{_NAME}_ban_until_seconds", "End of the silence the exchange demands, Unix time; 0 without"
)
BAN_STATUS = Gauge(f"{_NAME}_ban_status", "The answer that demanded it: 429, 418, 403 or 451")
ROWS = Counter(f"{_NAME}_rows_total", "Rows written, by table", ("table",))
QUARANTINED = Counter(f"{_NAME}_quarantined_total", "Rows set aside, by endpoint", ("endpoint",))
WRITE_SECONDS = Histogram(f"{_NAME}_write_seconds", "One transaction of the writer")
WRITE_FAILURES = Counter(f"{_NAME}_write_failures_total", "Transactions to be tried again")
LAST_WRITE = Gauge(f"{_NAME}_last_write_seconds", "When the last transaction ended, Unix time")
SPOOL_BYTES = Gauge(f"{_NAME}_spool_bytes", "Answers that wait for PostgreSQL")
SPOOL_BATCHES = Gauge(f"{_NAME}_spool_batches", "Batches that wait for PostgreSQL")
FAILING_POLLS = Gauge(
    f"{_NAME}_failing_polls", "Polls that fail, from their second failure in a row", ("endpoint",)
)
SKIPPED = Counter(f"{_NAME}_skipped_polls_total", "Polls left out, by reason", ("reason",))
CALLS_LEFT = Gauge(f"{_NAME}_calls_left", "Calls that a plan still has this month", ("venue",))
CALLS_FORECAST = Gauge(
    f"{_NAME}_calls_forecast", "Calls made by the end of this month, by the schedule", ("venue",)
)
SOURCE_UP = Gauge(f"{_NAME}_source_up", "1 while a source beside the exchange speaks", ("venue",))
SHEDDING_LEVEL = Gauge(f"{_NAME}_shedding_level", "Streams left out by order of the watch, 0 to 3")
SHED_POLLS = Counter(f"{_NAME}_shed_polls_total", "Polls not made for it", ("stream",))
SHED_ROWS = Counter(f"{_NAME}_shed_rows_total", "Rows fetched and dropped for it", ("stream",))
GAPS = Counter(f"{_NAME}_gaps_total", "Holes in a stream, by stream and state", ("stream", "state"))
OPEN_GAPS = Gauge(f"{_NAME}_open_gaps", "Holes that are neither filled nor explained", ("stream",))
CERTIFICATES = Counter(
    f"{_NAME}_certificates_total", "Minutes judged by their candles, by verdict", ("state",)
)
UNSETTLED = Gauge(
    f"{_NAME}_unsettled_minutes", "Minutes whose trades do not make their candle yet", ("state",)
)
AUDITED = Gauge(
    f"{_NAME}_audited_seconds", "When all that is held was last looked through, Unix time"
)
POLLED_SYMBOLS = Gauge(f"{_NAME}_polled_symbols", "Watched symbols that are TRADING")

STREAM_MESSAGES = Counter(f"{_NAME}_stream_messages_total", "Events of streams, by kind", ("kind",))
STREAM_CONNECTIONS = Gauge(f"{_NAME}_stream_connections", "Open connections of streams")
STREAMS_LIVE = Gauge(f"{_NAME}_streams_live", "Streams that flow")
STREAMS_WANTED = Gauge(f"{_NAME}_streams_wanted", "Streams that should flow")
STREAMS_AWAY_SINCE = Gauge(
    f"{_NAME}_streams_away_since_seconds",
    "Since when a stream of a traded symbol has been away without a break, Unix time; 0 for none",
)
STREAM_ENDS = Counter(
    f"{_NAME}_stream_ends_total", "Connections that ended or will, by reason", ("reason",)
)
STREAM_DROPPED = Counter(
    f"{_NAME}_stream_dropped_total",
    "Streamed trades without room, to be asked for again, and rejected rows beyond what is kept",
    ("what",),
)
STREAM_FALLBACK = Gauge(
    f"{_NAME}_stream_fallback_polls", "Polls that stand in for a stream that is away", ("endpoint",)
)
STREAM_LATENCY = Histogram(
    f"{_NAME}_stream_latency_seconds",
    "From the event, by the exchange's clock, to its receipt",
    ("kind",),
)

BOOKS_LIVE = Gauge(f"{_NAME}_books_live", "Local order books that are in step with the exchange")
BOOK_RESETS = Counter(f"{_NAME}_book_resets_total", "Local books given up, by reason", ("reason",))
BOOK_SNAPSHOTS = Counter(
    f"{_NAME}_book_snapshots_total", "Snapshots asked for local books, by outcome", ("outcome",)
)
WATCHED_SYMBOLS = Gauge(f"{_NAME}_watched_symbols", "Symbols that are watched in full")
LEFT_OUT_SYMBOLS = Gauge(
    f"{_NAME}_left_out_symbols", "Symbols that are wanted and that no limit leaves room for"
)
