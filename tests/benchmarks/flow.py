"""A minute of 1,000 trades a second, from the exchange's REST pages to rows in Cassandra."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import quantiles

from tests.benchmarks.clone import Clone
from tests.benchmarks.figures import Figure

TRADES_PER_SECOND = 1100  # of the market; pauses between polls cost none, ids are contiguous
WINDOW_S = 60
SETTLE_S = 60


def measure(clone: Clone) -> Iterator[Figure]:
    """Trades stored in a minute, and how long commits took to be visible in Cassandra."""
    time.sleep(SETTLE_S)  # what the backfill left in the log has passed
    start = datetime.now(UTC)
    time.sleep(WINDOW_S)
    end = datetime.now(UTC)
    time.sleep(5)
    [(count,)] = clone.sql(
        "SELECT count(*) FROM trades WHERE ingested_at >= %s AND ingested_at < %s", start, end
    )
    yield Figure(
        name="trades into PostgreSQL",
        value=count / WINDOW_S,
        unit="trades/s",
        goal=1000,
        at_least=True,
        note=f"{count:,} trades of ten symbols in {WINDOW_S} s, beside prices, books, statistics",
    )
    latencies_ms = [
        (row.visible_us - row.committed_us) / 1000
        for day in {start.date(), end.date()}
        for row in clone.cql(
            "SELECT committed_us, visible_us FROM heartbeats_by_day "
            "WHERE source='ingest' AND day=%s AND beat_at >= %s AND beat_at < %s",
            datetime(day.year, day.month, day.day, tzinfo=UTC),
            start,
            end + timedelta(seconds=1),
        )
    ]
    cuts = quantiles(latencies_ms, n=100, method="inclusive")
    note = f"{len(latencies_ms)} heartbeats, commit in PostgreSQL to acknowledged in Cassandra"
    yield Figure(name="latency p50", value=cuts[49], unit="ms", note=note)
    yield Figure(name="latency p99", value=cuts[98], unit="ms", goal=1000, note=note)
