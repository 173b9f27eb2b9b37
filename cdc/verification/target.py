"""Cassandra as verification reads it: digests of partitions, their rows, rows by key, their list.

Rows have the columns of `Selection`, in its order. Several reads are under way at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import tuple_factory

from cdc.errors import Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.mapping import Bucket
from cdc.times import MS_PER_DAY, bucket_of_interval, bucket_start
from cdc.verification.compare import Row
from cdc.verification.digest import Cells, Hasher, add
from cdc.verification.pages import in_pages
from cdc.verification.selection import Selection
from cdc.verification.span import FIRST, Span

Session = Any  # cassandra.cluster.Session, which ships no types
Future = Any  # cassandra.cluster.ResponseFuture

PAGE_ROWS = 5000
KEYS_IN_FLIGHT = 64
TIMEOUT_S = 60.0
ATTEMPTS, WAIT_S = 5, 2.0  # a node that pauses for some seconds does not end a pass of hours
RING = Span(-(2**63), 2**63 - 1)  # Murmur3's
RING_PIECES = 32  # so that no single listing of partitions runs into the server's time limit

_LONGEST_DAYS = {
    Bucket.HOUR: 1 / 24,
    Bucket.DAY: 1,
    Bucket.MONTH: 32,
    Bucket.YEAR: 367,
    Bucket.DECADE: 3654,
}


class Partitioner:
    """Which Cassandra partition a row is in: its key's values, buckets as ms since the epoch."""

    def __init__(self, selection: Selection) -> None:
        route = selection.route
        at = {str(column.source): index for index, column in enumerate(selection.key)}
        columns = {column.name: column for column in route.columns}
        self._parts = tuple(
            (at[str(columns[name].source)], columns[name].bucket) for name in route.partition
        )
        self._clustering = tuple(at[str(columns[each.name].source)] for each in route.clustering)
        self._interval = at.get("interval", -1)
        self._buckets = tuple(columns[name].bucket for name in route.partition)
        names = [name for name in route.partition if columns[name].bucket is None]
        self._interval_in_series = names.index("interval") if "interval" in names else -1

    def partition(self, row: Row) -> Row:
        """The partition key of a row."""
        return tuple(
            [
                row[index]
                if bucket is None
                else self._start(bucket, row[self._interval], row[index])
                for index, bucket in self._parts
            ]
        )

    def of_series(self, series: Sequence[Any], ms: int) -> Row:
        """The partition of a series (its key without the bucket) at a time."""
        rest = iter(series)
        interval = series[self._interval_in_series]
        return tuple(
            next(rest) if bucket is None else self._start(bucket, interval, ms)
            for bucket in self._buckets
        )

    def series_of(self, partition: Row) -> Row:
        """A partition's key without its bucket."""
        parts = zip(partition, self._buckets, strict=True)
        return tuple(value for value, bucket in parts if bucket is None)

    def span_of(self, partition: Row) -> Span:
        """The time that a partition covers; all time where it has no bucket."""
        for value, bucket in zip(partition, self._buckets, strict=True):
            if bucket is not None:
                width = self._width(bucket, self.series_of(partition)[self._interval_in_series])
                after = value + round(_LONGEST_DAYS[width] * MS_PER_DAY)
                return Span(value, bucket_start(width, after))
        return Span()

    def whole_key(self, key: Row) -> Row:
        """The complete primary key of a row: its partition, then its clustering columns."""
        return (*self.partition(key), *(key[index] for index in self._clustering))

    def first_bucket(self, ms: int) -> int:
        """The earliest start of a bucket that may hold a time."""
        starts = {Bucket.DECADE if b is Bucket.BY_INTERVAL else b for b in self._buckets if b}
        return FIRST if ms <= FIRST else min(bucket_start(each, ms) for each in starts)

    def _start(self, bucket: Bucket, interval: Any, ms: int) -> int:
        return bucket_start(self._width(bucket, interval), ms)

    @staticmethod
    def _width(bucket: Bucket, interval: Any) -> Bucket:
        return bucket_of_interval(interval) if bucket is Bucket.BY_INTERVAL else bucket


