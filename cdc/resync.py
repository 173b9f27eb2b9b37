"""A new generation, from whatever the old one has come to: `tidemark resync`.

stop the old connector → a new generation: topics, slot, connector, snapshot → drop the old slot,
which keeps WAL → the sink moves on by itself → the whole snapshot is applied (a fence) → sweep what
PostgreSQL no longer has.

Each stage is harmless where its work is done already, and `cdc_state` remembers a generation that
is not swept yet, so running it again after a kill at any point goes on. It asks nothing of the old
slot, offsets, topics or cluster: they may be lost, advanced, gone or another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from cdc import keyspace, lock, state
from cdc.connector import preflight
from cdc.connector.client import ConnectClient
from cdc.connector.registration import Parts, apply_on
from cdc.errors import (
    ConnectorNotRunning,
    PreflightRefused,
    ResyncRefused,
    Retryable,
    SlotKept,
    Unreachable,
)
from cdc.fence import Positions, fence_of
from cdc.generation import at, of_slots
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.sweep import Swept, keep_history, sweep
from cdc.topics import Topics
from contracts.naming import MAX_GENERATION, Role, slot_name, topic_of
from runtime import failpoints

START_PATIENCE_S = 60.0
SLOT_PATIENCE_S = 30.0
LOCK_PATIENCE_S = 90.0  # a sweep of the watch waits for a fence, for at most a minute
POLL_S = 0.25

Tell = Callable[[str, int, int], None]  # stage, done, of how many (0: nobody knows)


@dataclass(kw_only=True)
class Resynced:
    """What was done. `continued`: an earlier run had begun it. `seconds` by stage."""

    generation: int
    continued: bool
    snapshot_lsn: int
    retired: list[str]
    tables: list[Swept]
    seconds: dict[str, float]


def resync(settings: CdcSettings, tell: Tell, *, sweep_anyway: bool = False) -> Resynced:
    """Bring Cassandra to what PostgreSQL has now, by a new snapshot; history stays.

    Errors: PreflightRefused, ResyncRefused, SweepRefused, SlotKept, ConnectorNotRunning,
    FenceTimeout, Unreachable, AccessDenied, SchemaMismatch. After each of them it may be run again.
    """
    with ExitStack() as stack:
        source, session, topics = _open(settings, stack)
        lock.announce_resync(source)
        lock.take(source, LOCK_PATIENCE_S, lambda: tell("wait", 0, 0))
        new, continued = _choose(settings, source, session, topics)
        connect = stack.enter_context(ConnectClient(new))
        run = _Run(Parts(new, source, connect, session), topics, tell)
        return run.all(continued=continued, sweep_anyway=sweep_anyway)


def finish(settings: CdcSettings) -> list[Swept]:
    """Sweep a generation that no `resync` began: ghosts, where its first snapshot was aborted.

    Waits until its snapshot is complete and applied. ResyncRefused while a resync is at work; the
    other errors as of `resync`.
    """
    with ExitStack() as stack:
        source, session, topics = _open(settings, stack)
        lock.take(source)
        connect = stack.enter_context(ConnectClient(settings))
        run = _Run(Parts(settings, source, connect, session), topics, lambda *_: None)
        return run.finish(sweep_anyway=False)[1]


def _open(settings: CdcSettings, stack: ExitStack) -> tuple[SourceDatabase, Any, Topics]:
    """Everything that is needed; `stack` closes it."""
    source = stack.enter_context(SourceDatabase(settings))
    session = stack.enter_context(keyspace.session(settings, Role.SINK))
    topics = stack.enter_context(Topics(settings))
    keyspace.check_migrated(session)
    return source, session, topics


def _choose(
    settings: CdcSettings, source: SourceDatabase, session: Any, topics: Topics
) -> tuple[CdcSettings, bool]:
    """The generation to go on with (True) or to begin; PreflightRefused where none could run."""
    remembered = state.recall(session)
    newest = max(remembered, default=0)
    first = max(settings.generation, *(number + 1 for number in _lives(source, session)))
    for generation in ([newest] if newest else []) + list(range(first, MAX_GENERATION + 1)):
        candidate = at(settings, generation)
        with ConnectClient(candidate) as connect:
            connect.wait_ready(START_PATIENCE_S)
            facts = preflight.gather(candidate, source, connect, session)
            for finding in [*preflight.of_server(facts), *preflight.complaints(facts)]:
                raise PreflightRefused(finding.code, finding.message)
            if generation == newest:
                if _unfinished(remembered[newest]) and not preflight.findings(facts):
                    return candidate, True
            elif _unused(facts, connect, topics, candidate):
                return candidate, False
    raise ResyncRefused(f"all {MAX_GENERATION} generations of this keyspace are used up")


def _lives(source: SourceDatabase, session: Any) -> list[int]:
    """Generations that Cassandra remembers, or that have left a slot in this database."""
    return sorted({0, *state.recall(session), *of_slots(source.slots())})


def _unfinished(known: state.Generation) -> bool:
    return known.by_resync and not known.swept


def _unused(
    facts: preflight.Facts, connect: ConnectClient, topics: Topics, settings: CdcSettings
) -> bool:
    """Whether nothing of this number is left from another life of these services."""
    if facts.slot is not None or connect.config() is not None:
        return False
    return not any(topics.end_offsets(_data_topics(settings)).values())


def _data_topics(settings: CdcSettings) -> list[str]:
    return [topic_of(each.table, settings.generation) for each in SOURCES]


class _Run:
    """One resync, stage after stage. `parts` are of the new generation."""

    def __init__(self, parts: Parts, topics: Topics, tell: Tell) -> None:
        self._parts = parts
        self._topics = topics
        self._tell = tell
        self._generation = parts.settings.generation
        self._older = [
            at(parts.settings, number)
            for number in _lives(parts.source, parts.session)
            if 0 < number < self._generation
        ]
        self._seconds: dict[str, float] = {}

    def all(self, *, continued: bool, sweep_anyway: bool) -> Resynced:
        """Go through the stages."""
        self._stage("connector", self._begin)
        retired = self._stage("retire", self._retire)
        snapshot_lsn, tables = self.finish(sweep_anyway=sweep_anyway)
        if kept := [each for each in map(_slot, self._older) if each in self._parts.source.slots()]:
            raise SlotKept(kept)
        return Resynced(
            generation=self._generation,
            continued=continued,
            snapshot_lsn=snapshot_lsn,
            retired=retired,
            tables=tables,
            seconds=self._seconds,
        )

    def finish(self, *, sweep_anyway: bool) -> tuple[int, list[Swept]]:
        """The stages behind the snapshot's beginning; its LSN, and what was swept."""
        session = self._parts.session
        self._stage("snapshot", self._await_snapshot)
        self._stage("apply", self._await_sink)
        snapshot_lsn = _snapshot_lsn(state.recall(session)[self._generation])
        tables = self._stage("sweep", lambda: self._sweep(snapshot_lsn, anyway=sweep_anyway))
        state.complete_sweep(session, self._generation)
        return snapshot_lsn, tables

    def _stage(self, name: str, work: Callable[[], Any]) -> Any:
        self._tell(name, 0, 0)
        began = time.monotonic()
        result = work()
        self._seconds[name] = round(time.monotonic() - began, 2)
        failpoints.reach("after_stage")
        return result

    def _begin(self) -> None:
        """Stop what came before, then let the new connector run: its snapshot is of later."""
        keep_history(self._parts.session, self._parts.source)  # takes a while: nothing stands still
        state.begin_resync(self._parts.session, self._generation)  # now: killed, it shows
        for older in self._older:
            with ConnectClient(older) as connect:
                if connect.status() is not None:
                    connect.stop()
        failpoints.reach("in_resync_begin")
        apply_on(self._parts, START_PATIENCE_S, snapshot_wait_s=0)

    def _retire(self) -> list[str]:
        """Remove older connectors and their slots; the names of those slots."""
        retired = []
        with SourceDatabase(self._parts.settings, Role.CDC) as source:
            for older in self._older:
                with ConnectClient(older) as connect:
                    connect.delete()
                if _slot(older) in source.slots() and _drop(source, _slot(older)):
                    retired.append(_slot(older))
        return retired

    def _await_snapshot(self) -> None:
        """Wait for the snapshot's end; patient with a Connect that is away, not with a failure."""
        names = _data_topics(self._parts.settings)
        expected = sum(self._parts.source.estimated_rows(each.table) for each in SOURCES)
        well = time.monotonic()
        while True:
            try:
                if preflight.note_snapshot(self._parts.facts(), self._parts.session):
                    return
                trouble: Retryable | None = self._restarted()
                self._tell("snapshot", sum(self._topics.end_offsets(names).values()), expected)
            except Unreachable as error:
                trouble = error
            if trouble is None:
                well = time.monotonic()
            elif time.monotonic() >= well + START_PATIENCE_S:
                raise trouble
            time.sleep(POLL_S)

    def _restarted(self) -> ConnectorNotRunning | None:
        """Restart what has failed; why it did, None where nothing has."""
        connect = self._parts.connect
        status = connect.status()
        if status is None or not status.failed:
            return None
        connect.restart()
        return ConnectorNotRunning(connect.name, "FAILED", status.failure)

    def _await_sink(self) -> None:
        """A fence: all of the snapshot is in Cassandra, in every topic partition."""
        ends: dict[Any, int] = {}
        fence = fence_of(
            self._parts.settings,
            self._parts.source,
            self._parts.connect,
            self._topics,
            self._parts.session,
        )

        def watermarks() -> Positions:
            ends.update(fence.watermarks())
            return ends

        def acknowledged() -> Positions:
            found = fence.acknowledged()
            done = sum(min(found.get(key, 0), end) for key, end in ends.items())
            self._tell("apply", done, sum(ends.values()))
            return found

        replace(fence, watermarks=watermarks, acknowledged=acknowledged).wait()

    def _sweep(self, snapshot_lsn: int, *, anyway: bool) -> list[Swept]:
        rows: dict[str, int] = {}

        def on_progress(table: Swept) -> None:
            rows[table.table] = table.rows
            self._tell("sweep", sum(rows.values()), 0)

        return sweep(
            self._parts.session,
            self._parts.source,
            self._generation,
            snapshot_lsn,
            anyway=anyway,
            on_progress=on_progress,
        )


def _snapshot_lsn(known: state.Generation) -> int:
    """S of a complete and applied snapshot; 0 of one without a row."""
    return max(known.snapshot_lsn or 0, known.snapshot_seen_lsn or 0)


def _slot(settings: CdcSettings) -> str:
    return slot_name(settings.generation)


def _drop(source: SourceDatabase, name: str) -> bool:
    """Drop a slot, which a task that ends may hold for a moment; whether it is gone."""
    deadline = time.monotonic() + SLOT_PATIENCE_S
    while not source.drop_slot(name):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
