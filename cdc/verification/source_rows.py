"""PostgreSQL as verification reads it: rows of one route, sorted or by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from cdc.mapping import Kind
from cdc.source import EPOCH, SourceDatabase
from cdc.verification.compare import Row
from cdc.verification.selection import Selection

Version = tuple[Row, str]  # a row and its xmin: equal versions are the same write


class SourceRows:
    """Reads of one route's source table. `reader`: the connection for streams."""

    def __init__(
        self, reader: SourceDatabase, source: SourceDatabase, selection: Selection
    ) -> None:
        self._reader = reader
        self._source = source
        self._selection = selection

    def stream(self, day: date | None = None) -> Iterator[Row]:
        """Rows sorted as Cassandra sorts, of one day or all."""
        if day is None:
            return self._reader.stream(self._selection.everything)
        bounds = (_start(day), _start(day + timedelta(days=1)))
        return self._reader.stream(self._selection.day, bounds)

    def by_keys(self, keys: Sequence[Row]) -> dict[Row, Version]:
        """Rows of these keys that exist, with their versions."""
        bound = [tuple(_bindable(self._selection, key)) for key in keys]
        rows = self._source.rows_of(self._selection.by_keys, bound)
        width = self._selection.order.width
        return {row[:width]: (row[:-1], row[-1]) for row in rows}


def _bindable(selection: Selection, key: Row) -> Iterator[object]:
    """Key values as PostgreSQL takes them: times are ms since the epoch in rows."""
    for column, value in zip(selection.key, key, strict=True):
        kind = selection.route.source.field_of(str(column.source)).kind
        yield EPOCH + timedelta(milliseconds=value) if kind is Kind.TIMESTAMP else value


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
