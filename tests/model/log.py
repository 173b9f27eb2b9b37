"""What Debezium makes of the WAL, and how it comes to lie in a topic's partitions.

An event says of its order: `sequence` = [end of the previous commit in the slot's stream | null,
LSN of the change]. Transactions follow each other whole, in the order of their commits. A worker
that is killed has sent, to each partition, a part of what it had read beyond the stored offset; the
next one sends all from there on, also from the middle of a transaction. One that was only frozen
sends the rest of its part later, in between the other's events. (Debezium 3.7, as read in its
source and as seen in tests/integration/test_adversarial_replay.py.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.change import Origin
from tests.model.choices import Choices
from tests.model.postgres import Change, Commit, Row

MOST_RESTARTS = 3
ONE_UNDECODABLE_IN = 15


@dataclass(slots=True)
class Event:
    """One change event of a key."""

    key: int
    op: str
    row: Row | None
    unchanged: bool
    origin: Origin

    @property
    def undecodable(self) -> bool:
        """Whether its row is junk, each time that it is sent."""
        return ((self.origin.lsn or 0) // 8 + self.key) % ONE_UNDECODABLE_IN == 0


Log = list[list[Event]]  # of each partition


def snapshot_events(rows: dict[int, Row], lsn: int) -> list[Event]:
    """Rows of an initial snapshot: they all have its LSN."""
    origin = Origin(
        table="t", ts_us=0, lsn=lsn, sequence=f'[null,"{lsn}"]', tx_id=1, snapshot="true"
    )
    return [Event(key, "r", row, unchanged=False, origin=origin) for key, row in rows.items()]


def stream_events(commits: Iterable[Commit]) -> list[Event]:
    """The changes of a slot's stream, in its order."""
    events: list[Event] = []
    previous: int | None = None
    for commit in commits:
        events += [_event(change, commit, previous) for change in commit.changes]
        previous = commit.lsn
    return events


def _event(change: Change, commit: Commit, previous: int | None) -> Event:
    origin = Origin(
        table="t",
        ts_us=commit.time_us,
        lsn=change.lsn,
        sequence=_sequence(previous, change.lsn),
        tx_id=commit.xid,
        snapshot="false",
    )
    return Event(change.key, change.op, change.row, change.unchanged, origin)


def _sequence(previous: int | None, lsn: int | None) -> str:
    return f'[null,"{lsn}"]' if previous is None else f'["{previous}","{lsn}"]'


class Topic:
    """The partitions of one generation, and how often its events were sent again."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self.partitions: Log = [[] for _ in range(1 + choices.below(3))]
        self.restarts = 0
        self.late = 0

    def send_part(self, rows: list[Event]) -> None:
        """A snapshot that is cut off: of each partition's rows, the first few arrive."""
        for part in self._parted(rows):
            self._extend(part[: self._choices.below(len(part) + 1)])

    def send_whole(self, rows: list[Event]) -> None:
        """A snapshot that succeeds."""
        self._extend(rows)

    def send(self, events: list[Event]) -> None:
        """All events, by one worker after another."""
        stored = 0
        frozen: list[tuple[list[Event], int]] = []  # a worker's rest, and where it may go
        for _ in range(MOST_RESTARTS):
            if not self._choices.one_in(3):
                break
            self.restarts += 1
            read = stored + self._choices.below(len(events) - stored + 1)
            kept = stored + self._choices.below(read - stored + 1)
            self._extend(events[stored:kept])
            for part in self._parted(events[kept:read]):
                sent = self._choices.below(len(part) + 1)
                self._extend(part[:sent])
                if part[sent:] and self._choices.one_in(2):
                    frozen.append((part[sent:], len(self._partition_of(part[0]))))
            events, stored = _resumed(events, kept), kept
        self._extend(events[stored:])
        for rest, since in reversed(frozen):  # so that the places of the others stay
            self._mix_in(rest, since)

    def _mix_in(self, rest: list[Event], since: int) -> None:
        partition = self._partition_of(rest[0])
        self.late += len(rest)
        at = since
        for event in rest:
            at = min(at + self._choices.below(4), len(partition))
            partition.insert(at, event)
            at += 1

    def _extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self._partition_of(event).append(event)

    def _partition_of(self, event: Event) -> list[Event]:
        return self.partitions[event.key % len(self.partitions)]

    def _parted(self, events: list[Event]) -> list[list[Event]]:
        count = len(self.partitions)
        parts = [[each for each in events if each.key % count == n] for n in range(count)]
        return [part for part in parts if part]


def _resumed(events: list[Event], stored: int) -> list[Event]:
    """What a worker reads that starts behind the stored event.

    Before the first commit it takes that event's own LSN for the previous commit's.
    """
    if stored == 0 or not _first(events[stored - 1]):
        return events
    last = events[stored - 1].origin
    return [
        _after(each, last) if _first(each) and each.origin.tx_id == last.tx_id else each
        for each in events
    ]


def _first(event: Event) -> bool:
    sequence = event.origin.sequence
    return sequence is not None and sequence.startswith("[null")


def _after(event: Event, stored: Origin) -> Event:
    origin = event.origin
    changed = Origin(
        table=origin.table,
        ts_us=origin.ts_us,
        lsn=origin.lsn,
        sequence=_sequence(stored.lsn, origin.lsn),
        tx_id=origin.tx_id,
        snapshot=origin.snapshot,
    )
    return Event(event.key, event.op, event.row, event.unchanged, changed)
