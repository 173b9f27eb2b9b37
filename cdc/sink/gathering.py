"""Writes gathered into batches of one Cassandra partition, with changes of one key coalesced. Pure.

A batch of one partition is one mutation for Cassandra: cheap for both sides. Gathering goes on
across polls, until a batch is full, or has waited long enough and somebody has room for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from cdc.sink.watermark import Span


class Beat(msgspec.Struct, frozen=True, gc=False):
    """When each stage saw a heartbeat: µs since the epoch, `produced_ms` in ms."""

    source: str
    committed_us: int
    captured_us: int
    produced_ms: int
    received_us: int


class Write(msgspec.Struct, gc=False):
    """One statement of a batch. `statement` is its bytes in the protocol's BATCH message.

    `partial`: some columns are UNSET, so it must not replace an older version of its row.
    """

    table: str
    partition: bytes
    clustering: bytes
    timestamp: int
    statement: bytes
    span: Span | None = None
    event: Any = None  # the Kafka message, kept whole for a dead letter
    partial: bool = False
    beat: Beat | None = None


class Batch:
    """Statements of one Cassandra partition, sent and acknowledged together.

    `counts` says how many writes of each span it settles; `added` and `added_bytes` are what was
    taken in for it. All three include writes that were coalesced away.
    """

    __slots__ = (
        "added",
        "added_bytes",
        "attempts",
        "counts",
        "parent",
        "partition",
        "parts",
        "table",
        "writes",
    )

    def __init__(
        self, table: str, partition: bytes, writes: list[Write], parent: Batch | None = None
    ) -> None:
        self.table = table
        self.partition = partition
        self.writes = writes
        self.parent = parent
        self.parts = 0
        self.attempts = 0
        self.added = 0
        self.added_bytes = 0
        self.counts: dict[Span, int] = {}

    def split(self) -> tuple[Batch, Batch]:
        """Two halves; the whole is settled when both are."""
        middle = len(self.writes) // 2
        self.parts = 2
        halves = self.writes[:middle], self.writes[middle:]
        first, second = (Batch(self.table, self.partition, half, self) for half in halves)
        return first, second

    def settle(self) -> Batch | None:
        """Acknowledge; return the batch that was settled as a whole, None while parts are left."""
        whole = self
        while whole.parent is not None:
            whole = whole.parent
            whole.parts -= 1
            if whole.parts:
                return None
        for span, count in whole.counts.items():
            span.pending -= count
        return whole


class _Group:
    """A batch in the making."""

    __slots__ = ("added", "bytes", "counts", "newest", "others", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.newest: dict[bytes, Write] = {}
        self.others: list[Write] = []
        self.counts: dict[Span, int] = {}
        self.added = 0
        self.bytes = 0

    def add(self, write: Write) -> None:
        """Take a write in: the newest of its row, but for what Cassandra itself must reconcile."""
        self.added += 1
        self.bytes += len(write.statement)
        span = write.span
        if span is not None:
            counts = self.counts
            counts[span] = counts.get(span, 0) + 1
        known = self.newest.setdefault(write.clustering, write)
        if known is write:
            return
        if known.partial or write.partial or known.timestamp == write.timestamp:
            self.others.append(write)
        elif write.timestamp > known.timestamp:
            self.newest[write.clustering] = write

    def close(self, table: str, partition: bytes) -> Batch:
        batch = Batch(table, partition, [*self.newest.values(), *self.others])
        batch.counts, batch.added, batch.added_bytes = self.counts, self.added, self.bytes
        return batch


class Gathering:
    """Batches in the making, by table and partition."""

    def __init__(
        self, *, rows: int, bytes_: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._rows = rows
        self._bytes = bytes_
        self._groups: dict[tuple[str, bytes], _Group] = {}

    def add(self, write: Write) -> list[Batch]:
        """Take a write in; return the batches that it filled."""
        full = []
        key = (write.table, write.partition)
        group = self._groups.get(key)
        if group is not None and group.bytes + len(write.statement) > self._bytes:
            full.append(self._groups.pop(key).close(*key))
            group = None
        if group is None:
            group = self._groups[key] = _Group(self._clock())
        group.add(write)
        if group.added >= self._rows:
            full.append(self._groups.pop(key).close(*key))
        return full

    def oldest(self, since: float) -> Batch | None:
        """Close the batch that began to gather first, if that was at `since` or before."""
        for key, group in self._groups.items():  # they stand in the order in which they began
            if group.since > since:
                break
            return self._groups.pop(key).close(*key)
        return None

    def __len__(self) -> int:
        return len(self._groups)
