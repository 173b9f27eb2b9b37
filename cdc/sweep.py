"""After a new generation's snapshot: remove from Cassandra what PostgreSQL no longer has.

A snapshot brings no deletes. Once it is complete and applied in every topic partition, each row of
PostgreSQL has in Cassandra at least the snapshot's write timestamp, so a row that has an older one
was deleted while the slot was away, or is the ghost of an aborted snapshot. It is removed by its
own DELETE right below the snapshot:

    USING TIMESTAMP (generation << 56 | S << 6) - 1        S: the snapshot's LSN

which no row of the snapshot or of the stream can lose against, however wrong the choice of rows
were. Rows are told by WRITETIME, so PostgreSQL is not read again, and only what is extra becomes
a tombstone. Days that PostgreSQL does not hold, or has dropped once, are history: never touched.
A new cluster has dropped none, so those that only Cassandra has are recorded there as dropped.
Where many rows feed one (Order.DOMAIN), `generation << 56` is below all of the generation, and a
row whose time is of a live day is extra if that generation brought none of its key.
"""

# ruff: noqa: S608 - every name in a statement is a constant of cdc.routes

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import IO, Any

import msgspec
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import tuple_factory

from cdc.errors import SweepRefused, Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.mapping import Order, Route, Via
from cdc.position import LSN_STEP, Phase, event_timestamp, write_timestamp
from cdc.routes import ROUTES, SOURCES, routes_of
from cdc.source import EPOCH, SourceDatabase
from cdc.times import MS_PER_DAY

Row = tuple[Any, ...]

PARTITIONS_AT_ONCE = 32
IN_FLIGHT = 16
PAGE_ROWS = 2000
TIMEOUT_S = 60.0
KEYS_IN_MEMORY = 8 << 20  # bytes of extra keys; more of them wait in a temporary file
FEW_ROWS = 1000  # extra rows that are removed unasked, whatever their share
GREATEST_SHARE = 0.5  # extra rows of all that were looked at, beyond which a person is asked


@dataclass(kw_only=True)
class Swept:
    """What was looked at and removed of one table."""

    table: str
    rows: int = 0
    extra: int = 0
    removed: int = 0

    @property
    def suspicious(self) -> bool:
        """Whether so much is extra that PostgreSQL may not be what it should be."""
        return self.extra > max(FEW_ROWS, GREATEST_SHARE * self.rows)


Progress = Callable[[Swept], None]


def threshold(order: Order, generation: int, snapshot_lsn: int | None) -> int:
    """The write timestamp right below the snapshot's rows; below all of them where it had none."""
    if order is Order.DOMAIN:
        return event_timestamp(generation, 0) - 1
    return write_timestamp(generation, Phase.SNAPSHOT, snapshot_lsn or LSN_STEP, 0) - 1


def keep_history(session: Any, source: SourceDatabase) -> None:
    """Record as dropped the days that only Cassandra has: made again, they stay history.

    Before a snapshot begins, so that a day that is made from then on is not swept either.
    Unreachable.
    """
    today = (datetime.now(UTC) - EPOCH).days
    for table in (each.table for each in SOURCES if each.time):
        sweeps = (_TableSweep(session, route, 0, frozenset()) for route in routes_of(table))
        past = {day for each in sweeps for day in each.days() if 0 <= day < today}
        source.record_dropped_days(table, (EPOCH.date() + timedelta(day) for day in past))


def sweep(
    session: Any,
    source: SourceDatabase,
    generation: int,
    snapshot_lsn: int | None,
    *,
    anyway: bool = False,
    on_progress: Progress = lambda _: None,
) -> list[Swept]:
    """Remove what a generation's complete and applied snapshot does not have; by table.

    SweepRefused before anything is removed of a table of which most rows are extra, unless
    `anyway`; Unreachable.
    """
    keep_history(session, source)  # no resync began it, or the old generation still brought some
    done = []
    for route in ROUTES:
        live = None
        if route.source.time is not None:  # read now: the snapshot has all of them
            live = _since_epoch(source.live_days(route.source.table))
        below = threshold(route.order, generation, snapshot_lsn)
        done.append(_TableSweep(session, route, below, live).run(on_progress, anyway=anyway))
    return done


