"""What is wrong, as Cassandra remembers it: gaps, alarms, dead letters."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

from grafana import looks, variables
from grafana import transformations as then
from grafana.board import Board
from grafana.query import Query, buckets, cql, texts

SOURCE_TABLES = [
    "certificates",
    "coin_markets",
    "depth",
    "events",
    "gaps",
    "heartbeat",
    "instruments",
    "klines",
    "listings",
    "movers_24h",
    "prices",
    "ticker_24h",
    "ticker_24h_history",
    "trades",
]

COLORED = {"type": "color-text"}

GAPS = Query(
    cql(
        "SELECT venue, symbol, stream, state, cause, first_missing, last_missing, detected_at,",
        "as_of FROM gaps WHERE venue = ${venue:sqlstring} LIMIT 20000",
    ),
    series="venue",
    shape="table",
)
ALARMS = Query(
    cql(
        "SELECT venue, at, kind, severity, message FROM events_by_day",
        f"WHERE venue = '{variables.OF_THE_PIPELINE}' AND {buckets('day', '1d', count=8)}",
        "AND at <= $__timeTo PER PARTITION LIMIT 50",
    ),
    series="venue",
    shape="table",
    days=7,
)
DEAD_LETTERS = Query(
    cql(
        "SELECT (text)'dead' AS id, source_table, at, cause, reason, payload_bytes",
        f"FROM dead_letters WHERE source_table IN ({texts(SOURCE_TABLES)})",
        f"AND {buckets('day', '1d')} PER PARTITION LIMIT 20",
    ),
    series="id",
    shape="table",
)


def gaps(board: Board) -> None:
    """What is or was missing of a venue."""
    states = looks.words(
        {
            "open": ("open", looks.RED),
            "unprovable": ("unprovable", looks.AMBER),
            "repaired": ("repaired", looks.GREEN),
            "exchange-confirmed": ("the exchange has none", looks.GREY),
        }
    )
    panel = looks.rows(
        {
            "state": [Setting("mappings", states), Setting("custom.cellOptions", COLORED)],
            "detected_at": looks.named("found", *looks.age()),
            "as_of": looks.named("last word", *looks.age()),
        },
        empty="no gap was ever found here",
    )
    panel.with_transformation(then.sort("detected_at", descending=True))
    panel.with_transformation(then.columns(without=["venue"]))
    board.panel(
        panel,
        "Gaps",
        "What is or was missing of the venue, the newest first, as it is now. First and last "
        "missing are trade ids, or times in ms of candles and polls. Beyond 20,000 gaps symbols at "
        "the end of the alphabet are left out; `tidemark gaps` has them all.",
        GAPS,
        size=(14, 12),
    )


def alarms(board: Board) -> None:
    """What the watch raised and cleared."""
    severities = looks.words(
        {
            "critical": ("critical", looks.RED),
            "warning": ("warning", looks.AMBER),
            "info": ("over", looks.GREEN),
        }
    )
    panel = looks.rows(
        {
            "at": looks.named("when", *looks.age()),
            "severity": [Setting("mappings", severities), Setting("custom.cellOptions", COLORED)],
            "message": [Setting("custom.width", 520)],
        },
        empty="no alarm in the week before the end of the range",
    )
    panel.with_transformation(then.sort("at", descending=True))
    panel.with_transformation(then.columns(without=["venue"]))
    board.panel(
        panel,
        "Alarms",
        "Alarms as they were raised and cleared, and changes of load shedding, in the week before "
        "the end of the range: the newest fifty of each day. The runbook has a chapter for each.",
        ALARMS,
        size=(14, 10),
    )


def dead_letters(board: Board) -> None:
    """What could not be applied."""
    panel = looks.rows(
        {
            "source_table": looks.named("table"),
            "at": looks.named("when", *looks.age()),
            "payload_bytes": looks.named("size", *looks.unit("bytes")),
        },
        empty="no dead letter in two days",
    )
    panel.with_transformation(then.sort("at", descending=True))
    panel.with_transformation(then.columns(without=["id"]))
    board.panel(
        panel,
        "Dead letters",
        "Events that could not be applied, of the range's last day and the day before, twenty a "
        "table and day; `tidemark dlq list` has them all, and what was redriven.",
        DEAD_LETTERS,
        size=(10, 10),
    )
