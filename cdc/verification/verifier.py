"""A whole verification: a fence, then route after route, repaired if wished, and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from cassandra.cluster import Session

from cdc import keyspace
from cdc.connector.client import ConnectClient
from cdc.fence import Passed, fence_of
from cdc.healing import Healer
from cdc.mapping import Route
from cdc.routes import ROUTES
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.topics import Topics
from cdc.verification import proof
from cdc.verification.comparison import Comparison, Progress, Stores
from cdc.verification.pace import Pace
from cdc.verification.pages import PageHandler
from cdc.verification.proof import NOTHING, Pass, Proof
from cdc.verification.recheck import Settled
from cdc.verification.repair import Repair, before
from cdc.verification.report import Report, TableReport
from cdc.verification.span import Span
from contracts.naming import Role


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What of the tables is compared: [since, until) of their hours, None: without an end.

    `incremental`: each table from where it is proved on. `repair`: heal what differs. `share` of
    the time that is worked, 1: without rest. Tables without hours are always compared whole.
    """

    since: datetime | None = None
    until: datetime | None = None
    incremental: bool = False
    repair: bool = False
    share: float = 1.0
    limit_keys: int = 20

    def span(self, known: Proof) -> Span:
        """The range of a table of which that is known."""
        since = known.through if self.incremental else self.since
        every = Span()
        return Span(
            every.start if since is None else proof.ms_of(since),
            every.end if self.until is None else proof.ms_of(self.until),
        )


def verify(
    settings: CdcSettings,
    tables: Sequence[str] = (),
    scope: Scope | None = None,
    on_progress: Progress = lambda _: None,
) -> Report:
    """Compare target tables (all by default; a source's name stands for each of its targets).

    Errors: KeyError of an unknown table, FenceTimeout, SchemaMismatch, Unreachable,
    AccessDenied.
    """
    routes = routes_named(tables)
    with ExitStack() as stack:
        verification = Verification(settings, scope or Scope(), on_progress, stack)
        return verification.run(routes)


def routes_named(tables: Sequence[str]) -> list[Route]:
    """Routes of these target or source tables, in their declared order; KeyError of others."""
    known = {each.table for each in ROUTES} | {each.source.table for each in ROUTES}
    for table in tables:
        if table not in known:
            raise KeyError(table)
    return [
        each for each in ROUTES if not tables or each.table in tables or each.source.table in tables
    ]


class Verification:
    """Connections to everything, for the length of `stack`."""

    def __init__(
        self, settings: CdcSettings, scope: Scope, on_progress: Progress, stack: ExitStack
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._on_progress = on_progress
        self._stores = open_stores(settings, stack)
        self._sink: Session = stack.enter_context(keyspace.session(settings, Role.SINK))
        self._healer = stack.enter_context(Healer(settings)) if scope.repair else None
        self._pace = Pace(scope.share)

    def run(self, routes: Sequence[Route]) -> Report:
        """Compare route after route; each one's proof is kept as soon as it is made."""
        report = Report(fence=self._stores.fence.wait())
        for route in routes:
            report.tables.append(self._compare(route, report.fence))
        return report

    def _compare(self, route: Route, fence: Passed) -> TableReport:
        known = proof.recall(self._stores.session).get(route.table, NOTHING)
        span = self._scope.span(known)
        comparison = Comparison(
            self._stores,
            route,
            span=span,
            pace=self._pace,
            rounds=self._settings.verify_rounds,
            on_progress=self._on_progress,
        )
        report = comparison.run(lambda found: self._found(comparison, found))
        made = Pass(
            fence_at=fence.beat_at,
            span=span,
            hourly=report.axis is not None,
            differences=report.left + report.unsettled,
            first_bad_ms=report.first_bad_ms,
        )
        timestamp = before(self._settings.generation, self._stores.source.insert_lsn())
        newest = proof.recall(self._stores.session).get(route.table, NOTHING)
        proved = proof.proved(newest, made)
        proof.remember(self._sink, timestamp, fence, {route.table: proved})
        report.verified_through = proved.through
        return report

    def _found(self, comparison: Comparison, found: Settled) -> None:
        left = found
        if self._healer is not None:
            repair = Repair(comparison, self._healer, self._sink, self._settings.generation)
            left = repair.heal(found)
            if left.differences:
                comparison.report.not_healed = repair.reason
        comparison.report.add(found, left, self._scope.limit_keys)


def open_stores(settings: CdcSettings, stack: ExitStack) -> Stores:
    """Connect to both stores and to what fences ask; `stack` closes everything."""
    source = stack.enter_context(SourceDatabase(settings))
    session = keyspace.connect(settings, Role.READER)
    stack.callback(keyspace.close, session)
    keyspace.check_migrated(session)
    pages = keyspace.another(session, settings, Role.READER)
    pages.client_protocol_handler = PageHandler
    connect = stack.enter_context(ConnectClient(settings))
    topics = stack.enter_context(Topics(settings))
    return Stores(
        reader=stack.enter_context(SourceDatabase(settings)),
        source=source,
        session=session,
        pages=pages,
        fence=fence_of(settings, source, connect, topics, session),
    )
