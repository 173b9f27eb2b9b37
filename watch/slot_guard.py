"""The check that keeps the slot alive: it tells ingest what to shed. `watch.shedding` decides."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

import structlog

from contracts.naming import slot_name
from contracts.shedding import NONE
from watch import gauges
from watch.announcer import Announcer
from watch.settings import WatchSettings
from watch.shedding import Reading, Shedding
from watch.store import Slot, Store

log = structlog.get_logger(__name__)

ALARM: Final = "shedding"


class SheddingCheck:
    """Reads the slot, decides, and confirms the level to ingest in each round."""

    name, part = "shedding", None

    def __init__(self, settings: WatchSettings, store: Store, announcer: Announcer) -> None:
        self.period_s = settings.watch_period_s
        self._settings = settings
        self._store = store
        self._announcer = announcer
        self._shedding: Shedding | None = None

    def look(self, now: datetime) -> None:
        if self._shedding is None:  # where an earlier watch left off
            clear_after = timedelta(seconds=self._settings.watch_shedding_clear_s)
            self._shedding = Shedding(self._store.shedding(), clear_after)
        slot = self._store.slot(slot_name(self._settings.generation))
        before = self._shedding.level.level
        level = self._shedding.decide(reading_of(slot, self._settings, now), now)
        self._store.shed(level)
        if level.level != before:
            log.warning("shedding", level=level.level, text=level.message)
        gauges.SHEDDING_LEVEL.set(level.level)
        left_s = self._shedding.time_left_s()
        gauges.SLOT_TIME_LEFT.set(math.inf if left_s is None else left_s)
        self._announcer.look(ALARM, level.message if level.level > NONE else None, now)


def reading_of(slot: Slot | None, settings: WatchSettings, now: datetime) -> Reading | None:
    """What the decision needs of a slot; None where there is none."""
    if slot is None:
        return None
    return Reading(
        at=now,
        retained=slot.retained or 0,
        limit=settings.slot_limit(slot.keep),
        wal_status=slot.wal_status,
    )
