"""Thousands of rows of a table at once, by COPY; they end as `upserts` would have it.

Two ways lead there. COPY **straight** into the table writes each row once; it knows no ON CONFLICT,
so one key that is there already undoes it. COPY into a temporary twin and an upsert of it takes any
rows, and costs the server twice as much: each row is written, read, looked up and written again.
Almost all bulk rows are history that nobody has, and what is there is mostly all there, or reaches
into one end. So a sample of the keys is looked up first. Where none of it is there, COPY goes
straight, under a savepoint; whatever PostgreSQL refuses then (a key that the sample missed, one
that somebody else commits meanwhile, a value, a partition) is left to the other way to say.

From the twin rows go by MERGE where they may take the place of others, under a savepoint as well:
it neither locks nor writes for rows that change nothing. INSERT … ON CONFLICT has the last word.

What was copied in vain stays behind as dead rows until vacuum. A sample that misses means few keys
or ones in a row; COPY ends at the first of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import TypeVar

import msgspec

from ingest import upserts
from ingest.errors import RowsRefused
from ingest.session import Cursor, keeping_on
from ingest.tables import metadata

Row = TypeVar("Row", bound=msgspec.Struct)

MANY = 200  # rows from which the look at a sample is worth its round trips
SAMPLED = 16  # keys, evenly spaced, the last besides


def load(cursor: Cursor, table: str, rows: Sequence[msgspec.Struct]) -> int:
    """Upsert rows; how many were inserted or really changed."""
    ordered = in_order(table, rows)
    if len(ordered) >= MANY and not _any_there(cursor, table, ordered):
        done = keeping_on(cursor, lambda: _copy(cursor, table, table, ordered))
        if not isinstance(done, RowsRefused):
            return done
    cursor.execute(upserts.make_stage(table))
    _copy(cursor, upserts.stage(table), table, ordered)
    if len(ordered) >= MANY and upserts.is_upserted(table):
        done = keeping_on(cursor, lambda: _changed(cursor, upserts.merge_stage(table)))
        if not isinstance(done, RowsRefused):
            return done
    return _changed(cursor, upserts.from_stage(table))


def in_order(table: str, rows: Sequence[Row]) -> list[Row]:
    """The rows in the order of the key: two writers of the same rows then cannot deadlock.

    A pass for each column, the last first: a column that is in order already costs next to nothing,
    and comparing values of one type is far cheaper than comparing keys.
    """
    ordered = list(rows)
    for name in reversed(_key(table)):
        ordered.sort(key=attrgetter(name))
    return ordered


def _any_there(cursor: Cursor, table: str, rows: Sequence[msgspec.Struct]) -> bool:
    key_of = attrgetter(*_key(table))
    sample = {key_of(row) for row in (*rows[:: -(-len(rows) // SAMPLED)], rows[-1])}
    cursor.execute(_look(table), {"keys": tuple(sample)})
    return cursor.fetchone() is not None


def _copy(cursor: Cursor, target: str, table: str, rows: Sequence[msgspec.Struct]) -> int:
    cursor.copy_expert(upserts.copy_into(target, table), _Parts(upserts.as_csv(table, rows)))
    return cursor.rowcount


def _changed(cursor: Cursor, statement: str) -> int:
    cursor.execute(statement)
    return cursor.rowcount


@cache
def _key(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in metadata.tables[table].primary_key)


@cache
def _look(table: str) -> str:
    names = ", ".join(f'"{name}"' for name in _key(table))
    return f"SELECT FROM {table} WHERE ({names}) IN %(keys)s LIMIT 1"


class _Parts(io.RawIOBase):
    """What COPY reads from: each read takes the next part, whatever its size."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts

    def read(self, _size: int = -1, /) -> bytes:
        """The next part; empty at the end."""
        return next(self._parts, b"")
