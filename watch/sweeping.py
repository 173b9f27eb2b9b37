"""Sweeps a generation, once, as soon as its snapshot is complete, unless `tidemark resync` does.

The snapshot of a first start may have been aborted and begun anew: rows of the first attempt that
were deleted in between would stay in Cassandra for ever (cdc.sweep).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from cdc import keyspace, state
from cdc.connector.client import ConnectClient
from cdc.errors import ResyncRefused, SweepRefused
from cdc.resync import finish
from contracts.naming import Role
from watch.settings import WatchSettings

log = structlog.get_logger(__name__)

PERIOD_S: Final = 10.0
REST_S: Final = 3600.0  # once there is nothing to do


class SweepCheck:
    """The check of one generation."""

    name, part = "sweep", None

    def __init__(self, settings: WatchSettings) -> None:
        self.period_s = PERIOD_S
        self._settings = settings

    def look(self, now: datetime) -> None:
        del now
        if self.period_s == REST_S or not self._due():
            return
        try:
            removed = sum(table.removed for table in finish(self._settings))
        except ResyncRefused:
            return  # `tidemark resync` is at it
        except SweepRefused as error:
            log.warning("not swept", reason=str(error))  # a person decides
        else:
            log.info("swept", generation=self._settings.generation, rows_removed=removed)
        self.period_s = REST_S

    def _due(self) -> bool:
        """Whether the snapshot is complete and not swept; once it is swept, the check rests."""
        with keyspace.session(self._settings, Role.READER) as session:
            known = state.recall(session).get(self._settings.generation)
        if known is None:
            return False
        if known.swept:
            self.period_s = REST_S
            return False
        if known.by_resync:  # `tidemark resync` goes on with it, which drops the old slots, too
            return False
        with ConnectClient(self._settings) as connect:
            offsets = connect.offsets()
        return offsets is not None and not offsets.snapshot
