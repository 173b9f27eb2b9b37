"""What the sink shows to Prometheus. Counters end in _total, units stand last."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from cdc.sink.gathering import Beat

EVENTS = Counter("tidemark_sink_events_total", "Change events read", ["table", "op"])
ROWS = Counter("tidemark_sink_rows_written_total", "Rows acknowledged by Cassandra", ["table"])
BATCHES = Counter("tidemark_sink_batches_total", "Batches acknowledged by Cassandra")
RETRIES = Counter("tidemark_sink_retries_total", "Batches sent again")
DEAD_LETTERS = Counter("tidemark_sink_dead_letters_total", "Dead letters", ["table", "cause"])
LETTERS_FILED = Counter(
    "tidemark_sink_dead_letters_filed_total", "Dead letters copied from the topic to the table"
)
RANK_OVERFLOWS = Counter(
    "tidemark_sink_rank_overflows_total", "Changes of a key beyond 511 in one transaction"
)
COMMITS_BACKWARDS = Counter(
    "tidemark_sink_commits_backwards_total", "Events sent again by Connect, seen by their LSN"
)
IN_FLIGHT = Gauge("tidemark_sink_batches_in_flight", "Batches sent and not answered")
PENDING = Gauge("tidemark_sink_pending_rows", "Rows not yet acknowledged")
ACKNOWLEDGED = Gauge(
    "tidemark_sink_acknowledged_offset", "Next offset to acknowledge", ["topic", "partition"]
)
LAG = Gauge("tidemark_sink_lag_events", "Events behind the end", ["topic", "partition"])
HALTED = Gauge(
    "tidemark_sink_halted_table", "1: the table's replication halts", ["table", "reason"]
)
STOPPED = Gauge(
    "tidemark_sink_stopped", "1: the sink ends, for a person must act", ["code", "reason"]
)
FAILING = Gauge("tidemark_sink_failing_seconds", "Since when no write succeeds")

_SECONDS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 15, 60)
LATENCY = Histogram(
    "tidemark_latency_seconds", "Time between two stages, by heartbeat", ["stage"], buckets=_SECONDS
)


def observe_beat(beat: Beat, visible_us: int) -> None:
    """Take a heartbeat's way through the stages into the histograms."""
    produced_us = beat.produced_ms * 1000
    for stage, begin, end in (
        ("commit_to_capture", beat.committed_us, beat.captured_us),
        ("capture_to_log", beat.captured_us, produced_us),
        ("log_to_sink", produced_us, beat.received_us),
        ("sink_to_visible", beat.received_us, visible_us),
        ("commit_to_visible", beat.committed_us, visible_us),
    ):
        LATENCY.labels(stage).observe(max(0, end - begin) / 1e6)