class _TableSweep:
    """One table. `live`: days since the epoch that PostgreSQL answers for, None for all time."""

    def __init__(self, session: Any, route: Route, below: int, live: frozenset[int] | None) -> None:
        self._session = session
        self._route = route
        self._below = below
        self._live = live
        self._profile = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory, request_timeout=TIMEOUT_S
        )

    def run(self, on_progress: Progress, *, anyway: bool) -> Swept:
        done = Swept(table=self._route.table)
        with tempfile.SpooledTemporaryFile(KEYS_IN_MEMORY) as keys, _speaking():
            for key, written in self._rows():
                done.rows += 1
                if written is None or written < self._below:
                    done.extra += 1
                    keys.write(msgspec.json.encode(key) + b"\n")
                if done.rows % PAGE_ROWS == 0:
                    on_progress(done)
            if done.suspicious and not anyway:
                raise SweepRefused(done.table, done.extra, done.rows)
            keys.seek(0)
            self._remove(keys, done, on_progress)
        on_progress(done)
        return done

    def days(self) -> set[int]:
        """Days since the epoch of its partitions; none where they have no bucket."""
        if self._bucket is None:
            return set()
        with _speaking():
            found = self._session.execute(self._all_partitions, execution_profile=self._profile)
            return {partition[self._bucket] // MS_PER_DAY for partition in found}

    def _rows(self) -> Iterator[tuple[Row, int | None]]:
        """(key, write timestamp) of each row of live days."""
        partitions = self._partitions()
        while chunk := list(islice(partitions, PARTITIONS_AT_ONCE)):
            for rows in self._concurrently(self._of_partition, chunk):
                for *key, at, written in rows:
                    if self._is_live(at):
                        yield tuple(key), written

    def _is_live(self, ms: int | None) -> bool:
        return self._live is None or (ms is not None and ms // MS_PER_DAY in self._live)

    def _partitions(self) -> Iterator[Row]:
        found = self._session.execute(self._all_partitions, execution_profile=self._profile)
        for partition in found:
            if self._bucket is None or self._is_live(partition[self._bucket]):
                yield partition

    def _remove(self, keys: IO[bytes], done: Swept, on_progress: Progress) -> None:
        while chunk := list(islice(keys, PAGE_ROWS)):
            bound = [(self._below, *msgspec.json.decode(line)) for line in chunk]
            for _ in self._concurrently(self._delete, bound):
                done.removed += 1
            on_progress(done)

    def _concurrently(self, statement: Any, bound: Iterable[Row]) -> Iterator[Any]:
        results = execute_concurrent_with_args(
            self._session,
            statement,
            list(bound),
            concurrency=IN_FLIGHT,
            execution_profile=self._profile,
        )
        return (each.result_or_exc for each in results)

    @cached_property
    def _all_partitions(self) -> Any:
        names = ", ".join(self._readable(name) for name in self._route.partition)
        return self._prepared(f"SELECT {names} FROM {self._route.table} PER PARTITION LIMIT 1")

    @cached_property
    def _of_partition(self) -> Any:
        time = self._route.source.time or self._route.key[-1]  # of all time: any column will do
        names = ", ".join(self._readable(name) for name in (*self._route.key, time))
        where = " AND ".join(f"{name} = ?" for name in self._route.partition)
        return self._prepared(
            f"SELECT {names}, writetime({self._witness}) FROM {self._route.table} WHERE {where}"
        )

    @cached_property
    def _delete(self) -> Any:
        where = " AND ".join(f"{name} = ?" for name in self._route.key)
        return self._prepared(f"DELETE FROM {self._route.table} USING TIMESTAMP ? WHERE {where}")

    def _prepared(self, statement: str) -> Any:
        prepared = self._session.prepare(statement)
        prepared.fetch_size = PAGE_ROWS
        prepared.is_idempotent = True
        return prepared

    def _readable(self, name: str) -> str:
        """A column of a key as bindable value: times as ms since the epoch."""
        timestamp = self._columns[name].cql == "timestamp"
        return f"to_unix_timestamp({name})" if timestamp else name

    @cached_property
    def _columns(self) -> dict[str, Any]:
        return {column.name: column for column in self._route.columns}

    @cached_property
    def _bucket(self) -> int | None:
        """Where a partition's key has the hour or day of its rows; None where they have none."""
        if self._live is None:
            return None
        buckets = [self._columns[name].via is Via.BUCKET for name in self._route.partition]
        return buckets.index(True) if any(buckets) else None

    @property
    def _witness(self) -> str:
        """A column that each row has: its write timestamp is the row's."""
        rest = [name for name in self._columns if name not in self._route.key]
        return "ingested_at_us" if "ingested_at_us" in rest else rest[0]


def _since_epoch(days: Iterable[date]) -> frozenset[int]:
    return frozenset((day - EPOCH.date()).days for day in days)


@contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error
