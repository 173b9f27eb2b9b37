"""Digests of what Cassandra answers: rows and sum of 64 bits of each row's md5, by hour.

The bytes of a page are hashed as they come (cdc.verification.wire); nothing is decoded but lengths
and the time that names the hour. A sum does not depend on the order of its rows. Pure.
"""

from __future__ import annotations

from hashlib import md5
from struct import Struct
from typing import NamedTuple

from cdc.times import MS_PER_HOUR
from cdc.verification.wire import Wire

_length = Struct(">i").unpack_from
_to_int = int.from_bytes


class Digest(NamedTuple):
    """Of a cell's rows, in whatever order."""

    rows: int
    sum: int


Cells = dict[int, Digest]  # by hour since the epoch

EMPTY = Digest(0, 0)


class Hasher:
    """Digests the pages of one route."""

    def __init__(self, wire: Wire) -> None:
        self._head = wire.head
        self._lengths = wire.lengths
        self._fixed = wire.fixed
        self._variable = len(wire.columns) - wire.fixed

    def cells(self, rows: int, body: bytes) -> Cells:
        """Digests of a page that holds that many rows."""
        sums: dict[int, int] = {}
        counts: dict[int, int] = {}
        unpack, lengths, size = self._head.unpack_from, list(self._lengths), self._head.size
        padded = body + bytes(size)  # the last row may be shorter than a head without NULLs
        at = 0
        for _ in range(rows):
            start = at
            time, *found = unpack(padded, at)
            at = at + size if found == lengths else self._passed(body, at, self._fixed)
            for _ in range(self._variable):
                length = _length(body, at)[0]
                at += 4 + length if length > 0 else 4
            digest = md5(body[start:at], usedforsecurity=False).digest()
            hour = time // MS_PER_HOUR
            sums[hour] = sums.get(hour, 0) + _to_int(digest[:8], "big", signed=True)
            counts[hour] = counts.get(hour, 0) + 1
        return {hour: Digest(counts[hour], total) for hour, total in sums.items()}

    @staticmethod
    def _passed(body: bytes, at: int, columns: int) -> int:
        """Where the columns end that begin at `at`."""
        for _ in range(columns):
            length = _length(body, at)[0]
            at += 4 + length if length > 0 else 4
        return at


def add(cells: Cells, more: Cells) -> None:
    """Add the digests of another page."""
    for hour, digest in more.items():
        rows, total = cells.get(hour, EMPTY)
        cells[hour] = Digest(rows + digest.rows, total + digest.sum)
