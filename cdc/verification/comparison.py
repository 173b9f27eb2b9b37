"""The comparison of one route: what looks different, then what truly is.

Of a route with buckets, PostgreSQL digests hour by hour in SQL, the same partitions of Cassandra
are read beside it and digested here, and only cells that differ are read again row by row.
Partitions that only Cassandra has come from its own list. A route without buckets holds the newest
state, which changes all the while, in a few partitions: its rows are compared at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any

from cdc.fence import Fence
from cdc.mapping import Order, Route
from cdc.source import EPOCH, SourceDatabase
from cdc.times import MS_PER_DAY
from cdc.verification.compare import Difference, Kind, Row, differences, read_ahead
from cdc.verification.digest import EMPTY, Cells
from cdc.verification.pace import Pace
from cdc.verification.recheck import Settled, Sides, settle
from cdc.verification.report import TableReport
from cdc.verification.roster import Roster
from cdc.verification.selection import Selection
from cdc.verification.source_rows import SourceRows
from cdc.verification.span import Span, hour_span
from cdc.verification.target import Partitioner, TargetRows

ROWS_AHEAD = 10_000
PARTITIONS_AHEAD = 16
CANDIDATES = 5_000  # judged at one fence
PROGRESS_ROWS = 20_000
STEP_ROWS = 1000  # between two looks at the pace

Progress = Callable[[TableReport], None]


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Both stores and the fence between them; `reader` is for long reads, `pages` for digests."""

    reader: SourceDatabase
    source: SourceDatabase
    session: Any
    pages: Any
    fence: Fence


