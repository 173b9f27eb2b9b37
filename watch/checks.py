"""The checks of the watch: each asks one part of the pipeline and says how it looks.

A check raises what its part raises; `watch.service` keeps it from disturbing the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from cdc import keyspace
from contracts.naming import Role, slot_name
from watch import gauges, probes
from watch.announcer import Announcer
from watch.errors import ProbeFailed
from watch.settings import WatchSettings
from watch.store import Slot, Store
from watch.webhook import Webhook

log = structlog.get_logger(__name__)

WELL_STATUS: Final = "reserved"
WEBHOOK_PATIENCE_S: Final = 60.0


class Check(Protocol):
    """`part`: the alarm `<part>_down` is raised while the check cannot be made."""

    @property
    def name(self) -> str: ...
    @property
    def part(self) -> str | None: ...
    @property
    def period_s(self) -> float: ...

    def look(self, now: datetime) -> None:
        """Make one round."""


class SlotCheck:
    """The replication slot: what it retains, whether it is in danger."""

    name, part = "slot", "postgres"

    def __init__(self, settings: WatchSettings, store: Store, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._settings = settings
        self._store = store
        self._announcer = announcer

    def look(self, now: datetime) -> None:
        name = slot_name(self._settings.generation)
        slot = self._store.slot(name)
        already = self._announcer.is_raised("slot")
        self._announcer.look(
            "slot", slot_complaint(name, slot, self._settings, already=already), now
        )
        self._announcer.flush()  # PostgreSQL answers: what waited can be written
        if slot is not None:
            gauges.SLOT_ACTIVE.set(slot.active)
            gauges.SLOT_RETAINED.set(slot.retained or 0)
            gauges.SLOT_BEHIND.set(slot.behind or 0)
            gauges.SLOT_SAFE.set(math.nan if slot.safe is None else slot.safe)


def slot_complaint(
    name: str, slot: Slot | None, settings: WatchSettings, *, already: bool
) -> str | None:
    """What is wrong with the slot, None where nothing is."""
    if slot is None:
        return f"slot {name} does not exist; `tidemark connector apply` makes it"
    if slot.wal_status == "lost":
        return f"slot {name} is lost: PostgreSQL removed WAL that Debezium had not read"
    retained, megabyte = slot.retained or 0, 1 << 20
    if slot.wal_status != WELL_STATUS:
        return f"slot {name} is {slot.wal_status}: {retained // megabyte} MB of WAL retained"
    if settings.slot_band(slot.keep).crossed(retained, already=already):
        return f"slot {name} retains {retained // megabyte} MB of WAL"
    return None


class PartitionsCheck:
    """Makes day partitions before they are needed."""

    name, part = "partitions", None

    def __init__(self, settings: WatchSettings, store: Store, announcer: Announcer) -> None:
        self.period_s = settings.watch_partition_period_s
        self._days = settings.watch_days_ahead
        self._store = store
        self._announcer = announcer

    def look(self, now: datetime) -> None:
        try:
            made = self._store.ensure_partitions(self._days)
        except Exception as error:
            self._announcer.look("partitions", f"none made ahead: {error}", now)
            raise
        self._announcer.look("partitions", None, now)
        gauges.PARTITIONS_MADE.inc(made)
        if made:
            log.info("partitions made", count=made, days_ahead=self._days)


class QuarantineCheck:
    """How many rows failed validation lately."""

    name, part = "quarantine", None

    def __init__(self, settings: WatchSettings, store: Store, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._limit = settings.watch_quarantine_raise_rows
        self._store = store
        self._announcer = announcer

    def look(self, now: datetime) -> None:
        rows = self._store.quarantined(probes.LATELY)
        gauges.QUARANTINE.set(rows)
        text = f"{rows} rows failed validation within five minutes" if rows > self._limit else None
        self._announcer.look("quarantine", text, now)


class HeartbeatCheck:
    """Whether a row that PostgreSQL commits now becomes visible in Cassandra."""

    name, part = "heartbeats", "cassandra"

    def __init__(self, settings: WatchSettings, announcer: Announcer, started: datetime) -> None:
        self.period_s = settings.watch_period_s
        self._settings = settings
        self._announcer = announcer
        self._newest = dict.fromkeys(probes.BEATERS, started)
        self._session: Any = None

    def look(self, now: datetime) -> None:
        try:
            if self._session is None:
                self._session = keyspace.connect(self._settings, Role.READER)
            seen = probes.heartbeats(self._session, now)
            self._remember(seen, now)
        finally:  # what cannot be read grows old too
            self._judge(now)

    def _remember(self, seen: probes.Heartbeats, now: datetime) -> None:
        for source, age_s in seen.ages_s.items():
            if age_s is not None:
                self._newest[source] = max(self._newest[source], now - timedelta(seconds=age_s))
        for stage, took in seen.stages.items():
            gauges.STAGE_LATENCY.labels(stage, "0.5").set(took.p50_ms)
            gauges.STAGE_LATENCY.labels(stage, "0.99").set(took.p99_ms)

    def _judge(self, now: datetime) -> None:
        ages = {source: (now - at).total_seconds() for source, at in self._newest.items()}
        for source, age_s in ages.items():
            gauges.HEARTBEAT_AGE.labels(source).set(age_s)
        band, look = self._settings.heartbeat_band, self._announcer.look
        youngest, ingest = min(ages.values()), ages["ingest"]
        late = band.crossed(youngest, already=self._announcer.is_raised("heartbeat_age"))
        text = f"the newest heartbeat in Cassandra is {youngest:.0f} s old"
        look("heartbeat_age", text if late else None, now)
        silent = band.crossed(ingest, already=self._announcer.is_raised("ingest_silent"))
        text = f"ingest has written no heartbeat for {ingest:.0f} s; see `tidemark logs ingest`"
        look("ingest_silent", text if silent and not late else None, now)


class ExchangeCheck:
    """Whether the exchange gives what is asked, as ingest says. A silent ingest is another's alarm.

    While it bans us nothing is asked, so what failed before stays as it was.
    """

    name, part = "exchange", None

    def __init__(self, settings: WatchSettings, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._port = settings.ingest_metrics_port
        self._patience_s = settings.watch_streams_away_s
        self._announcer = announcer

    def look(self, now: datetime) -> None:
        if self._port == 0:
            return
        exchange = probes.exchange(self._port)
        text = f"the exchange answered {exchange.ban_status}; silent until {exchange.banned_until}"
        self._announcer.look("exchange_ban", text if exchange.banned(now) else None, now)
        self._announcer.look("exchange_failing", failing_complaint(exchange.failing), now)
        away = streams_complaint(exchange.streams, now, self._patience_s)
        self._announcer.look("streams_away", away, now)


def failing_complaint(failing: Mapping[str, int]) -> str | None:
    """Which endpoints give nothing, of polls by endpoint; None where all give."""
    count = sum(failing.values())
    if not count:
        return None
    polls = "1 poll fails" if count == 1 else f"{count} polls fail"
    return f"{polls} again and again: {', '.join(sorted(failing))}"


def streams_complaint(
    streams: probes.Streams | None, now: datetime, patience_s: float
) -> str | None:
    """Which streams have been away for longer than `patience_s`; None where none has."""
    if streams is None or streams.away_since is None:
        return None
    away_s = (now - streams.away_since).total_seconds()
    if away_s < patience_s:
        return None
    polls = ", ".join(f"{count} of {name}" for name, count in sorted(streams.standing_in.items()))
    return (
        f"{streams.wanted - streams.live} of {streams.wanted} streams do not flow, some for "
        f"{away_s / 60:.0f} min; polls stand in: {polls or 'none'}"
    )


class SinkCheck:
    """Whether the sink runs, and whether it has halted a table."""

    name, part = "sink", None

    def __init__(self, settings: WatchSettings, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._port = settings.sink_metrics_port
        self._patience = timedelta(seconds=settings.watch_sink_silent_s)
        self._announcer = announcer
        self._silent_since: datetime | None = None

    def look(self, now: datetime) -> None:
        if self._port == 0:
            return
        try:
            sink = probes.sink(self._port)
        except ProbeFailed as error:
            self._silent_since = self._silent_since or now
            if now - self._silent_since >= self._patience:
                self._announcer.look("sink_stopped", str(error), now)
            raise
        self._silent_since = None
        self._announcer.look("sink_stopped", stopped_complaint(sink.stopped), now)
        self._announcer.look("table_halted", halted_complaint(sink.halted), now)


def stopped_complaint(stopped: str | None) -> str | None:
    """Why the sink ends for good, as it says itself; None where it runs."""
    return None if stopped is None else f"the sink stops: {stopped}"


def halted_complaint(halted: Mapping[str, str]) -> str | None:
    """Which tables are no longer replicated and why, None where none is halted."""
    if not halted:
        return None
    return "; ".join(f"{table}: {reason}" for table, reason in sorted(halted.items()))


class WebhookCheck:
    """Whether the webhook takes what it is told."""

    name, part = "webhook", None

    def __init__(self, settings: WatchSettings, webhook: Webhook, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._webhook = webhook
        self._announcer = announcer

    def look(self, now: datetime) -> None:
        self._announcer.look("webhook_failing", self._webhook.complaint(WEBHOOK_PATIENCE_S), now)
