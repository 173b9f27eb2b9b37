"""What the watch publishes on its metrics port."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

ALARM = Gauge("tidemark_alarm", "1 while the alarm is raised", ["alarm"])
CHECK_FAILURES = Counter("tidemark_check_failures", "Rounds of a check that failed", ["check"])
CHECK_AT = Gauge("tidemark_check_last_success_timestamp_seconds", "Its last good round", ["check"])

CONNECTOR_RUNNING = Gauge("tidemark_connector_running", "1 while the connector says RUNNING")
TASK_RUNNING = Gauge("tidemark_connector_task_running", "1 while the task says RUNNING", ["task"])
TASK_RESTARTS = Counter("tidemark_connector_task_restarts", "Restarts by the watch", ["why"])

SLOT_ACTIVE = Gauge("tidemark_slot_active", "1 while Debezium reads the slot")
SLOT_RETAINED = Gauge("tidemark_slot_retained_bytes", "WAL that is kept for the slot")
SLOT_BEHIND = Gauge("tidemark_slot_behind_bytes", "WAL that Debezium has not confirmed")
SLOT_SAFE = Gauge("tidemark_slot_safe_bytes", "WAL that fits until the slot is lost; NaN: no limit")
SLOT_TIME_LEFT = Gauge(
    "tidemark_slot_seconds_to_limit", "Until the slot is lost at the present rate; Inf: it shrinks"
)
SHEDDING_LEVEL = Gauge(
    "tidemark_shedding_level", "Streams that ingest shall leave out: depth, trades, prices"
)
PARTITIONS_MADE = Counter("tidemark_partitions_made", "Partitions made ahead")
PARTITIONS_DROPPED = Counter("tidemark_partitions_dropped", "Old days dropped")
QUARANTINE = Gauge("tidemark_quarantine_recent_rows", "Rows of the last five minutes")

HEARTBEAT_AGE = Gauge(
    "tidemark_heartbeat_age_seconds", "Age of the newest heartbeat in Cassandra", ["source"]
)
STAGE_LATENCY = Gauge(
    "tidemark_stage_latency_ms", "Latency over the last five minutes", ["stage", "quantile"]
)
CONSUMER_LAG = Gauge("tidemark_consumer_lag_messages", "Not yet committed by the sink", ["topic"])
DEAD_LETTERS = Gauge("tidemark_dead_letters", "Messages in the dead-letter topic")
WEBHOOK_WAITING = Gauge("tidemark_webhook_waiting_alarms", "Alarms that it has not taken yet")
WEBHOOK_FAILURES = Counter("tidemark_webhook_failures", "Tries that it did not take")
VERIFICATION_DIFFERENCES = Gauge(
    "tidemark_verification_differences", "Rows that differed in the last pass", ["table"]
)
VERIFIED_THROUGH = Gauge(
    "tidemark_verified_through_timestamp_seconds",
    "Proved equal up to here, without a hole",
    ["table"],
)
VERIFICATION_SECONDS = Gauge(
    "tidemark_verification_seconds", "Length of the last pass, its rests included", ["kind"]
)
VERIFICATION_FAILURES = Counter("tidemark_verification_failures", "Passes that could not be made")
