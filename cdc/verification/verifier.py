"""Prove that Cassandra equals what PostgreSQL retains: row for row, value for value, in flight.

For each route: PostgreSQL's rows stream by in Cassandra's order, each Cassandra partition is read
beside them, rows that are not equal become candidates (judged at a fence), and
partitions that only Cassandra has are looked at last. Memory does not grow with rows; it holds a
key per partition of the table's retained range.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from cdc import keyspace, state
from cdc.connector import ConnectClient
from cdc.fence import Fence
from cdc.mapping import Order, Route
from cdc.routes import ROUTES, SOURCES
from cdc.settings import CdcSettings
from cdc.source import EPOCH, SourceDatabase
from cdc.times import MS_PER_DAY
from cdc.topics import Topics
from cdc.verification.compare import Difference, Kind, Row, differences, read_ahead
from cdc.verification.recheck import Sides, settle
from cdc.verification.report import Report, TableReport
from cdc.verification.selection import Selection
from cdc.verification.source_rows import SourceRows
from cdc.verification.target import Partitioner, Target
from contracts.naming import Role, topic_of

ROWS_AHEAD = 10_000
PARTITIONS_AHEAD = 16
CANDIDATES = 5_000  # judged at one fence
PROGRESS_ROWS = 20_000

Progress = Callable[[TableReport], None]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Both stores and the fence between them. A stream needs a connection of its own."""

    reader: SourceDatabase
    source: SourceDatabase
    session: Any
    fence: Fence


def verify(
    settings: CdcSettings,
    tables: Sequence[str] = (),
    on_progress: Progress = lambda _: None,
    limit_keys: int = 20,
) -> Report:
    """Compare target tables (all by default; a source's name stands for each of its targets).

    Errors: KeyError of an unknown table, FenceTimeout, SchemaMismatch, Unreachable,
    AccessDenied.
    """
    routes = routes_named(tables)
    with ExitStack() as stack:
        stores = open_stores(settings, stack)
        report = Report(fence=stores.fence.wait())
        for route in routes:
            comparison = Comparison(stores, route, on_progress, settings.verify_rounds, limit_keys)
            report.tables.append(comparison.run())
    return report


def routes_named(tables: Sequence[str]) -> list[Route]:
    """Routes of these target or source tables, in their declared order; KeyError of others."""
    known = {each.table for each in ROUTES} | {each.source.table for each in ROUTES}
    for table in tables:
        if table not in known:
            raise KeyError(table)
    return [
        each for each in ROUTES if not tables or each.table in tables or each.source.table in tables
    ]


def open_stores(settings: CdcSettings, stack: ExitStack) -> Stores:
    """Connect to everything; `stack` closes it."""
    source = stack.enter_context(SourceDatabase(settings))
    session = keyspace.connect(settings, Role.READER)
    stack.callback(session.cluster.shutdown)
    keyspace.check_migrated(session)
    connect = stack.enter_context(ConnectClient(settings))
    topics = stack.enter_context(Topics(settings))
    names = [topic_of(each.table, settings.generation) for each in SOURCES]

    def commit_lsn() -> int | None:
        stored = connect.offsets()
        return None if stored is None else stored.lsn_commit

    return Stores(
        reader=stack.enter_context(SourceDatabase(settings)),
        source=source,
        session=session,
        fence=Fence(
            source=source,
            commit_lsn=commit_lsn,
            watermarks=lambda: topics.end_offsets(names),
            acknowledged=lambda: state.positions(session, settings.sink_group),
            timeout_s=settings.fence_timeout_s,
        ),
    )


