"""Drops PostgreSQL's old days on a schedule, as `tidemark retention apply` does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from watch import gauges
from watch.announcer import Announcer
from watch.errand import Errand
from watch.settings import WatchSettings

log = structlog.get_logger(__name__)

ALARM: Final = "retention"


class RetentionCheck:
    """Starts a pass each period, and tells which days stay that should be gone."""

    name, part = "retention", None

    def __init__(self, settings: WatchSettings, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._period = timedelta(seconds=settings.watch_retention_period_s)
        self._announcer = announcer
        self._running: Errand | None = None
        self._settle = timedelta(seconds=settings.watch_verify_settle_s)
        self._due_at: datetime | None = None
        self._judgement = Judgement()

    def look(self, now: datetime) -> None:
        if self._running is not None:
            if not self._running.over:
                return
            self._end(self._running, now)
            self._running = None
        if self._due_at is None:  # we just started, and the connector perhaps with us
            self._due_at = now + self._settle
        if self._period and now >= self._due_at:
            self._due_at = now + self._period
            self._running = Errand.start("retention", "retention", "apply")

    def _end(self, running: Errand, now: datetime) -> None:
        report, reason = running.result()
        if report is None:
            log.warning("no day could be dropped", reason=reason)
        else:
            gauges.PARTITIONS_DROPPED.inc(sum(each["dropped"] for each in report["days"]))
        found = self._judgement.of(report, reason)
        log.info("retention applied", complaint=found)
        self._announcer.look(ALARM, found, now)


class Judgement:
    """What is wrong after a pass: what was overdue in the pass before, too. Pure.

    Once is nothing: a reader may be in the way of a drop, or the connector is just starting.
    """

    def __init__(self) -> None:
        self._before: set[tuple[str, str]] = set()
        self._failed = 0

    def of(self, report: Mapping[str, Any] | None, reason: str) -> str | None:
        """The complaint about a pass, None where there is none; `reason`: why it has no report."""
        if report is None:
            self._failed += 1
            return f"days could not be dropped: {reason}" if self._failed > 1 else None
        self._failed = 0
        late = {(each["table"], each["day"]): each for each in report["days"] if each["overdue"]}
        again = sorted(late.keys() & self._before, key=lambda key: key[1])
        self._before = set(late)
        if not again:
            return None
        count = "1 day is" if len(again) == 1 else f"{len(again)} days are"
        return f"{count} overdue, first {late[again[0]]['reason']}"
