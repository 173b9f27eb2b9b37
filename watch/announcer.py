"""Tells of alarms: log, metric and webhook at once, a row of `events` as soon as it can be."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from runtime.settings import SettingsError
from watch.alarms import Alarms, Transition
from watch.errors import WatchError
from watch.gauges import ALARM
from watch.store import Store

log = structlog.get_logger(__name__)

WAITING_AT_MOST: Final = 1000  # rows kept while PostgreSQL is away; the oldest go first


class Announcer:
    """Shared by all checks. At least once: a row whose answer is lost is written again.

    `tell` hears of each transition, at once and only once; it must neither block nor raise.
    """

    def __init__(
        self, alarms: Alarms, store: Store, tell: Callable[[Transition], None] = lambda _: None
    ) -> None:
        self._alarms = alarms
        self._store = store
        self._tell = tell
        self._waiting: deque[Transition] = deque(maxlen=WAITING_AT_MOST)
        self._resumed = False
        self._lock = threading.Lock()

    def look(self, alarm: str, complaint: str | None, now: datetime) -> None:
        """Say how things look for an alarm: a complaint, or None for well."""
        transition = self._alarms.observe(alarm, complaint, now)
        ALARM.labels(alarm).set(self._alarms.is_raised(alarm))
        if transition is None:
            return
        level = {"info": log.info, "warning": log.warning, "critical": log.error}
        level[transition.severity]("alarm", alarm=transition.alarm, text=transition.text)
        self._tell(transition)
        self._waiting.append(transition)
        self.flush()

    def is_raised(self, alarm: str) -> bool:
        return self._alarms.is_raised(alarm)

    def flush(self) -> None:
        """Write the rows that wait; where PostgreSQL is away they wait for the next call.

        So they do while another thread writes: no check waits for a PostgreSQL that is slow.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._write(list(self._waiting))
        except (WatchError, SettingsError) as error:  # SettingsError: no password file
            log.debug("alarms wait", rows=len(self._waiting), reason=str(error))
        finally:
            self._lock.release()

    def _write(self, rows: list[Transition]) -> None:
        self._resume()
        if rows:
            self._store.tell(rows)
        for row in rows:
            if self._waiting and self._waiting[0] is row:  # else it was crowded out meanwhile
                self._waiting.popleft()

    def _resume(self) -> None:
        """Take over, once, what an earlier process raised and could not clear."""
        if self._resumed:
            return
        for alarm in self._store.open_alarms():
            self._alarms.resume(alarm)
        self._resumed = True
