"""Checks of the way between PostgreSQL and the sink: the connector, its tasks, the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from cdc.connector.client import ConnectClient, ConnectorStatus
from cdc.errors import Unreachable
from watch import gauges, probes
from watch.announcer import Announcer
from watch.probes import Flow
from watch.restarts import Backoff
from watch.settings import WatchSettings

log = structlog.get_logger(__name__)

STUCK: Final = "stuck"


@dataclass
class Standstill:
    """For how long a number has not moved."""

    value: int | None = None
    since: datetime | None = None

    def seconds(self, value: int, now: datetime) -> float:
        """Seconds since the number last moved, 0 where it moved now or is seen first."""
        if self.since is None or value != self.value:
            self.value, self.since = value, now
        return (now - self.since).total_seconds()

    def forget(self) -> None:
        """Start anew: what stood still had a reason."""
        self.since = None


class ConnectorCheck:
    """Connector and tasks: restarts what has failed, ever more slowly."""

    name, part = "connector", "connect"

    def __init__(
        self,
        settings: WatchSettings,
        client: ConnectClient,
        announcer: Announcer,
        backoff: Backoff,
    ) -> None:
        self.period_s = settings.watch_period_s
        self._client = client
        self._announcer = announcer
        self._backoff = backoff

    def look(self, now: datetime) -> None:
        status = self._client.status()
        if status is None:
            text = f"there is no connector {self._client.name}; `tidemark connector apply` makes it"
            self._announcer.look("task_failed", text, now)
            return
        self._publish(status)
        text = f"{status.name} has FAILED: {status.failure or 'no reason given'}"
        self._announcer.look("task_failed", text if status.failed else None, now)
        if status.running:
            self._backoff.well(status.name, now.timestamp())
        elif status.failed:
            self._restart(status, now)

    def _restart(self, status: ConnectorStatus, now: datetime) -> None:
        if self._announcer.is_raised("postgres_down") or self._announcer.is_raised("kafka_down"):
            return  # it would only fail again
        if self._announcer.is_raised("replication_refused"):
            return  # it must not run
        if not self._backoff.due(status.name, now.timestamp()):
            return
        attempt = self._backoff.restarted(status.name, now.timestamp())
        log.warning("restarting", connector=status.name, attempt=attempt, reason=status.failure)
        self._client.restart()
        gauges.TASK_RESTARTS.labels("failed").inc()

    def _publish(self, status: ConnectorStatus) -> None:
        gauges.CONNECTOR_RUNNING.set(status.state == "RUNNING")
        for task in status.tasks:
            gauges.TASK_RUNNING.labels(str(task.id)).set(task.state == "RUNNING")


class FlowCheck:
    """The log: lag, dead letters, and a connector that says RUNNING while nothing comes.

    Debezium's own heartbeat makes a change each second, so a heartbeat topic that stands still
    while PostgreSQL and Kafka answer means that the connector is stuck. Only a snapshot, which
    passes on no change before it is complete, may take as long as it takes.
    """

    name, part = "flow", "kafka"

    def __init__(
        self,
        settings: WatchSettings,
        client: ConnectClient,
        announcer: Announcer,
        backoff: Backoff,
    ) -> None:
        self.period_s = 2 * settings.watch_period_s
        self._settings = settings
        self._client = client
        self._announcer = announcer
        self._backoff = backoff
        self._beats = Standstill()
        self._restarted_at: datetime | None = None

    def look(self, now: datetime) -> None:
        try:
            flow = probes.flow(self._settings)
        except Exception:
            self._beats.forget()  # Kafka was away: that nothing came has its reason
            raise
        for topic, messages in probes.by_topic(flow.uncommitted).items():
            gauges.CONSUMER_LAG.labels(topic).set(messages)
        gauges.DEAD_LETTERS.set(flow.dead_letters)
        self._announcer.look("dead_letters", letters_complaint(flow), now)
        self._announcer.look("connector_stuck", self._stuck(flow.beats, now), now)

    def _stuck(self, beats: int, now: datetime) -> str | None:
        still_s = self._beats.seconds(beats, now)
        if still_s == 0:
            self._backoff.well(STUCK, now.timestamp())
            return None
        status = self._owing()
        if status is None:
            self._beats.forget()
            return None
        if still_s < self._settings.watch_stuck_s:
            return None
        if self._may_restart(now):
            self._restart(status, now)
        return f"{status.name} says RUNNING, and nothing has come for {still_s:.0f} s"

    def _owing(self) -> ConnectorStatus | None:
        """The connector's status where a heartbeat is due, None where its absence has a reason."""
        if self._announcer.is_raised("postgres_down"):
            return None
        try:
            status, offsets = self._client.status(), self._client.offsets()
        except Unreachable:
            return None  # ConnectorCheck's business, as is one that has failed
        if status is None or not status.running:
            return None
        # a snapshot that begins (nothing stored) or goes on: a restart would begin it anew
        return None if offsets is None or offsets.snapshot else status

    def _may_restart(self, now: datetime) -> bool:
        """A task that was restarted has the whole patience again: it may start slowly."""
        if not self._backoff.due(STUCK, now.timestamp()):
            return False
        waited = None if self._restarted_at is None else (now - self._restarted_at).total_seconds()
        return waited is None or waited >= self._settings.watch_stuck_s

    def _restart(self, status: ConnectorStatus, now: datetime) -> None:
        self._restarted_at = now
        self._backoff.restarted(STUCK, now.timestamp())
        log.warning("restarting", connector=status.name, reason="RUNNING, and nothing comes")
        for task in status.tasks:
            self._client.restart_task(task.id)
        gauges.TASK_RESTARTS.labels(STUCK).inc()


def letters_complaint(flow: Flow) -> str | None:
    """How many events were set aside lately, None where none was."""
    if not flow.new_dead_letters:
        return None
    return (
        f"{flow.new_dead_letters:,} new within five minutes, {flow.dead_letters:,} in all; "
        "`tidemark dlq list` shows them"
    )
