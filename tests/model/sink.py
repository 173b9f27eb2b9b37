"""The sink: what it writes, crashes and repeats. Its order, watermark and lane are the real ones.

Writes of an event that nobody can decode are kept as letters, at their own timestamps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cdc.sink.watermark import Span, Watermark
from tests.model.cassandra import Write, insert
from tests.model.choices import Choices
from tests.model.log import Event
from tests.model.rules import Order

MOST_CRASHES = 3
LONGEST_POLL = 8

Send = Callable[[Write, bool, Span], None]  # (write, whether it is a letter, whom to tell)


class Reader(Protocol):
    """How a member makes writes of one partition's events, from an offset on."""

    @property
    def watermark(self) -> Watermark:
        """How far what was taken is acknowledged."""

    def take(self, events: list[Event], offset: int, send: Send) -> None:
        """Read events that lie together from an offset on, as one span."""

    @property
    def overflown(self) -> set[int]:
        """Keys whose lifted changes in one transaction were too many to be ranked."""


MakeReader = Callable[[int], Reader]  # that starts at an offset


class OrderReader:
    """The real order and watermark, with nothing to decode."""

    def __init__(self, order: Order, start: int) -> None:
        self.watermark = Watermark(start)
        self.overflown: set[int] = set()
        self._order = order

    def take(self, events: list[Event], offset: int, send: Send) -> None:
        """Place each event; make its write."""
        span = self.watermark.begin()
        order = self._order
        for event in events:
            overflows = order.oddities.rank_overflows
            timestamp, begins = order.place(event.origin, b"%d" % event.key)
            if begins:
                span.boundary = offset
            if order.oddities.rank_overflows > overflows:
                self.overflown.add(event.key)
            span.pending += 1
            send(write_of(event, timestamp), event.undecodable, span)
            offset += 1
        span.seal(offset)


class Sink:
    """A group's members over one generation, one after another and sometimes two at a time."""

    def __init__(self, choices: Choices, make_reader: MakeReader) -> None:
        self.choices = choices
        self.make_reader = make_reader
        self.writes: list[Write] = []  # those that reach Cassandra, in some order
        self.letters: list[Write] = []
        self.overflown: set[int] = set()
        self.crashes = 0

    def consume(self, partition: list[Event]) -> None:
        """Read a partition until all of it is acknowledged; after a crash, from the commit on."""
        committed = 0
        for _ in range(MOST_CRASHES):
            if not self.choices.one_in(3):
                break
            self.crashes += 1
            member = _Member(self, partition, committed)
            member.read_until(committed + self.choices.below(len(partition) - committed + 1))
            committed = member.committable
            if self.choices.one_in(2):  # frozen, and unaware that another takes over
                member.read_until(len(partition))
            member.crash()
            self.overflown |= member.reader.overflown
        self._read_all(partition, committed, len(partition))

    def replay(self, partition: list[Event]) -> None:
        """Another group reads it again, from its beginning to somewhere."""
        self._read_all(partition, 0, self.choices.below(len(partition) + 1))

    def _read_all(self, partition: list[Event], start: int, stop: int) -> None:
        member = _Member(self, partition, start)
        member.read_until(stop)
        member.acknowledge(0)
        self.overflown |= member.reader.overflown


class _Member:
    """A process that reads one partition from an offset on."""

    def __init__(self, sink: Sink, partition: list[Event], start: int) -> None:
        self.reader = sink.make_reader(start)
        self._sink = sink
        self._random = sink.choices.random
        self._partition = partition
        self._next = start
        self._in_flight: list[tuple[Write, bool, Span]] = []

    @property
    def committable(self) -> int:
        return self.reader.watermark.committable

    def read_until(self, stop: int) -> None:
        """Poll by poll; meanwhile Cassandra acknowledges, in an order of its own."""
        while self._next < stop:
            end = min(stop, self._next + 1 + self._random.randrange(LONGEST_POLL))
            self.reader.take(self._partition[self._next : end], self._next, self._send)
            self._next = end
            self.acknowledge(self._random.randrange(LONGEST_POLL))

    def acknowledge(self, left: int) -> None:
        """Writes reach Cassandra until that many are left under way."""
        self._random.shuffle(self._in_flight)
        while len(self._in_flight) > left:
            write, is_letter, span = self._in_flight.pop()
            self._land(write, is_letter=is_letter)
            span.pending -= 1
        self.reader.watermark.advance()

    def crash(self) -> None:
        """Nothing is acknowledged any more: some of what is under way is lost, the rest late."""
        for write, is_letter, _span in self._in_flight:
            if self._random.randrange(2):
                self._land(write, is_letter=is_letter)

    def _send(self, write: Write, is_letter: bool, span: Span) -> None:
        self._in_flight.append((write, is_letter, span))

    def _land(self, write: Write, *, is_letter: bool) -> None:
        (self._sink.letters if is_letter else self._sink.writes).append(write)


def write_of(event: Event, timestamp: int) -> Write:
    """What an event means for its row."""
    if event.row is None:
        return Write(event.key, timestamp, None)
    return insert(event.key, timestamp, event.row, unchanged=event.unchanged)
