"""A backfill yields: what it would add to the log must not cost the replication slot."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from contracts.shedding import NONE
from ingest.shedding import obeyed
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

_LOOK_S: Final = 2.0  # between two looks at what the watch wants


class Calm:
    """Whether the watch sheds load (docs/decisions/0013)."""

    def __init__(self, store: StoreThread, valid_s: float) -> None:
        """A level that the watch has not confirmed for `valid_s` does not count."""
        self._store = store
        self._valid_s = valid_s
        self._looked_s = -_LOOK_S

    async def wait(self) -> None:
        """Until nothing is shed; that is looked at now and then only."""
        told = False
        while told or time.monotonic() - self._looked_s >= _LOOK_S:
            level, age_s = await self._store.call(self._store.store.load_shedding)
            self._looked_s = time.monotonic()
            if obeyed(level, age_s, self._valid_s) == NONE:
                return
            if not told:
                log.warning("waiting: replication is behind, and the watch sheds load", level=level)
            told = True
            await asyncio.sleep(_LOOK_S)
