"""How old what a dashboard shows is: asked the same way by all of them and by an alert."""

from __future__ import annotations

from dataclasses import replace

from grafana.board import Board
from grafana.looks import AMBER, GREEN, RED, number
from grafana.query import Query, buckets, cql, last

HEARTBEAT_AGE = Query(
    cql(
        "SELECT source, max(beat_at) AS time,",
        "(bigint)$__timeTo - toUnixTimestamp(max(beat_at)) AS age_ms FROM heartbeats_by_day",
        f"WHERE source IN ('debezium', 'ingest') AND {buckets('day', '1d')}",
        f"AND {last('5m', 'beat_at')} GROUP BY source, day",
    ),
    series="source",
)
CLOCKS_DIFFER_MS = -60_000
# the first is the colour of no value, too
AGES = ((None, RED), (CLOCKS_DIFFER_MS, GREEN), (15_000, AMBER), (60_000, RED))
HEARTBEAT_AGE_ALERT = replace(HEARTBEAT_AGE, role="alert")


def heartbeat_age(board: Board) -> None:
    """One number a source; red, or without a value, once the data stands still."""
    board.panel(
        # the least: just after midnight there is a row of each day
        number("ms", *AGES, calc="min")
        .display_name("${__series.name}")
        .no_value("older than 5 minutes"),
        "Age of the data",
        "How long before the end of the range the newest row that is visible in Cassandra was "
        "written: ingest's own, and Debezium's, which comes also while ingest is down.",
        HEARTBEAT_AGE,
        size=(4, 4),
    )
