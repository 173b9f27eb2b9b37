"""Orders and sweeps that are almost right: a model that lets one of them pass finds nothing."""

from __future__ import annotations

from collections.abc import Callable

from cdc.position import (
    GENERATION_SHIFT,
    MAX_RANK,
    PHASE_SHIFT,
    POSITION_SHIFT,
    PartitionOrder,
    sequence_of,
)
from contracts.change import Origin
from tests.model.rules import Rules, below_the_snapshot

Formula = Callable[[int, Origin], int]  # (the right timestamp, the event's origin) → a wrong one

_PHASE = 1 << PHASE_SHIFT
_LOW = (1 << GENERATION_SHIFT) - 1
_HEAD = ~((1 << PHASE_SHIFT) - 1)  # generation and phase
_RANK = MAX_RANK


def _at(right: int, position: int, rank: int | None = None) -> int:
    """The right timestamp, moved to another position; with another rank, if one is given."""
    return right & _HEAD | position << POSITION_SHIFT | (right & _RANK if rank is None else rank)


def _previous(origin: Origin) -> int:
    previous, lsn = sequence_of(origin)
    return previous if origin.streamed else max(previous, lsn)


def _own(origin: Origin) -> int:
    return sequence_of(origin)[1]


FORMULAS: dict[str, Formula] = {
    "plain LSN": lambda _, origin: _own(origin),
    "LSN of the change, without max()": lambda right, origin: _at(right, _own(origin)),
    "LSN of the previous commit, without max()": lambda right, origin: _at(
        right, _previous(origin)
    ),
    "transaction id": lambda _, origin: origin.tx_id or 0,
    "commit time": lambda _, origin: origin.ts_us,
    "commit time with phase and rank": lambda right, origin: _at(right, origin.ts_us),
    "no rank": lambda right, _: right & ~_RANK,
    "a rank of 3 bits": lambda right, _: right & ~_RANK | min(right & _RANK, 7),
    "no phase": lambda right, _: right & ~_PHASE,
    "no generation": lambda right, _: right & _LOW,
}


def mutant(formula: Formula) -> type[PartitionOrder]:
    """The real order with its timestamps replaced."""

    class Mutant(PartitionOrder):
        def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
            right, begins = super().place(origin, key)
            return formula(right, origin), begins

    return Mutant


class AnyBoundary(PartitionOrder):
    """Offsets are committed anywhere: a reader may begin inside a transaction."""

    def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
        timestamp, _begins = super().place(origin, key)
        return timestamp, True


class RankOfTheRun(PartitionOrder):
    """Ranks are counted in each run of one transaction's events, and repeats count on."""

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self._run: int | None = None
        self._count: dict[bytes, int] = {}

    def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
        right, _begins = super().place(origin, key)
        begins = not origin.streamed or origin.tx_id != self._run
        if begins:
            self._run = origin.tx_id
            self._count.clear()
        if not origin.streamed:
            return right, True
        rank = self._count[key] = self._count.get(key, 0) + 1
        return right & ~_RANK | min(rank, MAX_RANK), begins


class RankOfNewRuns(PartitionOrder):
    """The same, but repeats get rank 1: what Tidemark had before this model found it wrong.

    A worker that was frozen and replaced wakes up, sends what it had read, and so cuts a run in
    two; changes after the cut were ranked anew.
    """

    def __init__(self, generation: int) -> None:
        super().__init__(generation)
        self._run: int | None = None
        self._last: dict[bytes, tuple[int, int]] = {}

    def place(self, origin: Origin, key: bytes) -> tuple[int, bool]:
        right, _begins = super().place(origin, key)
        if not origin.streamed:
            return right, True
        begins = origin.tx_id != self._run
        if begins:
            self._run = origin.tx_id
            self._last.clear()
        lsn = _own(origin)
        rank, last = self._last.get(key, (0, 0))
        if lsn < last:
            return right & ~_RANK | 1, begins
        self._last[key] = rank + 1, lsn
        return right & ~_RANK | min(rank + 1, MAX_RANK), begins


def _one_higher(generation: int, snapshot_lsn: int) -> int:
    """A deletion wins against a value of its own timestamp."""
    return below_the_snapshot(generation, snapshot_lsn) + 1


def _earlier_generations(generation: int, snapshot_lsn: int) -> int:
    """Above all that came before the generation; ghosts of its aborted snapshots stay."""
    del snapshot_lsn
    return generation << GENERATION_SHIFT


def _nothing(generation: int, snapshot_lsn: int) -> int:
    del generation, snapshot_lsn
    return 0


MUTANTS: dict[str, Rules] = {
    **{name: Rules(mutant(formula)) for name, formula in FORMULAS.items()},
    "offsets committed inside transactions": Rules(AnyBoundary),
    "ranks of each run, repeats count on": Rules(RankOfTheRun),
    "ranks of each run, repeats get 1": Rules(RankOfNewRuns),
    "sweep at the snapshot's own position": Rules(sweep=_one_higher),
    "sweep of earlier generations only": Rules(sweep=_earlier_generations),
    "no sweep": Rules(sweep=_nothing),
    "letters from before the snapshot redriven": Rules(redriven_above=_nothing),
    "retention before the sweep": Rules(drops_unverified=True),
}
