"""Cassandra as verification reads it: partitions in pages, single rows, the list of partitions.

Rows have the columns of `Selection`, in its order. Reads only; several are under way at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import tuple_factory

from cdc.errors import Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.mapping import Bucket, Via
from cdc.times import bucket_of_interval, bucket_start
from cdc.verification.compare import Row
from cdc.verification.selection import Selection

Session = Any  # cassandra.cluster.Session, which ships no types
Future = Any  # cassandra.cluster.ResponseFuture

PAGE_ROWS = 5000
KEYS_IN_FLIGHT = 64
TIMEOUT_S = 60.0


class Partitioner:
    """Which Cassandra partition a row is in: its key's values, buckets as ms since the epoch."""

    def __init__(self, selection: Selection) -> None:
        route = selection.route
        at = {str(column.source): index for index, column in enumerate(selection.key)}
        columns = {column.name: column for column in route.columns}
        self._parts = tuple(
            (at[str(columns[name].source)], columns[name].bucket) for name in route.partition
        )
        self._interval = at.get("interval", -1)
        self._clustering = tuple(at[str(columns[each.name].source)] for each in route.clustering)
        self._bucketed = any(columns[name].via is Via.BUCKET for name in route.partition)

    def partition(self, row: Row) -> Row:
        """The partition key of a row."""
        if not self._bucketed:
            return tuple([row[index] for index, _ in self._parts])
        return tuple(
            [
                row[index] if bucket is None else self._start(bucket, row, row[index])
                for index, bucket in self._parts
            ]
        )

    def whole_key(self, key: Row) -> Row:
        """The complete primary key of a row: its partition, then its clustering columns."""
        return (*self.partition(key), *(key[index] for index in self._clustering))

    def _start(self, bucket: Bucket, row: Row, ms: int) -> int:
        if bucket is Bucket.BY_INTERVAL:
            bucket = bucket_of_interval(row[self._interval])
        return bucket_start(bucket, ms)


class Target:
    """Reads of one route's target table. Errors: Unreachable."""

    def __init__(self, session: Session, selection: Selection) -> None:
        self._session = session
        self._selection = selection
        self._partitioner = Partitioner(selection)
        self._profile = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory, request_timeout=TIMEOUT_S
        )
        with _speaking():
            self._of_partition = self._prepare(selection.of_partition)
            self._of_key = self._prepare(selection.of_key)
            self._partitions = self._prepare(selection.partitions)

    def _prepare(self, statement: str) -> Any:
        prepared = self._session.prepare(statement)
        prepared.fetch_size = PAGE_ROWS
        prepared.is_idempotent = True
        return prepared

    def start(self, partition: Row) -> Future:
        """Begin to read a partition; `rows` gives what it holds."""
        return self._session.execute_async(
            self._of_partition, partition, execution_profile=self._profile
        )

    @staticmethod
    def rows(future: Future) -> Iterator[Row]:
        """Rows of a partition that was started, page after page."""
        with _speaking():
            yield from future.result()

    def by_keys(self, keys: Sequence[Row]) -> dict[Row, Row]:
        """Rows of these keys that exist."""
        width = self._selection.order.width
        with _speaking():
            results = execute_concurrent_with_args(
                self._session,
                self._of_key,
                [self._partitioner.whole_key(key) for key in keys],
                concurrency=KEYS_IN_FLIGHT,
                execution_profile=self._profile,
            )
            rows = [row for result in results for row in result.result_or_exc]
        return {row[:width]: row for row in rows}

    def partitions(self) -> Iterator[Row]:
        """Key of every partition of the table."""
        with _speaking():
            yield from self._session.execute(self._partitions, execution_profile=self._profile)


@contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except DRIVER_FAILURES as error:
        text = " ".join(str(error).split())[:200]
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}: {text}") from error
