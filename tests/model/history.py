"""One history: lives of a database, each a generation with its snapshots, stream, log and sink.

After each life Cassandra must hold what PostgreSQL holds, and the history that retention dropped
there. A life ends by a lost slot, a restore to an earlier point, or a new cluster.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from cdc.position import Phase, write_timestamp
from tests.model.cassandra import Cassandra, Cell, Write
from tests.model.choices import Choices
from tests.model.log import Event, Topic, snapshot_events, stream_events
from tests.model.postgres import Postgres, day_of
from tests.model.rules import TIDEMARK, Rules
from tests.model.sink import OrderReader, Reader, Sink

MOST_LIVES = 3
MOST_ACTIONS = 60

Cells = tuple[Cell, ...] | None
Partitions = list[list[Event]]


@dataclass(slots=True)
class Outcome:
    """What happened, and where Cassandra differs: key → (PostgreSQL's row, its own)."""

    seen: Counter[str] = field(default_factory=Counter)
    differences: dict[int, tuple[Cells, Cells]] = field(default_factory=dict)


class World:
    """PostgreSQL, Cassandra, and the way between them."""

    def __init__(self, choices: Choices, rules: Rules = TIDEMARK) -> None:
        self.outcome = Outcome()
        self._choices = choices
        self._rules = rules
        self._postgres = Postgres(choices)
        self._cassandra = Cassandra()
        self._backup = self._postgres.backup()
        self._read: list[tuple[int, int, Partitions]] = []  # generation, snapshot's LSN, events
        self._letters: list[Write] = []
        self._overflown: set[int] = set()

    def reader(self, generation: int, snapshot_lsn: int, start: int) -> Reader:
        """What a sink reads a partition of this generation with."""
        del snapshot_lsn
        return OrderReader(self._rules.make_order(generation), start)

    def run(self) -> Outcome:
        """Live through the history that the choices decide, up to the first life that differs."""
        for generation in range(1, MOST_LIVES + 1):
            self.live(generation)
            if self.outcome.differences or not self._choices.left:
                break
            self.fall()
        return self.outcome

    def live(self, generation: int) -> None:
        """From the first attempt at a snapshot until everything is applied.

        A life that ends early leaves its log unread from somewhere on, and nothing is swept.
        """
        ends_early = self._choices.one_in(6)
        topic = Topic(self._choices)
        snapshot_lsn, first = self._take_snapshot(topic)
        repairs = self._stream(generation)
        events = stream_events(self._postgres.commits[first:])
        topic.send(events)
        self._count(topic, events)
        partitions = topic.partitions
        if ends_early:
            partitions = [each[: self._choices.below(len(each) + 1)] for each in partitions]
        self._consume(generation, partitions, snapshot_lsn, repairs)
        if ends_early:
            return
        if self._rules.drops_unverified:
            self._postgres.drop_oldest_day()
        self._delete_ghosts(self._rules.sweep(generation, snapshot_lsn))
        self._redrive(self._rules.redriven_above(generation, snapshot_lsn))
        self._replay()
        self._compare()
        if self._choices.one_in(3):  # what is verified in its generation may be dropped
            self._postgres.drop_oldest_day()

    def fall(self) -> None:
        """The life ends; what happens before the next one begins is in no stream."""
        postgres, kind = self._postgres, self._choices.below(4)
        if kind == 2:
            postgres.restore(self._backup, self._backup.wal)
        elif kind == 3:
            postgres.restore(self._backup, 800)
        self.outcome.seen["restored"] += kind >= 2
        self._act(self._choices.below(12))

    def _act(self, times: int) -> None:
        for _ in range(times):
            self._postgres.act()

    def _take_snapshot(self, topic: Topic) -> tuple[int, int]:
        """Return its LSN, and the first commit that is streamed.

        A slot exports a snapshot of the moment from which it streams. After a failed attempt, whose
        rows stay in the log, the slot may be there still: the rows are read later than it starts.
        """
        postgres = self._postgres
        self._backup = postgres.backup()
        self._act(self._choices.below(8))
        has_slot = False
        while True:
            if not has_slot:
                postgres.record()
            lsn, first = postgres.wal, len(postgres.commits)
            if has_slot:
                self._act(self._choices.below(6))
            events = snapshot_events(postgres.rows, lsn)
            if not self._choices.one_in(4):
                break
            self.outcome.seen["aborted snapshots"] += 1
            topic.send_part(events)
            self._act(self._choices.below(6))
            has_slot = self._choices.one_in(2)
        topic.send_whole(events)
        self.outcome.seen["snapshot rows"] += len(events)
        return lsn, first

    def _stream(self, generation: int) -> list[Write]:
        """Let PostgreSQL live; return deletions of verifications that repaired meanwhile."""
        repairs: list[Write] = []
        for _ in range(self._choices.below(MOST_ACTIONS)):
            if not self._choices.left:
                break
            event = self._choices.below(40)
            if event < 38:
                self._postgres.act()
            elif event == 38:
                self._backup = self._postgres.backup()
            else:
                repairs += self._repair(generation)
        return repairs

    def _repair(self, generation: int) -> list[Write]:
        """Delete, at a heartbeat's position, what PostgreSQL does not have after it."""
        postgres = self._postgres
        timestamp = write_timestamp(generation, Phase.STREAM, postgres.heartbeat(), 0)
        self._act(self._choices.below(3))
        absent = [
            key
            for key in postgres.keys
            if key not in postgres.rows and day_of(key) not in postgres.dropped
        ]
        return [Write(key, timestamp, None) for key in absent]

    def _consume(
        self,
        generation: int,
        partitions: Partitions,
        snapshot_lsn: int,
        repairs: list[Write],
    ) -> None:
        self._read.append((generation, snapshot_lsn, partitions))
        sink = self._sink(generation, snapshot_lsn)
        for partition in partitions:
            sink.consume(partition)
        writes = sink.writes + repairs
        self._choices.random.shuffle(writes)
        self._cassandra.apply(writes)
        self._letters += sink.letters
        self.outcome.seen["crashes"] += sink.crashes
        self._overflown |= sink.overflown

    def _sink(self, generation: int, snapshot_lsn: int) -> Sink:
        return Sink(self._choices, partial(self.reader, generation, snapshot_lsn))

    def _delete_ghosts(self, timestamp: int) -> None:
        """The sweep, over the range that PostgreSQL still holds."""
        before = set(self._cassandra.rows())
        self._cassandra.apply(
            Write(key, timestamp, None)
            for key in self._cassandra.known
            if day_of(key) not in self._postgres.dropped
        )
        self.outcome.seen["ghosts"] += len(before - set(self._cassandra.rows()))

    def _redrive(self, limit: int) -> None:
        """Dead letters can be decoded at last, and are written at their own timestamps."""
        redriven = [each for each in self._letters if each.timestamp > limit]
        self._cassandra.apply(redriven)
        self.outcome.seen["letters"] += len(redriven)

    def _replay(self) -> None:
        """Old sinks and new groups read again what was read, of every generation."""
        for generation, snapshot_lsn, partitions in self._read:
            if self._choices.one_in(3):
                sink = self._sink(generation, snapshot_lsn)
                for partition in partitions:
                    sink.replay(partition)
                self._cassandra.apply(sink.writes)
                self.outcome.seen["replayed"] += len(sink.writes)

    def _compare(self) -> None:
        postgres = self._postgres
        expected: dict[int, Cells] = {**postgres.archive, **postgres.rows}
        found = self._cassandra.rows()
        self.outcome.differences = {
            key: (expected.get(key), found.get(key))
            for key in postgres.keys
            if expected.get(key) != found.get(key) and key not in self._overflown
        }

    def _count(self, topic: Topic, events: list[Event]) -> None:
        """Note what of the adversarial is in this life."""
        seen, newest = self.outcome.seen, dict.fromkeys(self._postgres.keys, 0)
        seen["events"] += len(events)
        seen["restarts"] += topic.restarts
        seen["late events of a frozen worker"] += topic.late
        seen["repeated events"] += sum(map(len, topic.partitions)) - len(events)
        for event in events:
            lsn = event.origin.lsn or 0
            seen["inversions"] += lsn < newest[event.key]
            newest[event.key] = max(newest[event.key], lsn)


def run(data: bytes, rules: Rules = TIDEMARK) -> Outcome:
    """Live through the history that these bytes decide."""
    return World(Choices(data), rules).run()
