"""What is wrong in a snapshot, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.naming import slot_name
from watch.checks import (
    failing_complaint,
    halted_complaint,
    slot_complaint,
    stopped_complaint,
    streams_complaint,
)
from watch.flow import letters_complaint
from watch.settings import WatchSettings
from watch.snapshot import Snapshot, Unread


@dataclass(frozen=True)
class Finding:
    """Something unhealthy: of which part, what, and the next step."""

    part: str
    problem: str
    remedy: str


UNREAD_REMEDY = {
    "postgres": "`tidemark logs postgres`; `tidemark up` starts what does not run",
    "connect": "`tidemark logs connect`; `tidemark up` starts what does not run",
    "kafka": "`tidemark logs kafka`; `tidemark up` starts what does not run",
    "cassandra": "`tidemark logs cassandra`; `tidemark up` starts what does not run",
    "exchange": "`tidemark logs ingest`; `tidemark up` starts what does not run",
    "sink": "`tidemark logs sink`; `tidemark up` starts what does not run",
}

# alarm → the part of the finding that says the same, fresher
PART_OF = {
    "postgres_down": "postgres",
    "kafka_down": "kafka",
    "connect_down": "connect",
    "cassandra_down": "cassandra",
    "task_failed": "connect",
    "connector_stuck": "heartbeat",
    "heartbeat_age": "heartbeat",
    "ingest_silent": "exchange",
    "exchange_ban": "exchange",
    "exchange_failing": "exchange",
    "streams_away": "streams",
}


def findings(seen: Snapshot, settings: WatchSettings) -> list[Finding]:
    """Everything unhealthy, the source of the way first; empty where all is well."""
    now = [
        *_exchange(seen),
        *_streams(seen, settings),
        *_postgres(seen, settings),
        *_connect(seen),
        *_kafka(seen),
        *_sink(seen),
        *_cassandra(seen, settings),
    ]
    return [*now, *_alarms(seen, {finding.part for finding in now})]


def _unread(part: str, answer: Unread) -> Finding:
    return Finding(part, answer.reason, UNREAD_REMEDY[part])


def _exchange(seen: Snapshot) -> Iterator[Finding]:
    if isinstance(seen.exchange, Unread):
        yield _unread("exchange", seen.exchange)
    elif seen.exchange.banned(seen.at):
        yield Finding(
            "exchange",
            f"it answered {seen.exchange.ban_status}; "
            f"silent until {seen.exchange.banned_until:%Y-%m-%d %H:%M:%S} UTC",
            "wait: ingest goes on by itself; lower TIDEMARK_WEIGHT_SHARE if it comes again",
        )
    elif complaint := failing_complaint(seen.exchange.failing):
        yield Finding(
            "exchange",
            complaint,
            "`tidemark logs ingest`; docs/runbook.md, chapter exchange_failing",
        )


def _streams(seen: Snapshot, settings: WatchSettings) -> Iterator[Finding]:
    if isinstance(seen.exchange, Unread):
        return
    if complaint := streams_complaint(
        seen.exchange.streams, seen.at, settings.watch_streams_away_s
    ):
        yield Finding("streams", complaint, "docs/runbook.md, chapter streams_away")


def _postgres(seen: Snapshot, settings: WatchSettings) -> Iterator[Finding]:
    if isinstance(seen.postgres, Unread):
        yield _unread("postgres", seen.postgres)
        return
    truth, name = seen.postgres, slot_name(seen.generation)
    complaint = slot_complaint(name, truth.slot, settings, already=False)
    if complaint:
        yield Finding("slot", complaint, "docs/runbook.md, chapter slot")
    elif truth.slot is not None and not truth.slot.active:
        yield Finding("slot", f"nobody reads slot {name}", "`tidemark connector status`")
    if truth.quarantined > settings.watch_quarantine_raise_rows:
        yield Finding(
            "quarantine",
            f"{truth.quarantined} rows failed validation within five minutes",
            "their reasons: SELECT endpoint, reason FROM quarantine ORDER BY received_at DESC",
        )


def _alarms(seen: Snapshot, said: set[str]) -> Iterator[Finding]:
    """Raised alarms, but those whose matter is seen and said already."""
    if isinstance(seen.postgres, Unread):
        return
    for alarm in seen.postgres.alarms:
        if PART_OF.get(alarm.name, alarm.name) not in said:
            yield Finding(
                alarm.name,
                f"{alarm.text} (alarm since {alarm.since:%Y-%m-%d %H:%M:%S} UTC)",
                f"docs/runbook.md, chapter {alarm.name}",
            )


def _connect(seen: Snapshot) -> Iterator[Finding]:
    if isinstance(seen.connect, Unread):
        yield _unread("connect", seen.connect)
    elif seen.connect is None:
        yield Finding("connect", "there is no connector", "`tidemark connector apply`")
    elif seen.connect.failed:
        reason = seen.connect.failure or "no reason given"
        yield Finding(
            "connect",
            f"{seen.connect.name} has FAILED: {reason}",
            "the watch restarts it; `tidemark logs connect` holds the whole trace",
        )
    elif not seen.connect.running:
        states = ", ".join(task.state for task in seen.connect.tasks) or "no task"
        yield Finding(
            "connect",
            f"{seen.connect.name} is {seen.connect.state}, tasks: {states}",
            "`tidemark connector apply` resumes it",
        )


def _kafka(seen: Snapshot) -> Iterator[Finding]:
    if isinstance(seen.kafka, Unread):
        yield _unread("kafka", seen.kafka)
    elif complaint := letters_complaint(seen.kafka):
        yield Finding("dead_letters", complaint, "docs/runbook.md, chapter dead_letters")


def _sink(seen: Snapshot) -> Iterator[Finding]:
    if isinstance(seen.sink, Unread):
        yield _unread("sink", seen.sink)
        return
    if complaint := stopped_complaint(seen.sink.stopped):
        yield Finding(
            "sink_stopped", complaint, "the text says what to do; it is started again by itself"
        )
    if complaint := halted_complaint(seen.sink.halted):
        yield Finding("table_halted", complaint, "docs/runbook.md, chapter table_halted")


def _cassandra(seen: Snapshot, settings: WatchSettings) -> Iterator[Finding]:
    if isinstance(seen.cassandra, Unread):
        yield _unread("cassandra", seen.cassandra)
        return
    ages = seen.cassandra.heartbeats.ages_s
    known = [age for age in ages.values() if age is not None]
    if not known:
        yield Finding(
            "heartbeat",
            "no heartbeat has reached Cassandra yet",
            "`tidemark logs sink`; right after the start, wait for half a minute",
        )
    elif min(known) > settings.watch_heartbeat_raise_s:
        yield Finding(
            "heartbeat",
            f"the newest heartbeat in Cassandra is {min(known):.0f} s old",
            "docs/runbook.md, chapter heartbeat_age",
        )
