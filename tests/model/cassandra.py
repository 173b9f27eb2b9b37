"""A model of Cassandra's reconciliation: of each cell, the highest write timestamp wins.

At equal timestamps a deletion beats a value, and of two values the larger one wins. A row is there
while its marker (an INSERT writes it) or a value is newer than its deletion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.model.postgres import Row

UNSET: Final = "unset"  # a column that a write leaves alone
Cell = int | None  # NULL is bound as None, and is a deletion of the cell
_NEVER = -1
_EMPTY: tuple[int, Cell] = (_NEVER, None)


@dataclass(frozen=True, slots=True)
class Write:
    """An INSERT of a key's columns, or with None the DELETE of its row, at a timestamp."""

    key: int
    timestamp: int
    cells: tuple[Cell | str, ...] | None


@dataclass(slots=True)
class _Stored:
    deleted: int = _NEVER
    marker: int = _NEVER
    cells: list[tuple[int, Cell]] = field(default_factory=lambda: [_EMPTY] * 3)


class Cassandra:
    """A table of three columns beside its key."""

    def __init__(self) -> None:
        self._stored: dict[int, _Stored] = {}

    def apply(self, writes: Iterable[Write]) -> None:
        """Apply writes, in whatever order they come."""
        for write in writes:
            stored = self._stored.get(write.key)
            if stored is None:
                stored = self._stored[write.key] = _Stored()
            if write.cells is None:
                stored.deleted = max(stored.deleted, write.timestamp)
                continue
            stored.marker = max(stored.marker, write.timestamp)
            for at, value in enumerate(write.cells):
                if not isinstance(value, str):
                    stored.cells[at] = max(stored.cells[at], (write.timestamp, value), key=_weight)

    @property
    def known(self) -> list[int]:
        """Every key that was ever written."""
        return list(self._stored)

    def rows(self) -> dict[int, tuple[Cell, ...]]:
        """What a reader sees."""
        found = {}
        for key, stored in self._stored.items():
            cells = tuple(
                value if written > stored.deleted else None for written, value in stored.cells
            )
            if stored.marker > stored.deleted or any(each is not None for each in cells):
                found[key] = cells
        return found


def _weight(cell: tuple[int, Cell]) -> tuple[int, bool, int]:
    written, value = cell
    return written, value is None, value or 0


def insert(key: int, timestamp: int, row: Row, *, unchanged: bool) -> Write:
    """The write of a whole row; an unchanged large value is left alone."""
    return Write(key, timestamp, (*row[:2], UNSET) if unchanged else row)
