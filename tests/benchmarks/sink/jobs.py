"""What a contestant of ours is told, as a JSON file: the same for Java and Python.

The target tables are those of `cdc.routes`, so that every contestant does the same work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cdc.mapping import Bucket, Column, Route, Via
from cdc.settings import CdcSettings
from contracts.naming import Role
from tests.benchmarks.sink.log import PrefilledLog

Job = dict[str, Any]
WARM_EVENTS = 40_000  # before the clock, so that Java's compiler has done its work


def job(
    log: PrefilledLog,
    group: str,
    events: int,
    window_s: float,
    options: Job,
    routes: Iterable[Route],
) -> Job:
    """Everything that a contestant needs: `options` are its own, `routes` those that it fills."""
    settings = log.settings
    return {
        "bootstrap": settings.kafka_bootstrap,
        "group": group,
        "topics": log.topics,
        "starts": log.starts(events),
        "log_events": log.events,
        "events": events,
        "warm_events": min(events, WARM_EVENTS),
        "window_s": window_s,
        "venue": "bench",
        "poll_records": 500,
        "batch_rows": 1,
        "strip_zeros": False,
        "cassandra": _cassandra(settings),
        "targets": [_target(route, settings.cassandra_keyspace) for route in routes],
    } | options


def _cassandra(settings: CdcSettings) -> Job:
    return {
        "host": settings.cassandra_contact_points[0],
        "port": settings.cassandra_port,
        "keyspace": settings.cassandra_keyspace,
        "user": Role.SINK,
        "password_file": str(settings.secret_path(Role.SINK).resolve()),
    }


def _target(route: Route, keyspace: str) -> Job:
    names = [each.name for each in route.columns]
    marks = ", ".join("?" * len(names))
    above = route.condition
    return {
        "source": route.source.table,
        "table": route.table,
        "insert": f"INSERT INTO {keyspace}.{route.table} ({', '.join(names)}) VALUES ({marks})",
        "columns": [(each.source, _kind(each), each.name) for each in route.columns],
        "partition_columns": len(route.partition),
        "above": None if above is None else (above.field, str(above.limit)),
    }


def _kind(column: Column) -> str:
    """How a column's value comes from JSON."""
    if column.via is Via.MICROS:
        return "micros"
    if column.via is Via.BUCKET:
        # all candles of the log are of a minute
        by_interval = column.bucket is Bucket.BY_INTERVAL
        return str(Bucket.MONTH if by_interval else column.bucket)
    return column.cql
