"""PostgreSQL's days are dropped only behind what is proved to be in Cassandra.

A day may go once every table that it feeds is proved through its end without a difference, and once
it has been compared again, just before: a row may have come late. What is committed into the day
between that comparison and the drop is in the log and reaches Cassandra, but is not compared.

A day of the outbox may go once the log is read beyond it: a fence is passed. Its rows feed no
table; after a lost slot the new snapshot tells again what is still there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta

from cdc import keyspace
from cdc.errors import CdcError
from cdc.routes import UNROUTED, routes_of
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.verification import proof
from cdc.verification.proof import NOTHING, Proof
from cdc.verification.verifier import Scope, open_stores, verify
from contracts.naming import Role


class NotProved(CdcError):
    """A day stays: it is not proved to be in Cassandra; the message says what to do."""


def drop_day(settings: CdcSettings, table: str, day: date) -> bool:
    """Drop a day of a partitioned table; False where PostgreSQL has no such day.

    Errors: NotProved, and those of `verify`; Contended where readers are in the way.
    """
    with keyspace.session(settings, Role.READER) as session:
        lacking = not_droppable(proof.recall(session), table, day)
    if lacking:
        raise NotProved(f"{table} of {day} stays: {lacking}")
    if table in UNROUTED:
        with ExitStack() as stack:
            open_stores(settings, stack).fence.wait()
    else:
        start = datetime.combine(day, time(), tzinfo=UTC)
        scope = Scope(since=start, until=start + timedelta(days=1), share=settings.verify_share)
        report = verify(settings, [table], scope)
        bad = [each.table for each in report.tables if not each.clean]
        if bad:
            raise NotProved(
                f"{table} of {day} stays: {', '.join(bad)} differ from it; "
                f"`tidemark verify {table} --repair`"
            )
    with SourceDatabase(settings, Role.WATCH) as source:
        ((dropped,),) = source.query("SELECT drop_partition(%s, %s)", (table, day))
        return bool(dropped)


def not_droppable(proofs: Mapping[str, Proof], table: str, day: date) -> str | None:
    """Why a day may not be dropped, as far as earlier passes tell; None where it may. Pure."""
    if table in UNROUTED:
        return None
    routes = routes_of(table)
    if not routes:
        return "no such table is replicated"
    end = datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
    for route in routes:
        known = proofs.get(route.table, NOTHING)
        if known.through is None or known.through < end:
            through = "nothing" if known.through is None else f"{known.through:%Y-%m-%d %H:%M}"
            lacks = f"{route.table} is proved through {through} only"
            return f"{lacks}; `tidemark verify {route.table}`"
        if known.differences:
            lacks = f"{route.table} has {known.differences} rows that differ"
            return f"{lacks}; `tidemark verify {route.table} --repair`"
    return None
