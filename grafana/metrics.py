"""The half of Pipeline that asks Prometheus: rates, lags and limits of the running processes."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.models import common

from grafana import looks
from grafana.board import Board
from grafana.targets import Metric


@dataclass(frozen=True)
class Chart:
    """Lines over time: what they are, in which unit, and how wide (of 24)."""

    title: str
    about: str
    unit: str
    asked: tuple[Metric, ...]
    width: int


EMPTY = "Prometheus has no answer"
ROWS = (
    Metric("sum(rate(tidemark_ingest_rows_total[1m]))", "into PostgreSQL"),
    Metric("sum(rate(tidemark_sink_events_total[1m]))", "out of Kafka"),
    Metric("sum(rate(tidemark_sink_rows_written_total[1m]))", "into Cassandra"),
)
SLOT = (
    Metric("tidemark_slot_behind_bytes", "not confirmed by Debezium"),
    Metric("tidemark_slot_retained_bytes", "kept for the slot"),
    Metric("tidemark_slot_safe_bytes", "left until the slot is lost"),
)
LAG = (
    Metric("sum by (topic) (tidemark_consumer_lag_messages)", "{{topic}}"),
    Metric("tidemark_sink_pending_rows", "read, not acknowledged"),
)
REJECTED = (
    Metric("tidemark_dead_letters", "in the dead-letter topic"),
    Metric("tidemark_quarantine_recent_rows", "quarantined in five minutes"),
    Metric("sum by (endpoint) (rate(tidemark_ingest_quarantined_total[5m])) * 300", "{{endpoint}}"),
)
WEIGHT = (
    Metric("tidemark_ingest_used_weight", "used in this minute"),
    Metric("tidemark_ingest_weight_limit", "the exchange's limit"),
)
OPEN_GAPS = (
    # a stream without holes has no series: this line is 0 then, and away only where ingest is
    Metric(
        "sum(tidemark_ingest_open_gaps or 0 * tidemark_ingest_audited_seconds)",
        "open, of all streams",
    ),
    Metric("tidemark_ingest_open_gaps", "{{stream}}, open"),
    Metric("sum by (state) (tidemark_ingest_unsettled_minutes)", "minutes, {{state}}"),
)
LATENCY = (
    Metric('tidemark_stage_latency_ms{quantile="0.5"}', "{{stage}} p50"),
    Metric('tidemark_stage_latency_ms{quantile="0.99"}', "{{stage}} p99"),
)
CHARTS = (
    Chart(
        "Rows a second",
        "At the doors of three stages; a lasting difference is a queue. Debezium's own rate is no "
        "metric of ours: it stands between the first two.",
        "rowsps",
        ROWS,
        9,
    ),
    Chart(
        "Slot",
        "WAL that PostgreSQL keeps for Debezium. Beyond the limit the slot is lost.",
        "bytes",
        SLOT,
        9,
    ),
    Chart("Consumer lag", "Messages that the sink has not committed, a topic.", "short", LAG, 8),
    Chart(
        "Rejected",
        "Rows that could not be taken (quarantine) or applied (dead letters).",
        "short",
        REJECTED,
        8,
    ),
    Chart(
        "Weight of the exchange",
        "Used and allowed a minute, as the exchange says.",
        "short",
        WEIGHT,
        8,
    ),
    Chart("Latency of the stages", "Over five minutes, by the watch.", "ms", LATENCY, 12),
    Chart(
        "Open gaps",
        "Holes that are neither filled nor explained, and minutes whose trades do not make their "
        "candle.",
        "short",
        OPEN_GAPS,
        12,
    ),
)
RAISED = (
    Metric("max by (alarm) (tidemark_alarm) > 0", "{{alarm}}", instant=True),
    # without any it is 0, and where Prometheus does not answer there is nothing
    Metric("sum(tidemark_alarm) == 0", "no alarm is raised", instant=True),
)


def metrics(board: Board) -> None:
    """Everything that only the processes' own metrics know."""
    board.row("Of the running processes (Prometheus)")
    colors = (None, looks.GREY), (0.0, looks.GREEN), (1.0, looks.RED)
    raised = looks.number("short", *colors).no_value(EMPTY)
    raised.text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    board.panel(
        raised,
        "Raised now",
        "The watch's alarms that are raised.",
        *RAISED,
        size=(6, 8),
    )
    for chart in CHARTS:
        panel = looks.lines(chart.unit).no_value(EMPTY)
        board.panel(panel, chart.title, chart.about, *chart.asked, size=(chart.width, 8))
