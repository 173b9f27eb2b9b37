"""The partitions that Cassandra has, in order of time; on disk, so that memory does not grow.

Cassandra lists partitions in the order of their hashes, PostgreSQL is read in the order of time. A
table of SQLite in an unnamed temporary file, which vanishes with us, brings one into the other's.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Self

from cdc.verification.compare import Row
from cdc.verification.span import Span


class Roster:
    """Keys of partitions by the time that each covers."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("")  # a temporary file; the cache in memory holds 2 MB of it
        self._table.execute("CREATE TABLE partitions (start INTEGER, end INTEGER, key TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def fill(self, partitions: Iterable[tuple[Span, Row]]) -> int:
        """Take in the partitions; how many there are."""
        rows = ((span.start, span.end, json.dumps(key)) for span, key in partitions)
        count = self._table.executemany("INSERT INTO partitions VALUES (?, ?, ?)", rows).rowcount
        self._table.execute("CREATE INDEX by_start ON partitions (start)")
        return max(0, count)

    def within(self, span: Span) -> Iterator[Row]:
        """The partitions that may hold rows of that range."""
        found = self._table.execute(
            "SELECT key FROM partitions WHERE start < ? AND end > ? ORDER BY start",
            (span.end, span.start),
        )
        for (key,) in found:
            yield tuple(json.loads(key))
