"""Verification by itself: after each restart of the connector, and on a schedule.

`tidemark verify` runs as a process of its own at the lowest priority, so that no check waits for
it. A pass compares from where each table is proved on; now and then one compares everything.

That the connector was restarted, by whomever and whatever way, shows by the walsender that reads
the slot: each new connection of Debezium is served by a new process of PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from cdc import keyspace
from cdc.verification import proof
from cdc.verification.proof import Proof
from contracts.naming import Role, slot_name
from watch import gauges
from watch.announcer import Announcer
from watch.errand import Errand
from watch.settings import WatchSettings
from watch.store import Store

log = structlog.get_logger(__name__)

ALARM: Final = "verification"
INCREMENTAL: Final = "--incremental"
RETRY: Final = timedelta(minutes=1)


class Schedule:
    """When to verify, and how much. Pure: times come in.

    A new reader of the slot is followed by a pass once it has read for `settle_s`.
    """

    def __init__(self, *, period_s: float, full_period_s: float, settle_s: float) -> None:
        self._period = timedelta(seconds=period_s)
        self._full_period = timedelta(seconds=full_period_s)
        self._settle = timedelta(seconds=settle_s)
        self._reader: int | None = None
        self._since: datetime | None = None  # since when this reader reads
        self._restarted = True  # also we may have been away
        self._ended_at: datetime | None = None
        self._full_at: datetime | None = None
        self.failures = 0  # passes that could not be made, one after another

    def reads(self, reader: int | None, now: datetime) -> None:
        """Which process of PostgreSQL serves the connector now; None: none."""
        if reader is not None and reader != self._reader:
            self._reader, self._since, self._restarted = reader, now, True
        if reader is None:
            self._since = None

    def remember(self, proofs: Mapping[str, Proof]) -> None:
        """What Cassandra remembers of earlier passes."""
        full = [each.full_pass_at for each in proofs.values() if each.full_pass_at is not None]
        self._full_at = min(full) if full and len(full) == len(proofs) else None

    def due(self, now: datetime) -> str | None:
        """`full`, `incremental`, or None where there is nothing to do now."""
        if not self._period or self._since is None or now - self._since < self._settle:
            return None
        if self.failures and self._ended_at is not None and now - self._ended_at < RETRY:
            return None
        if self._full_at is None or now - self._full_at >= self._full_period:
            return "full"
        if self._restarted or self.failures:
            return "incremental"
        late = self._ended_at is None or now - self._ended_at >= self._period
        return "incremental" if late else None

    def started(self) -> None:
        self._restarted = False

    def ended(self, now: datetime, *, well: bool) -> int:
        """A pass ended, `well` if it could be made; how many could not be, one after another."""
        self._ended_at = now
        self.failures = 0 if well else self.failures + 1
        return self.failures


class VerificationCheck:
    """Starts passes, and tells what they found."""

    name, part = "verification", None

    def __init__(self, settings: WatchSettings, store: Store, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._settings = settings
        self._store = store
        self._announcer = announcer
        self._schedule = Schedule(
            period_s=settings.watch_verify_period_s,
            full_period_s=settings.watch_verify_full_period_s,
            settle_s=settings.watch_verify_settle_s,
        )
        self._running: Errand | None = None
        self._recalled_at: datetime | None = None

    def look(self, now: datetime) -> None:
        if self._running is not None:
            if not self._running.over:
                return
            self._end(self._running, now)
            self._running = None
        self._recall(now)
        self._schedule.reads(self._store.slot_reader(slot_name(self._settings.generation)), now)
        kind = self._schedule.due(now)
        if kind is not None:
            self._running = self._start(kind)

    def _recall(self, now: datetime) -> None:
        """Look at what Cassandra remembers, also of what a person has repaired meanwhile."""
        found = self._announcer.is_raised(ALARM) and self._schedule.failures == 0
        if self._recalled_at is not None and not (found and now - self._recalled_at >= RETRY):
            return
        with keyspace.session(self._settings, Role.READER) as session:
            proofs = proof.recall(session)
        self._schedule.remember(proofs)
        for table, each in proofs.items():
            _publish(table, each.differences, each.through)
        if found and not any(each.differences for each in proofs.values()):
            self._announcer.look(ALARM, None, now)
        self._recalled_at = now

    def _start(self, kind: str) -> Errand:
        errand = Errand.start(kind, "verify", *(() if kind == "full" else (INCREMENTAL,)))
        self._schedule.started()
        log.info("verifying", kind=kind, pid=errand.process.pid)
        return errand

    def _end(self, running: Errand, now: datetime) -> None:
        report, reason = running.result()
        failures = self._schedule.ended(now, well=report is not None)
        if report is None:
            log.warning("could not verify", kind=running.kind, reason=reason, times=failures)
            gauges.VERIFICATION_FAILURES.inc()
            if failures >= self._settings.watch_verify_failures:
                text = f"could not verify {failures} times: {reason}"
                self._announcer.look(ALARM, text, now)
            return
        for table in report["tables"]:
            through = table["verified_through"]
            moment = None if through is None else datetime.fromisoformat(through)
            _publish(table["table"], left_of(table), moment)
        gauges.VERIFICATION_SECONDS.labels(running.kind).set(
            sum(table["seconds"] for table in report["tables"])
        )
        found = complaint_of(report)
        log.info("verified", kind=running.kind, complaint=found)
        self._announcer.look(ALARM, found, now)
        self._recalled_at = None  # there is more to remember


def left_of(table: Mapping[str, Any]) -> int:
    """Rows of a table's report that are not equal, or that could not be judged."""
    found = table["missing"] + table["extra"] + table["different"] + table["unsettled"]
    return int(found - table["healed"])


def complaint_of(report: Mapping[str, Any]) -> str | None:
    """What differs, with the command that heals it; None where nothing does."""
    left = {table["table"]: left_of(table) for table in report["tables"] if not table["clean"]}
    if not left:
        return None
    rows = ", ".join(f"{count} rows of {table}" for table, count in left.items())
    return (
        f"Cassandra differs from PostgreSQL in {rows}; "
        f"`tidemark verify {' '.join(left)} --repair` heals it"
    )


def _publish(table: str, differences: int, through: datetime | None) -> None:
    gauges.VERIFICATION_DIFFERENCES.labels(table).set(differences)
    if through is not None:
        gauges.VERIFIED_THROUGH.labels(table).set(through.timestamp())