class Comparison:
    """The comparison of one route."""

    def __init__(
        self, stores: Stores, route: Route, on_progress: Progress, rounds: int, limit_keys: int
    ) -> None:
        self._stores = stores
        self._route = route
        self._selection = Selection(route)
        self._partitioner = Partitioner(self._selection)
        self._rows = SourceRows(stores.reader, stores.source, self._selection)
        self._target = Target(stores.session, self._selection)
        self._on_progress = on_progress
        self._rounds = rounds
        self._limit = limit_keys
        self._time = self._selection.time_index
        self._live = self._live_days()
        self.report = TableReport(
            table=route.table,
            source=route.source.table,
            columns=tuple(column.name for column in self._selection.key),
        )

    def run(self) -> TableReport:
        """Compare everything and return the report."""
        started = time.monotonic()
        candidates = self._candidates()
        while chunk := list(islice(candidates, CANDIDATES)):
            self._judge(chunk)
        self.report.seconds = time.monotonic() - started
        self._on_progress(self.report)
        return self.report

    def _live_days(self) -> frozenset[int] | None:
        """Days since the epoch that PostgreSQL answers for; None: for all time."""
        if self._route.source.time is None:
            return None
        days = self._stores.source.live_days(self._route.source.table)
        return frozenset((day - EPOCH.date()).days for day in days)

    def _is_live(self, ms: int) -> bool:
        return self._live is None or ms // MS_PER_DAY in self._live

    def _candidates(self) -> Iterator[Row]:
        """Keys of rows that look different; each partition that PostgreSQL has, then the others."""
        seen: set[Row] = set()
        for rows in self._streams():
            yield from self._beside(rows, seen)
        for partition in self._target.partitions():
            if partition not in seen and self._holds_live_rows(partition):
                rest = self._target.rows(self._target.start(partition))
                yield from self._keys(differences((), rest, self._selection.order))

    def _streams(self) -> Iterator[Iterator[Row]]:
        """PostgreSQL's rows in sorted streams: short ones, a day each, where days are kept."""
        source = self._route.source
        if source.time is None or not self._route.one_to_one:
            yield self._rows.stream()
            return
        for day in self._stores.reader.days(source.table):
            yield self._rows.stream(day)

    def _beside(self, rows: Iterator[Row], seen: set[Row]) -> Iterator[Row]:
        """Compare a stream with its Cassandra partitions, which are read ahead of it."""
        under_way: dict[Row, Any] = {}

        def start(partition: Row) -> None:
            under_way[partition] = self._target.start(partition)

        placed = ((self._partitioner.partition(row), row) for row in self._counted(rows))
        ahead = read_ahead(placed, start, ROWS_AHEAD, PARTITIONS_AHEAD)
        for partition, group in groupby(ahead, key=itemgetter(0)):
            seen.add(partition)
            held = self._target.rows(under_way.pop(partition))
            found = differences((row for _, row in group), held, self._selection.order)
            yield from self._keys(found)

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.report.rows += 1
            if self.report.rows % PROGRESS_ROWS == 0:
                self._on_progress(self.report)
            yield row

    def _keys(self, found: Iterator[Difference]) -> Iterator[Row]:
        """Keys of candidates, without the extra rows of a day that was dropped and made again."""
        width = self._selection.order.width
        at = self._time if self._time is not None and self._time < width else None
        for difference in found:
            extra = difference.kind is Kind.EXTRA
            if not (extra and at is not None and not self._is_live(difference.key[at])):
                self.report.candidates += 1
                yield difference.key

    def _holds_live_rows(self, partition: Row) -> bool:
        if self._live is None or not self._route.one_to_one:
            return True
        return self._is_live(partition[-1])  # the bucket, by convention of the routes

    def _judge(self, keys: list[Row]) -> None:
        sides = Sides(
            source=self._rows.by_keys,
            fence=self._stores.fence.wait,
            target=self._target.by_keys,
            forgotten=self._forgotten,
        )
        settled = settle(keys, sides, self._rounds)
        for difference in settled.differences:
            self.report.add(difference, self._limit)
        for key in settled.unsettled:
            self.report.add_unsettled(key, self._limit)

    def _forgotten(self, source: Row | None, target: Row | None) -> bool:
        """Whether Cassandra's row is of a day that PostgreSQL no longer answers for.

        The newest row of a key (Order.DOMAIN) may be of such a day while an older one is retained.
        """
        if target is None or self._time is None:
            return False
        if source is not None and self._route.order is Order.POSITION:
            return False
        self._live = self._live_days()
        return not self._is_live(target[self._time])
