"""One topic partition on its way through the sink: decode, place in the order, route. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cdc.errors import HaltTable, LateSnapshot, Poison, Truncated, Undecodable
from cdc.position import PartitionOrder
from cdc.sink.decoder import Change, Decoder, Envelope, envelope_of
from cdc.sink.gathering import Write
from cdc.sink.router import Router
from cdc.sink.watermark import Span, Watermark
from contracts.change import TRUNCATE

TOMBSTONE = "tombstone"  # counted beside the operations

Message = Any  # confluent_kafka.Message, or what speaks like it
# (event, what is wrong, its span, its write timestamp where it has a place in the order)
Reject = Callable[[Message, Poison, Span, int | None], None]
# (table, when an event was committed, µs) → why the table halts, if its columns had changed by then
DriftOf = Callable[[str, int], HaltTable | None]


class Lane:
    """State of one partition: its order, its watermark, what it saw.

    `snapshot_lsn` is the LSN of the generation's completed snapshot, None where it is not known;
    snapshot rows beyond it halt the table. `snapshot_seen_lsn` is the highest of those it took, 0
    where it took none. An event that cannot be applied is a dead letter, unless `drift_of` says
    that the table itself has changed: then it halts there.
    """

    def __init__(
        self,
        decoder: Decoder,
        router: Router,
        generation: int,
        start: int,
        snapshot_lsn: int | None,
        drift_of: DriftOf,
    ) -> None:
        self.table = router.table
        self.watermark = Watermark(start)
        self.order = PartitionOrder(generation)
        self.seen: Counter[str] = Counter()
        self.halted: HaltTable | None = None
        self.snapshot_seen_lsn = 0
        self._placed: int | None = None  # write timestamp of the event at hand
        self._streaming = False  # whether a streamed row was seen: the snapshot is over
        self._decoder = decoder
        self._router = router
        self._generation = generation
        self._snapshot_lsn = snapshot_lsn
        self._drift_of = drift_of

    def take(
        self,
        messages: list[Message],
        received_us: int,
        emit: Callable[[list[Write]], None],
        reject: Reject,
    ) -> None:
        """Turn messages, in the partition's order, into writes and rejects of one span.

        A HaltTable stops before its event: `halted` is set, what came before it stands.
        """
        if self.halted is not None:
            return
        span = self.watermark.begin()
        next_offset = messages[0].offset()
        made: list[Write] = []
        for message in messages:
            try:
                made += self._writes(message, received_us, span)
            except Poison as error:
                self.halted = self._drift(message)
                if self.halted is not None:
                    break
                self.seen[error.cause] += 1
                span.pending += 1
                reject(message, error, span, self._placed)
            except HaltTable as halt:
                self.halted = halt
                break
            next_offset = message.offset() + 1
        span.pending += len(made)
        emit(made)
        span.seal(next_offset)

    def _writes(self, message: Message, received_us: int, span: Span) -> list[Write]:
        self._placed = None
        raw = message.value()
        if raw is None:
            self.seen[TOMBSTONE] += 1
            return []
        try:
            change = self._decoder.decode(raw)
        except Undecodable:
            envelope = envelope_of(raw)
            if envelope is not None:  # a change of its transaction, though nobody can read its row
                with suppress(Undecodable):  # what is wrong first is what is said
                    self._place(message, envelope, span)
            raise
        timestamp = self._place(message, change, span)
        writes = self._router.writes(change, timestamp, message.timestamp()[1], received_us)
        for write in writes:
            write.span, write.event = span, message
        self.seen[change.op] += 1
        return writes

    def _drift(self, message: Message) -> HaltTable | None:
        """Why the table halts at an event that cannot be applied, unless the event is at fault."""
        envelope = envelope_of(message.value())
        return None if envelope is None else self._drift_of(self.table, envelope.source.ts_us)

    def _place(self, message: Message, change: Change | Envelope, span: Span) -> int:
        """The write timestamp of an event; exactly once for each, in the partition's order."""
        if change.op == TRUNCATE:
            raise Truncated(self.table)
        if change.source.streamed:
            self._streaming = True
        elif change.source.initial:
            self._refuse_late(change.source.lsn or 0)
        key = message.key()
        if key is None:
            raise Undecodable(f"{self.table}: the event has no key")
        self._placed, begins = self.order.place(change.source, key)
        if begins:
            span.boundary = message.offset()
        return self._placed

    def _refuse_late(self, lsn: int) -> None:
        """Refuse a row of an initial snapshot that is not this generation's."""
        known = self._snapshot_lsn
        # below the known one: an aborted attempt at it, which no streamed row precedes
        if self._streaming or (known is not None and lsn > known):
            raise LateSnapshot(self.table, self._generation)
        self.snapshot_seen_lsn = max(self.snapshot_seen_lsn, lsn)
