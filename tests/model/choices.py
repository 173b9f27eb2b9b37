"""The decisions of a history, read from bytes: where they end, and where they are 0, the simplest.

One draw of bytes costs Hypothesis little, however long a history is, and shortening or zeroing
them makes the history simpler: so a failing one shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")

SIZE = 512  # bytes of a usual history


class Choices:
    """A reader of decisions.

    `random` decides what has no structure worth shrinking: the order of independent things. It is
    seeded by the first two bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 2
        self.random = Random(data[:2])

    def below(self, limit: int) -> int:
        """A number in 0…limit − 1, of one byte, or two from 257 on."""
        taken = self._data[self._at : self._at + (1 if limit <= 256 else 2)]
        self._at += len(taken)
        return int.from_bytes(taken) % limit

    def one_in(self, chances: int) -> bool:
        """True once in so many; the simplest is no."""
        return self.below(chances) == chances - 1

    def pick(self, options: Sequence[T]) -> T:
        """One of some options; the simplest is the first."""
        return options[self.below(len(options))]

    @property
    def left(self) -> bool:
        """Whether there are bytes left to decide by."""
        return self._at < len(self._data)
