"""A model of PostgreSQL: rows, open transactions that lock them, and the WAL they write.

What it shares with the real one, as far as the order of changes can see it:
- LSNs are multiples of 8; a change's is where its record begins, a commit's where its record ends;
- a transaction holds the keys that it changed until it ends, so two never hold the same one;
- but an INSERT, a COPY or a changed key writes its record *before* the unique index is asked. The
  transaction then waits for the key's holder, with an LSN below what the holder still writes;
- rows of one COPY record, and the delete + create of a changed key, share an LSN;
- commit times come from a clock that may repeat itself and step back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.model.choices import Choices

Row = tuple[int, int | None, int]  # a value, a nullable one, a large one

KEYS_A_DAY = 3
MAX_OPEN = 4
BURST = 14
MONSTER = 520  # more changes of one key than a rank can count


@dataclass(slots=True)
class Change:
    """A row's change. `unchanged`: its large value is not sent, for it was not changed."""

    lsn: int
    op: str
    key: int
    row: Row | None
    unchanged: bool = False


@dataclass(slots=True)
class Commit:
    """A committed transaction; `lsn` is the end of its commit record."""

    xid: int
    lsn: int
    time_us: int
    changes: list[Change]


@dataclass(slots=True, eq=False)
class Transaction:
    """An open transaction.

    `held` is its view of the keys that it locks; `pending` are rows whose records are written but
    whose keys the unique index has not let in yet: until then it can do nothing else.
    """

    xid: int
    changes: list[Change] = field(default_factory=list)
    held: dict[int, Row | None] = field(default_factory=dict)
    pending: list[tuple[int, Row]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Backup:
    """What a restore brings back."""

    rows: dict[int, Row]
    archive: dict[int, Row]
    dropped: frozenset[int]
    wal: int


def day_of(key: int) -> int:
    """The partition that holds a key."""
    return key // KEYS_A_DAY


class Postgres:
    """A table of few keys, KEYS_A_DAY of them a partition of a day."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.wal = 800
        self.rows: dict[int, Row] = {}
        self.commits: list[Commit] = []
        self.archive: dict[int, Row] = {}  # rows of dropped days: history that Cassandra keeps
        self.dropped: frozenset[int] = frozenset()  # days
        self.keys = range(1 + choices.below(2 * KEYS_A_DAY))
        self._open: list[Transaction] = []
        self._holder: dict[int, Transaction] = {}
        self._xid = 700
        self._version = 0
        self._now_us = 1_000_000

    # what happens

    def act(self) -> None:
        """Let one thing happen."""
        if not self._ready:
            self._wake()
        action = self.choices.below(16)
        if action < 3:
            self._change_alone()
        elif action < 6 or not self._ready:
            self._begin()
        elif action < 10:
            self._change(self.choices.pick(self._ready))
        elif action < 12:
            self._burst(self.choices.pick(self._ready))
        elif action < 14:
            self._commit(self.choices.pick(self._ready))
        elif action < 15:
            self._roll_back(self.choices.pick(self._ready))
        else:
            self._elsewhere()

    def heartbeat(self) -> int:
        """Commit a row of another table; return the LSN of its change."""
        lsn = self.record()
        self._end_with(Transaction(self._next_xid()))
        return lsn

    def drop_oldest_day(self) -> None:
        """Retention: the first day's partition goes, and the log says nothing of it."""
        oldest = [key for key in self.keys if day_of(key) == 0]
        if self.dropped or len(oldest) == len(self.keys) or self._busy(oldest):
            return
        self.archive = {key: self.rows.pop(key) for key in oldest if key in self.rows}
        self.dropped = frozenset({0})

    def settle(self) -> None:
        """Let every open transaction end."""
        while self._open:
            self._wake()
            for each in self._ready[:1]:
                self._commit(each)

    def backup(self) -> Backup:
        return Backup(dict(self.rows), dict(self.archive), self.dropped, self.wal)

    def restore(self, backup: Backup, wal: int) -> None:
        """Go back: open transactions are gone, and LSNs may start lower."""
        self.rows, self.archive = dict(backup.rows), dict(backup.archive)
        self.dropped, self.wal = backup.dropped, wal
        self._open.clear()
        self._holder.clear()

    def record(self) -> int:
        """Write a WAL record; return where it begins."""
        lsn = self.wal
        self.wal += 32 + 8 * (self._version % 3)
        return lsn

    # transactions

    @property
    def _ready(self) -> list[Transaction]:
        """Open transactions that wait for nothing."""
        return [each for each in self._open if not each.pending]

    def _next_xid(self) -> int:
        self._xid += 1
        return self._xid

    def _begin(self) -> None:
        if len(self._open) < MAX_OPEN:
            self._open.append(Transaction(self._next_xid()))
            self._change(self._open[-1])

    def _change_alone(self) -> None:
        alone = Transaction(self._next_xid())
        self._open.append(alone)
        self._change(alone)
        if alone in self._open and not alone.pending:
            self._commit(alone)

    def _commit(self, ending: Transaction) -> None:
        self._open.remove(ending)
        for key, row in ending.held.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self._end_with(ending)
        self._release(ending)

    def _end_with(self, ending: Transaction) -> None:
        self.record()
        self._now_us += self._version % 2
        self.commits.append(Commit(ending.xid, self.wal, self._now_us, ending.changes))

    def _roll_back(self, ending: Transaction) -> None:
        self._open.remove(ending)
        self.record()
        self._release(ending)

    def _release(self, ended: Transaction) -> None:
        for key in ended.held:
            del self._holder[key]
        self._wake()

    def _wake(self) -> None:
        for each in list(self._open):
            if each in self._open:
                self._proceed(each)

    def _busy(self, keys: list[int]) -> bool:
        return any(
            key in each.held or key in dict(each.pending) for each in self._open for key in keys
        )

    # changes

    def _change(self, by: Transaction) -> None:
        free = [key for key in self.keys if day_of(key) not in self.dropped]
        key = self.choices.pick(free)
        seen = self._seen(by, key)
        if self._holder.get(key, by) is not by or seen is None:
            self._insert(by, key, free)
            return
        kind = self.choices.below(9)
        if kind < 4:
            self._update(by, key, seen)
        elif kind < 6:
            self._record_change(by, "d", key, None)
        elif kind < 7:
            self._record_change(by, "u", key, seen, unchanged=True)  # a touch
        elif kind < 8:
            self._change_key(by, key, self.choices.pick(free), seen)
        else:
            self._insert(by, key, free)  # it may be deleted before the index is asked

    def _burst(self, by: Transaction) -> None:
        """Many changes of one key, of those it holds."""
        if not by.held:
            return
        key = self.choices.pick(sorted(by.held))
        times = MONSTER if self.choices.below(256) == 255 else 2 + self.choices.below(BURST)
        for _ in range(times):
            seen = by.held[key]
            if seen is not None and self.choices.random.random() < 0.8:
                self._update(by, key, seen)
            else:
                self._record_change(by, "d" if seen else "c", key, None if seen else self._row())

    def _update(self, by: Transaction, key: int, seen: Row) -> None:
        same = self._version % 3 == 0
        value, nullable, large = self._row()
        self._record_change(
            by, "u", key, (value, nullable, seen[2] if same else large), unchanged=same
        )

    def _record_change(
        self, by: Transaction, op: str, key: int, row: Row | None, *, unchanged: bool = False
    ) -> None:
        by.changes.append(Change(self.record(), op, key, row, unchanged))
        self._hold(by, key, row)

    def _insert(self, by: Transaction, key: int, free: list[int]) -> None:
        """INSERT one row, or COPY some; a key that is held or taken is noticed afterwards."""
        copied = [each for each in free if each > key and self._seen(by, each) is None]
        keys = [key, *copied] if self.choices.one_in(6) else [key]
        lsn = self.record()
        for each in keys:
            row = self._row()
            by.changes.append(Change(lsn, "c", each, row))
            by.pending.append((each, row))
        self._enter(by)

    def _change_key(self, by: Transaction, old: int, new: int, seen: Row) -> None:
        if old == new:
            return
        lsn = self.record()
        by.changes += [Change(lsn, "d", old, None), Change(lsn, "c", new, seen)]
        self._hold(by, old, None)
        by.pending.append((new, seen))
        self._enter(by)

    def _enter(self, by: Transaction) -> None:
        """Ask the unique index now, or only once another transaction has ended."""
        if not (self._open[1:] and self.choices.one_in(4)):
            self._proceed(by)

    def _proceed(self, by: Transaction) -> None:
        """Let pending rows in, one by one, until a key is held by another."""
        while by.pending:
            key, row = by.pending[0]
            if self._holder.get(key, by) is not by:
                if by in self._waited_for(by):  # a deadlock: PostgreSQL ends one
                    self._roll_back(by)
                return
            if self._seen(by, key) is not None:  # the key is taken
                self._roll_back(by)
                return
            by.pending.pop(0)
            self._hold(by, key, row)

    def _waited_for(self, by: Transaction) -> Iterator[Transaction]:
        waiting = by
        for _ in self._open:
            if not waiting.pending:
                return
            holder = self._holder.get(waiting.pending[0][0])
            if holder is None or holder is waiting:
                return
            yield holder
            waiting = holder

    def _hold(self, by: Transaction, key: int, row: Row | None) -> None:
        self._holder[key] = by
        by.held[key] = row

    def _seen(self, by: Transaction, key: int) -> Row | None:
        return by.held[key] if key in by.held else self.rows.get(key)

    def _row(self) -> Row:
        """Values that are new, and in no order, so that a tie is not won by luck."""
        self._version += 1
        value = self._version * 2_654_435_761 % 2**32
        return value, None if self._version % 4 == 0 else value ^ 5, value ^ 9

    def _elsewhere(self) -> None:
        """Another database writes, a table without events commits, or the clock is set."""
        kind = self.choices.below(3)
        if kind == 0:
            self.wal += 8 * (1 + self.choices.below(64))
        elif kind == 1:
            self.heartbeat()
        else:
            self._now_us += self.choices.below(9) - 6
