"""The order of changes, as Cassandra's write timestamp: why any replay leaves the same rows.

    ts = generation << 56 | phase << 55 | max(previous commit LSN, LSN) << 6 | min(rank, 511)

- generation: which life of the database. LSNs start again low after initdb, restore or failover.
- phase: 0 for rows of the initial snapshot, 1 for the stream, which always beats them.
- max(…): only commit LSNs are globally ordered. A transaction that was open while another
  committed has lower LSNs than it, although it commits later.
- rank: the nth change of its key among those of its transaction that were lifted to the one LSN
  of the previous commit; 1 where a change's own LSN is its position, 0 for rows of a snapshot.
  LSNs are multiples of 8, so shifted by 6 they leave 9 bits.

Changes of one key in one transaction never share an LSN (rows of one COPY record, and the delete +
create of a changed key, are of different keys), so only lifted changes need a rank.
Tested by tests/model and under a real adversarial load: docs/decisions, write timestamps.
Pure: no clock, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

import msgspec

from cdc.errors import Undecodable
from contracts.change import Origin
from contracts.naming import MAX_GENERATION

GENERATION_SHIFT = 56
PHASE_SHIFT = 55
POSITION_SHIFT = 6
MAX_RANK = 511
MAX_LSN = 1 << (PHASE_SHIFT - POSITION_SHIFT)  # 562 TB of WAL
LSN_STEP = 8

_NO_LSN = ~(MAX_LSN - LSN_STEP)  # bits that no LSN has; a negative number has the highest of them


class Phase(Enum):
    """Which half of a generation a write belongs to."""

    SNAPSHOT = 0
    STREAM = 1


def write_timestamp(generation: int, phase: Phase, lsn: int, rank: int) -> int:
    """Return the write timestamp at a position; ValueError where it does not fit."""
    if not 0 < generation <= MAX_GENERATION:
        raise ValueError(f"generation {generation} is not in 1…{MAX_GENERATION}")
    if not 0 <= lsn < MAX_LSN or lsn % LSN_STEP:
        raise ValueError(f"LSN {lsn} is not a multiple of {LSN_STEP} below 2^49")
    if rank < 0:
        raise ValueError(f"rank {rank} is negative")
    return (
        generation << GENERATION_SHIFT
        | phase.value << PHASE_SHIFT
        | lsn << POSITION_SHIFT
        | min(rank, MAX_RANK)
    )


def event_timestamp(generation: int, event_us: int) -> int:
    """The write timestamp where many source rows feed one target row: the market's own order.

    ValueError before 1970 and from the year 4253 on.
    """
    if not 0 < generation <= MAX_GENERATION:
        raise ValueError(f"generation {generation} is not in 1…{MAX_GENERATION}")
    if not 0 <= event_us < 1 << GENERATION_SHIFT:
        raise ValueError(f"event time {event_us} µs has no place in the order")
    return generation << GENERATION_SHIFT | event_us


def sequence_of(origin: Origin) -> tuple[int, int]:
    """(previous commit LSN or 0, the change's LSN) of an event; Undecodable where there is none."""
    commit, own = _pair(origin.sequence) if origin.sequence is not None else (0, 0)
    lsn = own if origin.lsn is None else origin.lsn
    if (commit | lsn) & _NO_LSN or not lsn:
        raise Undecodable(
            f"the event has no LSN, or one beyond 2^49 or that is no multiple of {LSN_STEP}"
        )
    return commit, lsn


def _pair(sequence: str) -> tuple[int, int]:
    """Read '["24023128","24023448"]', either of which may be null: then 0."""
    quoted = sequence.split('"')
    try:
        if len(quoted) == 5:
            return int(quoted[1]), int(quoted[3])
        commit, own = msgspec.json.decode(sequence, type=tuple[str | None, str | None])
        return int(commit or 0), int(own or 0)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise Undecodable("source.sequence is not a pair of LSNs") from error


@dataclass(slots=True)
class Oddities:
    """What should not happen, or seldom: counted, shown as metrics."""

    rank_overflows: int = 0  # lifted changes of a key beyond 511 in one transaction
    commits_backwards: int = 0  # events whose sequence[0] is behind: Connect restarted, sends again


class PartitionOrder:
    """Positions of one topic partition's events, read in its order from a boundary on.

    A partition holds, at any moment, a prefix of its changes in commit order: Connect sends in that
    order, and starts again only from what Kafka has acknowledged. So the newest transaction in it,
    the frontier, is the only one of which a change may be new, and is told by its previous commit.
    The frontier's lifted changes are held here, nothing else. Events of earlier transactions are
    repeats, also a second worker's in between: any rank below their first one does them no harm.
    """

    def __init__(self, generation: int) -> None:
        self._generation = generation
        self._stream_base = write_timestamp(generation, Phase.STREAM, 0, 0)
        self._frontier = -1  # previous commit of the newest transaction
        self._transaction: int | None = None  # its id
        self._lifted: dict[bytes, list[int]] = {}  # key → LSNs of its lifted changes, ascending
        self.oddities = Oddities()

    def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
        """Return (write timestamp, whether a reader may begin at this event another time).

        Call it once for each decoded event, in the partition's order.
        """
        previous, lsn = sequence_of(origin)
        if not origin.streamed:
            return self._place_snapshot_row(origin, max(previous, lsn)), True
        if previous == self._frontier and origin.tx_id == self._transaction:
            begins = False
        else:
            begins = self._advance(origin, previous)
        if lsn > previous:
            return self._stream_base | lsn << POSITION_SHIFT | 1, begins
        rank = 1 if previous < self._frontier else self._rank(key, lsn)
        return self._stream_base | previous << POSITION_SHIFT | rank, begins

    def take_oddities(self) -> Oddities:
        """What was counted since the last call."""
        taken, self.oddities = self.oddities, Oddities()
        return taken

    def _advance(self, origin: Origin, previous: int) -> bool:
        """Whether an event of another transaction than the last is of a newer one."""
        if previous < self._frontier:
            self.oddities.commits_backwards += 1
            return False
        self._frontier, self._transaction = previous, origin.tx_id
        self._lifted.clear()
        return True

    def _rank(self, key: bytes, lsn: int) -> int:
        """The change's place among the lifted ones of its key; a repeat gets its own again."""
        seen = self._lifted.setdefault(key, [])
        rank = bisect_left(seen, lsn) + 1
        if rank > len(seen):
            seen.append(lsn)
        if rank > MAX_RANK:
            self.oddities.rank_overflows += 1
            return MAX_RANK
        return rank

    def _place_snapshot_row(self, origin: Origin, lsn: int) -> int:
        phase = Phase.SNAPSHOT if origin.initial else Phase.STREAM
        return write_timestamp(self._generation, phase, lsn, 0)
