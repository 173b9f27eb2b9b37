"""To send rows again, touch them: a no-op UPDATE in PostgreSQL, as tidemark_repair.

The row travels through the WAL like any change, at a new position: that heals a missing or
different row in Cassandra, and carries a new column's values of old rows, while everything flows.
The UPDATE sets the first key column, by which no table is partitioned, to itself: no row moves, no
value changes. A chunk is one short statement in a transaction of its own. A row that others change
meanwhile is touched in its newest version, or was sent by their change.
"""

# ruff: noqa: S608 - names come from cdc.routes, values are bound; a condition is its author's SQL

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Self

from cdc.errors import BadCondition, Contended
from cdc.mapping import Kind, Source
from cdc.settings import CdcSettings
from cdc.source import EPOCH, Row, SourceDatabase, blaming
from contracts.naming import SCHEMA, Role

CHUNK_ROWS = 1000
LOCK_PATIENCE_S = 5
CHECK_PATIENCE_S = 5
ATTEMPTS = 10  # of a chunk whose rows others hold

PG_TYPE = {
    Kind.TEXT: "text",
    Kind.BIGINT: "bigint",
    Kind.INT: "int",
    Kind.TIMESTAMP: "timestamptz",
}

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")

Progress = Callable[[int], None]  # rows touched so far


class Healer:
    """A connection that touches rows.

    Errors: BadCondition, Contended, Unreachable, AccessDenied.
    """

    def __init__(self, settings: CdcSettings) -> None:
        self._source = SourceDatabase(settings, Role.REPAIR)
        self._source.query(f"SET lock_timeout = '{LOCK_PATIENCE_S}s'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def touch_keys(
        self, source: Source, keys: Sequence[Row], columns: Sequence[str] | None = None
    ) -> int:
        """Touch the rows of these keys; how many there were.

        A key holds the values of `columns` (the source's key, in its order, by default); times are
        ms since the epoch.
        """
        names = source.key if columns is None else columns
        statement = by_keys_sql(source, names)
        touched = 0
        for start in range(0, len(keys), CHUNK_ROWS):
            chunk = [_bindable(source, names, key) for key in keys[start : start + CHUNK_ROWS]]
            touched += len(_patiently(self._source.rows_of, statement, chunk))
        return touched

    def touch_where(
        self,
        source: Source,
        where: str | None = None,
        chunk_rows: int = CHUNK_ROWS,
        on_progress: Progress = lambda _: None,
    ) -> int:
        """Touch every row, or those for which an SQL condition is true; how many there were."""
        self.check(source, where)
        touched = 0
        days = [None] if source.time is None else self._source.days(source.table)
        for day in days:
            with blaming(where):
                for count in self._pages(source, where, day, chunk_rows):
                    touched += count
                    on_progress(touched)
        return touched

    def check(self, source: Source, where: str | None) -> None:
        """BadCondition where PostgreSQL does not take the condition; it is planned, not run."""
        if where is None:
            return
        if ";" in _QUOTED.sub("", where):
            raise BadCondition("--where takes one SQL condition, without a semicolon")
        probe = (
            f"SET LOCAL statement_timeout = '{CHECK_PATIENCE_S}s'; SET TRANSACTION READ ONLY; "
            f'EXPLAIN SELECT FROM {SCHEMA}."{source.table}" t '
            f"WHERE CASE WHEN {_escaped(where)}\nTHEN true END"
        )
        with blaming(where):  # CASE, since parentheses might be closed and opened again
            self._source.query(probe)

    def estimated_rows(self, source: Source) -> int:
        """The planner's idea of the whole table's rows."""
        return self._source.estimated_rows(source.table)

    def _pages(
        self, source: Source, where: str | None, day: date | None, chunk_rows: int
    ) -> Iterator[int]:
        """Touch page after page in the key's order; yields the rows touched of each."""
        bounds = [] if day is None else _bounds(day)
        last: list[str] = []
        while True:
            statement = page_sql(source, where, of_day=bool(bounds), goes_on=bool(last))
            found = _patiently(self._source.query, statement, [*bounds, *last, chunk_rows, *bounds])
            if not found:
                return
            touched, read, *last = found[0]
            yield touched
            if read < chunk_rows:
                return


def page_sql(source: Source, where: str | None, *, of_day: bool, goes_on: bool) -> str:
    """SQL that touches the next page of a table, or of one of its days.

    Bind [day's start, its end], [last key as texts], page size, [day's start, its end]. Its row:
    touched, read, then the page's last key as texts; no row where the page is empty.
    """
    names = [f'"{name}"' for name in source.key]
    ordered, backwards = ", ".join(names), ", ".join(f"{name} DESC" for name in names)
    wanted = [f't."{source.time}" >= %s AND t."{source.time}" < %s'] if of_day else []
    same = " AND ".join([f"t.{name} = page.{name}" for name in names] + wanted)
    if goes_on:
        places = ", ".join(f"%s::{PG_TYPE[source.field_of(name).kind]}" for name in source.key)
        wanted = [*wanted, f"({ordered}) > ({places})"]
    if where is not None:
        wanted = [*wanted, _condition(where)]
    return (
        f'WITH page AS MATERIALIZED (SELECT {ordered} FROM {SCHEMA}."{source.table}" t '
        f"WHERE {' AND '.join(wanted) or 'true'} ORDER BY {ordered} LIMIT %s), "
        f'touched AS (UPDATE {SCHEMA}."{source.table}" t SET {names[0]} = t.{names[0]} '
        f"FROM page WHERE {same} RETURNING 1) "
        f"SELECT (SELECT count(*) FROM touched), (SELECT count(*) FROM page), "
        f"{', '.join(f'{name}::text' for name in names)} "
        f"FROM page ORDER BY {backwards} LIMIT 1"
    )


def by_keys_sql(source: Source, columns: Sequence[str]) -> str:
    """SQL that touches the rows of keys given as `VALUES %s`; a row for each one touched."""
    names = [f'"{name}"' for name in columns]
    same = " AND ".join(
        f't."{name}" = k."{name}"::{PG_TYPE[source.field_of(name).kind]}' for name in columns
    )
    return (
        f'UPDATE {SCHEMA}."{source.table}" t SET "{source.key[0]}" = t."{source.key[0]}" '
        f"FROM (VALUES %s) AS k ({', '.join(names)}) WHERE {same} RETURNING 1"
    )


def _condition(where: str) -> str:
    """A condition inside a statement; a comment in it ends with its line."""
    return f"({_escaped(where)}\n)"


def _escaped(where: str) -> str:
    return where.replace("%", "%%")  # which the driver would take for a placeholder


def _bindable(source: Source, columns: Sequence[str], key: Row) -> Row:
    return tuple(
        EPOCH + timedelta(milliseconds=value)
        if source.field_of(name).kind is Kind.TIMESTAMP
        else value
        for name, value in zip(columns, key, strict=True)
    )


def _bounds(day: date) -> list[datetime]:
    start = datetime.combine(day, time(), tzinfo=UTC)
    return [start, start + timedelta(days=1)]


def _patiently(
    run: Callable[[str, Sequence[Any]], list[Row]], statement: str, values: Sequence[Any]
) -> list[Row]:
    """Run a statement again while its rows are held: a chunk that failed has touched nothing."""
    for _ in range(ATTEMPTS - 1):
        try:
            return run(statement, values)
        except Contended:
            continue
    return run(statement, values)
