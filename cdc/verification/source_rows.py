"""PostgreSQL as verification reads it: digests of cells, rows of a cell, all rows, rows by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from cdc.mapping import Kind
from cdc.source import EPOCH, SourceDatabase
from cdc.times import MS_PER_HOUR
from cdc.verification.compare import Row
from cdc.verification.digest import Cells, Digest
from cdc.verification.selection import Selection
from cdc.verification.span import Span, cut, day_span, moment
from cdc.verification.target import Partitioner
from contracts.naming import SCHEMA

SLICE_BYTES = (
    8 << 20
)  # of a table that one statement digests: some 50,000 rows, a third of a second

_DAYS = """
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day, pg_relation_size(c.oid)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %s::regclass AND c.relname ~ '_p[0-9]{8}$' ORDER BY day
"""

Version = tuple[Row, str]  # a row and its xmin: equal versions are the same write


class SourceRows:
    """Reads of one route's source table. `reader`: a connection for digests and long streams."""

    def __init__(
        self, reader: SourceDatabase, source: SourceDatabase, selection: Selection
    ) -> None:
        self._reader = reader
        self._source = source
        self._selection = selection
        self._partitioner = Partitioner(selection)

    def slices(self, span: Span) -> Iterator[Span]:
        """The range in pieces that one statement each can digest, oldest first.

        Of a table that is retained by days, the days that it has.
        """
        source = self._selection.route.source
        if source.time is None:
            ((size, *held),) = self._source.query(self._selection.extent)
            yield from cut(span, Span(*held), -(-size // SLICE_BYTES))
            return
        for day, size in self._source.query(_DAYS, (f"{SCHEMA}.{source.table}",)):
            whole = day_span((day - EPOCH.date()).days)
            wanted = whole.common(span)
            if not wanted.empty:
                yield from cut(wanted, whole, -(-size // SLICE_BYTES))

    def digests(self, span: Span) -> Iterator[tuple[Row, Cells]]:
        """Cells of each Cassandra partition that should have rows in the range."""
        lines = self._reader.stream(self._selection.wire.digests, span.bounds)
        placed = (
            (
                self._partitioner.of_series(series, hour * MS_PER_HOUR),
                hour,
                Digest(rows, int(total)),
            )
            for *series, hour, rows, total in lines
        )
        for partition, cells in groupby(placed, key=lambda each: each[0]):
            yield partition, {hour: digest for _, hour, digest in cells}

    def of_cell(self, partition: Row, span: Span) -> Iterator[Row]:
        """Rows of a partition between two times, as Cassandra sorts them."""
        series = self._partitioner.series_of(partition)
        return self._source.stream(self._selection.of_cell, (*series, *span.bounds))

    def everything(self) -> Iterator[Row]:
        """All rows as Cassandra sorts them; of latest_* the newest of each key."""
        return self._reader.stream(self._selection.everything)

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
        yield moment(value) if kind is Kind.TIMESTAMP else value
