"""Named alarms with hysteresis: what is wrong now, when it became so, and when it is over. Pure.

An alarm is raised once a complaint has held for `raise_after_s` and cleared once there was none
for `clear_after_s`, so that a value that dances around its limit makes two rows of `events`, not
two hundred. What cannot be measured is a complaint too: silence never looks like health.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Severity = Literal["info", "warning", "critical"]

VENUE = "tidemark"  # `events.venue` of what the pipeline says about itself
KIND = "alarm"  # `events.kind`; severity `info` says that the alarm is over


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A name with its patience. docs/runbook.md has a chapter of the same name."""

    name: str
    severity: Severity
    raise_after_s: float = 0
    clear_after_s: float = 10


@dataclass(frozen=True, kw_only=True)
class Transition:
    """An alarm that was raised or (severity `info`) cleared at `at`."""

    alarm: str
    severity: Severity
    text: str
    at: datetime

    @property
    def message(self) -> str:
        """`events.message`: the alarm's name, a colon, what is the matter."""
        return f"{self.alarm}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class RaisedAlarm:
    """An alarm that is raised, as `events` says."""

    name: str
    text: str
    since: datetime


ALARMS = (
    Alarm(name="postgres_down", severity="critical", raise_after_s=10),
    Alarm(name="kafka_down", severity="critical", raise_after_s=10),
    Alarm(name="connect_down", severity="critical", raise_after_s=20),
    Alarm(name="cassandra_down", severity="critical", raise_after_s=10),
    Alarm(name="task_failed", severity="critical"),
    Alarm(name="connector_stuck", severity="critical"),
    Alarm(name="heartbeat_age", severity="critical"),
    Alarm(name="ingest_silent", severity="warning"),
    Alarm(name="sink_stopped", severity="critical", clear_after_s=30),  # it is started again
    Alarm(name="table_halted", severity="critical", clear_after_s=60),  # a new sink reads up to it
    Alarm(name="slot", severity="critical", raise_after_s=5, clear_after_s=30),
    Alarm(name="replication_refused", severity="critical"),
    Alarm(name="resync_unfinished", severity="critical", raise_after_s=5),
    Alarm(name="shedding", severity="warning"),
    Alarm(name="partitions", severity="critical", clear_after_s=0),  # looked at once an hour
    Alarm(name="dead_letters", severity="warning"),
    Alarm(name="verification", severity="critical", clear_after_s=0),  # each pass is a judgement
    Alarm(name="retention", severity="warning", clear_after_s=0),  # as well
    Alarm(name="quarantine", severity="warning", clear_after_s=60),
    Alarm(name="exchange_ban", severity="warning"),
    Alarm(name="exchange_failing", severity="warning", raise_after_s=10),
    Alarm(name="streams_away", severity="warning"),
    Alarm(name="webhook_failing", severity="warning"),
)


@dataclass(frozen=True)
class Band:
    """A limit with a dead zone: crossed above `high`, and until the value is back under `low`."""

    high: float
    low: float

    def crossed(self, value: float, *, already: bool) -> bool:
        """Whether the value is beyond the limit, given whether it was before."""
        return value > (self.low if already else self.high)


class _State:
    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.raised_at: datetime | None = None
        self.turned_at: datetime | None = None  # since when it has looked other than it is
        self.text = ""

    def observe(self, complaint: str | None, now: datetime) -> Transition | None:
        raised = self.raised_at is not None
        if complaint:
            self.text = complaint
        if bool(complaint) == raised:
            self.turned_at = None
            return None
        self.turned_at = self.turned_at or now
        patience = self.alarm.clear_after_s if raised else self.alarm.raise_after_s
        if now - self.turned_at < timedelta(seconds=patience):
            return None
        return self._clear(now) if raised else self._raise(now)

    def _raise(self, now: datetime) -> Transition:
        self.raised_at, self.turned_at = now, None
        return Transition(
            alarm=self.alarm.name, severity=self.alarm.severity, text=self.text, at=now
        )

    def _clear(self, now: datetime) -> Transition:
        lasted = (now - (self.raised_at or now)).total_seconds()
        self.raised_at, self.turned_at = None, None
        return Transition(
            alarm=self.alarm.name, severity="info", text=f"over after {lasted:.0f} s", at=now
        )


class Alarms:
    """The state of every alarm. Safe to use from the threads of several checks."""

    def __init__(self, alarms: tuple[Alarm, ...] = ALARMS) -> None:
        self._states = {alarm.name: _State(alarm) for alarm in alarms}
        self._lock = threading.Lock()

    def observe(self, name: str, complaint: str | None, now: datetime) -> Transition | None:
        """Say how alarm `name` looks now (None: well); a Transition if that changes its state."""
        with self._lock:
            return self._states[name].observe(complaint, now)

    def resume(self, alarm: RaisedAlarm) -> None:
        """Take over an alarm that an earlier process raised; unknown names are of the past."""
        with self._lock:
            state = self._states.get(alarm.name)
            if state is not None and state.raised_at is None:
                state.raised_at, state.text = alarm.since, alarm.text

    def is_raised(self, name: str) -> bool:
        with self._lock:
            return self._states[name].raised_at is not None

    def raised(self) -> dict[str, str]:
        """Alarm → what is the matter, of those that are raised."""
        with self._lock:
            return {n: s.text for n, s in self._states.items() if s.raised_at is not None}
