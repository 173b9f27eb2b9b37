"""Reads the rows: lists the partitions that may hold them, then one after another, some ahead.

A partition is read page by page, so memory does not grow with what is exported.
"""

# ruff: noqa: S608 - every name in a statement is a constant of cdc.routes

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import tuple_factory

from cdc import keyspace
from cdc.errors import BadScope
from cdc.export.targets import TARGETS, choosable
from cdc.mapping import Column, Route
from cdc.settings import CdcSettings
from cdc.verification.compare import Row
from cdc.verification.selection import Selection
from cdc.verification.span import EPOCH, Span
from cdc.verification.target import PAGE_ROWS, TIMEOUT_S, TargetRows, speaking
from contracts.naming import Role

AHEAD = 4  # partitions whose first page is asked for before it is needed


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is wanted of a table: values of text columns of its key, and [since, until) in UTC."""

    table: str
    values: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    since: datetime | None = None
    until: datetime | None = None

    @property
    def route(self) -> Route:
        """The table's route; BadScope where the table, a column or a range is none it has."""
        if self.table not in TARGETS:
            raise BadScope(f"no table is called {self.table!r}; there are {', '.join(TARGETS)}")
        route = TARGETS[self.table]
        for name in self.values:
            if name not in choosable(route):
                columns = ", ".join(choosable(route))
                raise BadScope(f"rows of {self.table} are picked by {columns}, not by {name!r}")
        if (self.since or self.until) and Selection(route).axis is None:
            raise BadScope(f"{self.table} holds what is now: it has no range of time")
        if self.since and self.until and self.since >= self.until:
            raise BadScope("the range ends before it begins")
        return route

    @property
    def span(self) -> Span:
        whole = Span()
        first = whole.start if self.since is None else _ms(self.since)
        return Span(first, whole.end if self.until is None else _ms(self.until))


class Reading:
    """The rows of a scope. Errors: Unreachable."""

    def __init__(self, session: Any, scope: Scope) -> None:
        self._session = session
        self._scope = scope
        self._route = route = scope.route
        self._selection = Selection(route)
        self._span = scope.span
        self.columns: tuple[Column, ...] = route.columns
        self._profile = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT, row_factory=tuple_factory, request_timeout=TIMEOUT_S
        )
        bounded = self._selection.axis is not None
        names = ", ".join(_read(each) for each in self.columns)
        where = " AND ".join(f"{name} = ?" for name in route.partition)
        between = self._selection.between if bounded else ""
        with speaking():
            self._statement = session.prepare(
                f"SELECT {names} FROM {route.table} WHERE {where}{between}"
            )
        self._statement.fetch_size = PAGE_ROWS
        self._statement.is_idempotent = True
        self._bounds = tuple(self._span) if bounded else ()
        at = {column.name: index for index, column in enumerate(self.columns)}
        self._of_rows = [
            (at[name], values)
            for name, values in scope.values.items()
            if name not in route.partition
        ]

    def partitions(self) -> list[Row]:
        """Keys of the partitions that may hold rows of the scope, sorted."""
        target = TargetRows(self._session, self._session, self._selection)
        wanted = [self._scope.values.get(name) for name in self._route.partition]
        found = (
            key
            for span, key in target.partitions(self._span)
            if not span.common(self._span).empty and _all_in(key, wanted)
        )
        return sorted(found)

    def rows(self, partitions: Iterable[Row]) -> Iterator[Iterator[Row]]:
        """For each partition its rows, in the order of its clustering."""
        under_way: deque[Any] = deque()
        left = iter(partitions)
        while True:
            while len(under_way) < AHEAD and (key := next(left, None)) is not None:
                under_way.append(
                    self._session.execute_async(
                        self._statement, (*key, *self._bounds), execution_profile=self._profile
                    )
                )
            if not under_way:
                return
            yield self._kept(under_way.popleft())

    def _kept(self, future: Any) -> Iterator[Row]:
        with speaking():
            for row in future.result():
                if all(row[index] in values for index, values in self._of_rows):
                    yield row


@contextmanager
def reading(settings: CdcSettings, scope: Scope) -> Iterator[Reading]:
    """A reading, for the length of a block; errors as of `keyspace.connect`, and BadScope."""
    scope.route  # noqa: B018 - what is wrong with it is said before anything is asked
    with keyspace.session(settings, Role.READER) as session:
        keyspace.check_migrated(session)
        yield Reading(session, scope)


def _all_in(key: Row, wanted: Iterable[frozenset[str] | None]) -> bool:
    return all(values is None or value in values for value, values in zip(key, wanted, strict=True))


def _read(column: Column) -> str:
    """A timestamp as its ms since the epoch: Python's datetime has a last year, rows may not."""
    return f"to_unix_timestamp({column.name})" if column.cql == "timestamp" else column.name


def _ms(moment: datetime) -> int:
    return int((moment - EPOCH).total_seconds() * 1000)