class Comparison:
    """One route within a range of its time; routes without buckets are compared whole."""

    def __init__(
        self,
        stores: Stores,
        route: Route,
        *,
        span: Span,
        pace: Pace,
        rounds: int,
        on_progress: Progress = lambda _: None,
    ) -> None:
        self.selection = Selection(route)
        self.partitioner = Partitioner(self.selection)
        self.source = SourceRows(stores.reader, stores.source, self.selection)
        self.target = TargetRows(stores.session, stores.pages, self.selection)
        self._stores = stores
        self._route = route
        self._span = span
        self._pace = pace
        self._rounds = rounds
        self._on_progress = on_progress
        self._time = self.selection.time_index
        self._live = self._live_days()
        self._told = 0
        self.report = TableReport(
            table=route.table,
            source=route.source.table,
            columns=tuple(column.name for column in self.selection.key),
            axis=self.selection.axis_index,
            expected=stores.source.estimated_rows(route.source.table) if span == Span() else None,
        )

    def run(self, found: Callable[[Settled], None]) -> TableReport:
        """Compare everything; `found` hears of what truly differs, chunk by chunk."""
        started = time.monotonic()
        candidates = self._candidates()
        while chunk := list(islice(candidates, CANDIDATES)):
            found(self.judge(chunk))
        self.report.seconds = time.monotonic() - started
        self._on_progress(self.report)
        return self.report

    def judge(self, keys: list[Row]) -> Settled:
        """Which of these keys truly differ, at a fence put up now."""
        sides = Sides(
            source=self.source.by_keys,
            fence=self._fence,
            target=self.target.by_keys,
            forgotten=self._forgotten,
        )
        return settle(keys, sides, self._rounds)

    def _fence(self) -> int:
        """Pass a fence; a position of the log before its heartbeat."""
        position = self._stores.source.insert_lsn()
        self._stores.fence.wait()
        return position

    def _candidates(self) -> Iterator[Row]:
        hourly = self.selection.axis is not None
        for key in self._cell_by_cell() if hourly else self._row_by_row():
            self.report.candidates += 1
            yield key

    def _step(self) -> None:
        """After some rows: tell of them, and rest in proportion."""
        self._pace.rest()
        if self.report.rows - self._told >= PROGRESS_ROWS:
            self._told = self.report.rows
            self._on_progress(self.report)

    # By digests

    def _cell_by_cell(self) -> Iterator[Row]:
        with Roster() as roster:
            roster.fill(self.target.partitions(self._span))
            for piece in self.source.slices(self._span):
                for partition, hours in self._unequal(piece, roster):
                    for hour in hours:
                        yield from self._of_cell(partition, hour_span(hour).common(piece))

    def _unequal(self, piece: Span, roster: Roster) -> Iterator[tuple[Row, list[int]]]:
        """Partitions with the hours in which their digests differ.

        Of a day that was dropped and made again, what Cassandra alone has is history.
        """
        seen: set[Row] = set()
        under_way: deque[tuple[Row, Span, Cells, Any]] = deque()
        alone: Iterator[tuple[Row, Cells]] = (
            (each, {})
            for each in (roster.within(piece) if self._is_live(piece.start) else ())
            if each not in seen
        )
        for partition, cells in chain(self._noted(self.source.digests(piece), seen), alone):
            future = self.target.start_digest(partition, piece)
            under_way.append((partition, piece, cells, future))
            if len(under_way) > PARTITIONS_AHEAD:
                yield self._differing(*under_way.popleft())
        while under_way:
            yield self._differing(*under_way.popleft())

    @staticmethod
    def _noted(digests: Iterator[tuple[Row, Cells]], seen: set[Row]) -> Iterator[tuple[Row, Cells]]:
        for partition, cells in digests:
            seen.add(partition)
            yield partition, cells

    def _differing(
        self, partition: Row, span: Span, cells: Cells, future: Any
    ) -> tuple[Row, list[int]]:
        held = self.target.cells(partition, span, future)
        self.report.rows += sum(digest.rows for digest in cells.values())
        self.report.cells += len(cells)
        self._step()
        hours = sorted(cells.keys() | held.keys() if self._is_live(span.start) else cells)
        return partition, [h for h in hours if cells.get(h, EMPTY) != held.get(h, EMPTY)]

    def _of_cell(self, partition: Row, span: Span) -> list[Row]:
        """Keys of the rows of a cell that look different; read whole, as a fence may follow."""
        self.report.cells_read += 1
        rows = self.source.of_cell(partition, span)
        held = self.target.of_cell(partition, span)
        return list(self._keys(differences(rows, held, self.selection.order)))

    # By rows

    def _row_by_row(self) -> Iterator[Row]:
        """Each partition that PostgreSQL has, then the others; these tables have few."""
        seen: set[Row] = set()
        yield from self._beside(self.source.everything(), seen)
        for _, partition in self.target.partitions(self._span):
            if partition not in seen:
                rest = self.target.rows(self.target.start(partition))
                yield from self._keys(differences((), rest, self.selection.order))

    def _beside(self, rows: Iterator[Row], seen: set[Row]) -> Iterator[Row]:
        """Compare a stream with its Cassandra partitions, which are read ahead of it."""
        under_way: dict[Row, Any] = {}

        def start(partition: Row) -> None:
            under_way[partition] = self.target.start(partition)

        placed = ((self.partitioner.partition(row), row) for row in self._counted(rows))
        ahead = read_ahead(placed, start, ROWS_AHEAD, PARTITIONS_AHEAD)
        for partition, group in groupby(ahead, key=itemgetter(0)):
            seen.add(partition)
            held = self.target.rows(under_way.pop(partition))
            found = differences((row for _, row in group), held, self.selection.order)
            yield from self._keys(found)

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.report.rows += 1
            if self.report.rows % STEP_ROWS == 0:
                self._step()
            yield row

    # What is no difference

    def _keys(self, found: Iterator[Difference]) -> Iterator[Row]:
        """Keys of candidates, without the extra rows of a day that was dropped and made again."""
        width = self.selection.order.width
        at = self._time if self._time is not None and self._time < width else None
        for difference in found:
            extra = difference.kind is Kind.EXTRA
            if not (extra and at is not None and not self._is_live(difference.key[at])):
                yield difference.key

    def _live_days(self) -> frozenset[int] | None:
        """Days since the epoch that PostgreSQL answers for; None: for all time."""
        if self._route.source.time is None:
            return None
        days = self._stores.source.live_days(self._route.source.table)
        return frozenset((day - EPOCH.date()).days for day in days)

    def _is_live(self, ms: int) -> bool:
        return self._live is None or ms // MS_PER_DAY in self._live

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
