"""The fence: after it, Cassandra holds every change that was committed before it.

A heartbeat is committed; the connector's stored commit LSN passes it, so that Kafka has
acknowledged everything before; the high watermarks of all partitions are taken; the sink's
acknowledged positions pass them. The order of the steps is the proof, so keep it. Each position
is published by whoever has it acknowledged: nothing here trusts a clock or a RUNNING.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from cdc import state
from cdc.connector.client import ConnectClient
from cdc.errors import FenceTimeout
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.topics import Topics
from contracts.naming import topic_of

POLL_S = 0.1

Positions = Mapping[tuple[str, int], int]  # (topic, partition) → next offset


class Beats(Protocol):
    """PostgreSQL's part."""

    def beat(self) -> datetime:
        """Commit a heartbeat."""

    def insert_lsn(self) -> int:
        """Where the next WAL record goes."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A fence that was passed: everything committed before `beat_at` is in Cassandra."""

    beat_at: datetime
    lsn: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Fence:
    """How each stage is asked. `timeout_s`: for how long each may stand still on the way to it."""

    source: Beats
    commit_lsn: Callable[[], int | None]  # of the connector's stored offsets
    watermarks: Callable[[], Positions]
    acknowledged: Callable[[], Positions]
    timeout_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self) -> Passed:
        """Put up a fence and wait until every stage has passed it; FenceTimeout otherwise."""
        started = time.monotonic()
        beat_at = self.source.beat()
        lsn = self.source.insert_lsn()
        self.source.beat()  # a commit beyond `lsn`, so that the wait needs no other traffic
        self._until("Debezium (Connect's stored offset)", lambda: self._not_captured(lsn))
        ends = self.watermarks()
        self._until("the sink", lambda: behind(ends, self.acknowledged()))
        return Passed(beat_at=beat_at, lsn=lsn, seconds=time.monotonic() - started)

    def _not_captured(self, lsn: int) -> str:
        stored = self.commit_lsn()
        if stored is not None and stored >= lsn:
            return ""
        return f"it stands at {'nothing' if stored is None else as_lsn(stored)} of {as_lsn(lsn)}"

    def _until(self, stage: str, lacking: Callable[[], str]) -> None:
        moved, before = time.monotonic(), ""
        while lack := lacking():
            if lack != before:  # slow is no fault: after a snapshot the way is long
                moved, before = time.monotonic(), lack
            if time.monotonic() >= moved + self.timeout_s:
                raise FenceTimeout(stage, self.timeout_s, f"{lack}; `tidemark status` shows why")
            self.sleep(POLL_S)


def fence_of(
    settings: CdcSettings, source: Beats, connect: ConnectClient, topics: Topics, session: Any
) -> Fence:
    """The fence through the real parts of the settings' generation."""
    names = [topic_of(each.table, settings.generation) for each in SOURCES]

    def commit_lsn() -> int | None:
        stored = connect.offsets()
        return None if stored is None else stored.lsn_commit

    return Fence(
        source=source,
        commit_lsn=commit_lsn,
        watermarks=lambda: topics.end_offsets(names),
        acknowledged=lambda: state.positions(session, settings.sink_group),
        timeout_s=settings.fence_timeout_s,
    )


def behind(ends: Positions, acknowledged: Positions) -> str:
    """Which partitions are not yet acknowledged up to their ends, in words; '' where none."""
    late = {
        key: end - acknowledged.get(key, 0)
        for key, end in ends.items()
        if acknowledged.get(key, 0) < end
    }
    if not late:
        return ""
    (topic, partition), events = max(late.items(), key=lambda item: item[1])
    return f"{len(late)} partitions are behind, {topic}/{partition} by {events} events"


def as_lsn(number: int) -> str:
    """A log position as PostgreSQL writes it."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"
