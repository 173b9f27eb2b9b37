"""The sink's loop: poll, decode, route, gather, write; commit what is acknowledged.

One thread does all of it; the driver's thread and librdkafka's overlap with it. Nothing waits for
a batch: reading goes on while the window has room.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from cdc.dead_letters import DeadLetters
from cdc.errors import HaltTable, Poison, Refused
from cdc.routes import ROUTES, SOURCES
from cdc.settings import CdcSettings
from cdc.sink import metrics
from cdc.sink.consumer import LogReader, Offsets, Partition
from cdc.sink.decoder import decoders
from cdc.sink.gathering import Batch, Write
from cdc.sink.lane import Lane
from cdc.sink.metering import Metered
from cdc.sink.router import Heads, Router, visible
from cdc.sink.schema_watch import SchemaWatch
from cdc.sink.watermark import Span
from cdc.sink.writer import Send, Writer
from cdc.state import Generation
from contracts.naming import parse_topic, topic_of
from runtime import failpoints

log = structlog.get_logger(__name__)

_BY_POSITION = frozenset(each.table for each in ROUTES if each.one_to_one)
_STALL_S = 2.0  # of a full window, after which fetching pauses; the group still hears of us
_LONGEST_WAIT_S = 0.1
_GATHER_BUSY_S = 0.01


class Sink:
    """One member of the sink's group, for one generation."""

    def __init__(
        self,
        settings: CdcSettings,
        state: Generation,
        heads: Mapping[str, Heads],
        send: Send,
        acknowledged: Callable[[], Offsets],
    ) -> None:
        self._settings = settings
        self._state = state
        self._heads = heads
        self._acknowledged = acknowledged
        self._decoders = decoders()
        self._routers: dict[tuple[str, int], Router] = {}
        self._lanes: dict[Partition, Lane] = {}
        self._committed: dict[Partition, int] = {}
        self._halts: dict[str, HaltTable] = {}
        self._full_since: float | None = None
        self._next_round = 0.0
        self._metered = Metered()
        self.writer = Writer(settings, send, self._on_written, self._on_refused)
        self._letters = DeadLetters(settings)
        self._schema = SchemaWatch(settings, SOURCES)
        self._reader = self._read_log()

    @property
    def positions(self) -> dict[Partition, int]:
        """The next offset to be acknowledged, of each partition that is ours."""
        return {key: lane.watermark.acknowledged for key, lane in self._lanes.items()}

    @property
    def snapshot_seen_lsn(self) -> int:
        """The highest LSN of an initial snapshot's row in our partitions, 0 where none was read."""
        return max((lane.snapshot_seen_lsn for lane in self._lanes.values()), default=0)

    def step(self) -> None:
        """Do one round, of at most a tenth of a second when there is nothing to do."""
        self.writer.pump()
        self._letters.check()
        if self.writer.full or self._letters.full:
            self._hold_back()
        else:
            self._go_on()
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + self._settings.commit_interval_ms / 1000
            self._settle()
            self._reader.membership.check()

    def reopen(self) -> None:
        """Read the log anew, from what is committed; what is under way still counts as pending."""
        self._close_reader()
        self._lanes.clear()
        self._committed.clear()
        self._reader = self._read_log()

    def drain(self, timeout_s: float) -> None:
        """Write what was read, for at most the timeout, and commit what was acknowledged."""
        deadline = time.monotonic() + timeout_s
        while not self.writer.idle and time.monotonic() < deadline:
            self.writer.gather_for(0)
            self.writer.wait(_LONGEST_WAIT_S)
        self._letters.flush(max(0.0, deadline - time.monotonic()))
        self._letters.check()
        self._settle()

    def close(self) -> None:
        """Leave the group; commits what is acknowledged on the way."""
        self._close_reader()
        self._schema.close(_LONGEST_WAIT_S)

    def _read_log(self) -> LogReader:
        return LogReader(
            self._settings,
            [topic_of(source.table, self._settings.generation) for source in SOURCES],
            self._on_assigned,
            self._on_revoked,
            self._acknowledged,
        )

    def _close_reader(self) -> None:
        self._reader.close()

    def _go_on(self) -> None:
        if self._full_since is not None:
            self._full_since = None
            self._reader.resume()
        waiting = self.writer.pending_rows > 0
        timeout_ms = 1 if waiting else self._settings.poll_timeout_ms
        messages = self._reader.poll(timeout_ms / 1000)
        if messages:
            failpoints.reach("after_poll")
            self._take(messages)
        self.writer.gather_for(
            self._gather_s(backlog=len(messages) >= self._settings.poll_messages)
        )
        self.writer.pump()

    def _gather_s(self, *, backlog: bool) -> float:
        """How long a batch gathers: not at all at rest, longer the more there is to do."""
        if backlog:
            return self._settings.gather_ms / 1000
        quiet = self.writer.in_flight <= self._settings.batches_in_flight // 8
        return 0.0 if quiet else _GATHER_BUSY_S

    def _hold_back(self) -> None:
        """The window is full: wait for Cassandra; after a while stop fetching, but keep polling."""
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        self.writer.gather_for(0)
        self.writer.wait(_LONGEST_WAIT_S)
        if now - self._full_since >= _STALL_S:
            self._reader.pause()
            self._take(self._reader.poll(0))

    def _take(self, messages: list[Any]) -> None:
        received_us = time.time_ns() // 1000
        by_partition: defaultdict[Partition, list[Any]] = defaultdict(list)
        for message in messages:
            by_partition[message.topic(), message.partition()].append(message)
        for partition, events in by_partition.items():
            lane = self._lanes.get(partition)
            if lane is None:
                continue  # revoked since it was fetched
            lane.take(events, received_us, self.writer.add, self._reject)
            if lane.halted is not None:
                self._halt(lane.halted)

    def _halt(self, halt: HaltTable) -> None:
        """Stop all partitions of a table: their events belong together."""
        if halt.table in self._halts:
            return
        self._halts[halt.table] = halt
        self._hold([key for key, lane in self._lanes.items() if lane.table == halt.table], halt)
        metrics.HALTED.labels(halt.table, str(halt)).set(1)
        log.error("a table's replication halts", table=halt.table, reason=str(halt))

    def _hold(self, partitions: list[Partition], halt: HaltTable) -> None:
        for partition in partitions:
            self._lanes[partition].halted = halt
        self._reader.halt(partitions)

    def _reject(self, event: Any, error: Poison, span: Span, timestamp: int | None) -> None:
        """Send an event that cannot be applied to the dead letters; it settles once it is there."""

        def stored() -> None:
            span.pending -= 1

        _generation, table = parse_topic(event.topic())
        metrics.DEAD_LETTERS.labels(table, error.cause).inc()
        self._letters.put(event, table=table, error=error, timestamp=timestamp, stored=stored)

    def _on_refused(self, write: Write, error: Exception) -> None:
        if write.span is None:
            log.warning("a heartbeat cannot be marked visible", error=str(error))
            return
        write.span.pending += 1
        timestamp = write.timestamp if write.table in _BY_POSITION else None
        self._reject(write.event, Refused(f"{write.table}: {error}"), write.span, timestamp)

    def _on_written(self, batch: Batch) -> None:
        self._metered.rows[batch.table] = self._metered.rows.get(batch.table, 0) + len(batch.writes)
        heads = self._heads[batch.table]
        if not heads.mark_visible:
            return
        visible_us = time.time_ns() // 1000
        marks = []
        for write in batch.writes:
            if write.beat is not None:
                metrics.observe_beat(write.beat, visible_us)
                marks.append(visible(write, heads, visible_us))
        self.writer.add(marks)

    def _on_assigned(self, starts: Offsets) -> None:
        for (topic, number), start in starts.items():
            generation, table = parse_topic(topic)
            self._lanes[topic, number] = Lane(
                self._decoders[table],
                self._router(table, generation),
                generation,
                start,
                self._state.snapshot_lsn,
                self._schema.drift_of,
            )
            if table in self._halts:
                self._hold([(topic, number)], self._halts[table])

    def _router(self, table: str, generation: int) -> Router:
        """One for all partitions of a table, whose memos they share."""
        if (table, generation) not in self._routers:
            self._routers[table, generation] = Router(
                self._decoders[table].source,
                self._heads,
                generation=generation,
                placeholder=self._state.placeholder,
            )
        return self._routers[table, generation]

    def _on_revoked(self, partitions: list[Partition]) -> Offsets:
        """Forget the partitions; return what may be committed of them."""
        failpoints.reach("in_on_revoke")
        committable = {}
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is not None:
                lane.watermark.advance()
                committable[partition] = lane.watermark.committable
                self._metered.forget(partition)
            self._committed.pop(partition, None)
        return committable

    def _settle(self) -> None:
        """Take acknowledgements up, commit, show metrics; halt what is no longer as declared."""
        for drift in self._schema.drifts.values():
            self._halt(drift)
        due = {}
        for partition in self._reader.take_not_committed():
            self._committed.pop(partition, None)
        for partition, lane in self._lanes.items():
            lane.watermark.advance()
            committable = lane.watermark.committable
            if self._committed.get(partition) != committable:
                due[partition] = committable
        if due:
            failpoints.reach("before_commit")
        self._reader.commit(due)
        self._committed.update(due)
        self._metered.show(self._lanes, self.writer, self._reader.lag(self.positions))