class TargetRows:
    """Reads of one route's target table. `pages`: a session of cdc.verification.pages.

    Errors: Unreachable.
    """

    def __init__(self, session: Session, pages: Session, selection: Selection) -> None:
        self._session = session
        self._pages = pages
        self._selection = selection
        self._partitioner = Partitioner(selection)
        self._bucketed = selection.axis is not None
        self._profile = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory, request_timeout=TIMEOUT_S
        )
        self._paging = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=in_pages, request_timeout=TIMEOUT_S
        )
        with speaking():
            self._of_partition = self._prepare(selection.of_partition)
            self._of_key = self._prepare(selection.of_key)
            self._partitions = self._prepare(selection.partitions)
            if self._bucketed:
                self._hasher = Hasher(selection.wire)
                self._pages_of_cells = self._prepare(selection.pages_of_cells)
                self._rows_of_cells = self._prepare(selection.rows_of_cells)

    def _prepare(self, statement: str) -> Any:
        prepared = self._session.prepare(statement)
        prepared.fetch_size = PAGE_ROWS
        prepared.is_idempotent = True
        return prepared

    def start_digest(self, partition: Row, span: Span) -> Future:
        """Begin to read a partition between two times; `cells` digests it."""
        return self._pages.execute_async(
            self._pages_of_cells, (*partition, *span), execution_profile=self._paging
        )

    def cells(self, partition: Row, span: Span, future: Future) -> Cells:
        """Digests by hour of a partition that was started, and is again if its reading fails."""
        for attempt in range(ATTEMPTS):
            try:
                return self._cells(future)
            except Unreachable:
                if attempt == ATTEMPTS - 1:
                    raise
            time.sleep(WAIT_S)
            future = self.start_digest(partition, span)
        raise AssertionError("the last attempt returns or raises")

    def _cells(self, future: Future) -> Cells:
        cells: Cells = {}
        with speaking():
            for page in future.result():
                add(cells, self._hasher.cells(*page.take()))
        return cells

    def of_cell(self, partition: Row, span: Span) -> Iterator[Row]:
        """Rows of a partition between two times."""
        values = (*partition, *span)
        with speaking():
            yield from self._session.execute(
                self._rows_of_cells, values, execution_profile=self._profile
            )

    def start(self, partition: Row) -> Future:
        """Begin to read a whole partition; `rows` gives what it holds."""
        return self._session.execute_async(
            self._of_partition, partition, execution_profile=self._profile
        )

    @staticmethod
    def rows(future: Future) -> Iterator[Row]:
        """Rows of a partition that was started, page after page."""
        with speaking():
            yield from future.result()

    def by_keys(self, keys: Sequence[Row]) -> dict[Row, Row]:
        """Rows of these keys that exist."""
        width = self._selection.order.width
        with speaking():
            results = execute_concurrent_with_args(
                self._session,
                self._of_key,
                [self._partitioner.whole_key(key) for key in keys],
                concurrency=KEYS_IN_FLIGHT,
                execution_profile=self._profile,
            )
            rows = [row for result in results for row in result.result_or_exc]
        return {row[:width]: row for row in rows}

    def partitions(self, span: Span) -> Iterator[tuple[Span, Row]]:
        """Every partition that may hold rows of a range, with the time that it covers."""
        buckets = (self._partitioner.first_bucket(span.start), span.end) if self._bucketed else ()
        width = (RING.end - RING.start) // RING_PIECES
        for number in range(RING_PIECES):
            after = RING.start + number * width
            to = RING.end if number == RING_PIECES - 1 else after + width
            with speaking():
                found = self._session.execute(
                    self._partitions, (after, to, *buckets), execution_profile=self._profile
                )
                for partition in found:
                    yield self._partitioner.span_of(partition), partition


@contextmanager
def speaking() -> Iterator[None]:
    """The driver's failures as Unreachable."""
    try:
        yield
    except DRIVER_FAILURES as error:
        text = " ".join(str(error).split())[:200]
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}: {text}") from error
