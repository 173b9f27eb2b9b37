"""Two sorted streams of rows, compared value for value in constant memory.

A row is a tuple that starts with its key; both sides give the same columns in the same order as the
same Python values, so that a comparison of two tuples (done in C) is the comparison of two rows.
Decimals compare as numbers, exactly: 1.0 equals 1.00, and differs from 1.000000000000000001.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

Row = tuple[Any, ...]
P = TypeVar("P", bound=Hashable)


class Kind(StrEnum):
    """How PostgreSQL and Cassandra differ in a row."""

    MISSING = "missing"  # in PostgreSQL only
    EXTRA = "extra"  # in Cassandra only
    DIFFERENT = "different"  # in both, with other values


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs, by its key."""

    kind: Kind
    key: Row


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """How keys are sorted: one direction a key column, `True` where descending."""

    descending: tuple[bool, ...]

    @property
    def width(self) -> int:
        """Number of leading columns that are the key."""
        return len(self.descending)

    def before(self, left: Row, right: Row) -> bool:
        """Whether key `left` stands before key `right`; both have `width` columns."""
        for down, a, b in zip(self.descending, left, right, strict=True):
            if a != b:
                return bool(a > b) if down else bool(a < b)
        return False


def differences(
    source: Iterable[Row], target: Iterable[Row], order: KeyOrder
) -> Iterator[Difference]:
    """Rows that are not the same on both sides, in key order; each stream is read once."""
    width = order.width
    rows, others = iter(source), iter(target)
    left, right = next(rows, None), next(others, None)
    while left is not None and right is not None:
        if left == right:
            left, right = next(rows, None), next(others, None)
            continue
        left_key, right_key = left[:width], right[:width]
        if left_key == right_key:
            yield Difference(Kind.DIFFERENT, left_key)
            left, right = next(rows, None), next(others, None)
        elif order.before(left_key, right_key):
            yield Difference(Kind.MISSING, left_key)
            left = next(rows, None)
        else:
            yield Difference(Kind.EXTRA, right_key)
            right = next(others, None)
    while left is not None:
        yield Difference(Kind.MISSING, left[:width])
        left = next(rows, None)
    while right is not None:
        yield Difference(Kind.EXTRA, right[:width])
        right = next(others, None)


def read_ahead(
    pairs: Iterable[tuple[P, Row]], start: Callable[[P], None], rows: int, partitions: int
) -> Iterator[tuple[P, Row]]:
    """Yield (partition, row) pairs as they come, but pull ahead and `start` each partition early.

    At most `rows` rows and about `partitions` partitions are ahead; equal partitions are adjacent.
    """
    waiting: deque[tuple[P, Row]] = deque()
    ahead: deque[P] = deque()  # partitions started and not yet reached by the reader
    newest: P | None = None
    reached: P | None = None
    source = iter(pairs)
    pair = next(source, None)
    while pair is not None or waiting:
        while pair is not None and len(waiting) < rows and len(ahead) < partitions:
            if pair[0] != newest:
                newest = pair[0]
                ahead.append(newest)
                start(newest)
            waiting.append(pair)
            pair = next(source, None)
        first = waiting.popleft()
        if first[0] != reached:
            reached = first[0]
            ahead.popleft()
        yield first
