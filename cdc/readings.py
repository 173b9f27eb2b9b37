"""What Cassandra says about the pipeline's health: heartbeats, and how many rows there are.

Reads for `tidemark status` and the watch. Each is bounded in time, whatever the tables' sizes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cdc.errors import Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.routes import ROUTES

Session = Any  # cassandra.cluster.Session, which ships no types

MIN_TOKEN, MAX_TOKEN = -(2**63), 2**63 - 1  # Murmur3's ring
SLICES = 16  # of the ring, counted one by one, so that a cut count is still a count of something
READERS = 8

_BEATS = (
    "SELECT beat_at, committed_us, captured_us, produced_ms, received_us, visible_us "
    "FROM heartbeats_by_day WHERE source = %s AND day = %s AND beat_at >= %s"
)
_NEWEST = (
    "SELECT beat_at FROM heartbeats_by_day "
    "WHERE source = %s AND day = %s ORDER BY beat_at DESC LIMIT 1"
)


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A heartbeat that Cassandra holds: when it was made and when each stage had it.

    µs (`produced_ms`: ms) since the epoch, None where the stage has not said so.
    """

    source: str
    beat_at: datetime
    committed_us: int | None = None
    captured_us: int | None = None
    produced_ms: int | None = None
    received_us: int | None = None
    visible_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class Count:
    """Rows of a table; `exact` False: an estimate, or as far as the time allowed."""

    rows: int
    exact: bool


def newest_beat(session: Session, source: str, now: datetime) -> datetime | None:
    """`beat_at` of the newest heartbeat of a source, looking back one to two days."""
    for day in (_day(now), _day(now) - timedelta(days=1)):
        row = _execute(session, _NEWEST, (source, day)).one()
        if row is not None:
            return _aware(row.beat_at)
    return None


def beats_since(session: Session, source: str, since: datetime, now: datetime) -> list[Beat]:
    """Heartbeats of a source from `since` (at most a day ago) on, oldest first."""
    days = sorted({_day(since), _day(now)})
    return [
        Beat(
            source=source,
            beat_at=_aware(row.beat_at),
            committed_us=row.committed_us,
            captured_us=row.captured_us,
            produced_ms=row.produced_ms,
            received_us=row.received_us,
            visible_us=row.visible_us,
        )
        for day in days
        for row in _execute(session, _BEATS, (source, day, since))
    ]


def counts(session: Session, within_s: float) -> dict[str, Count]:
    """Rows of every target table, counted for at most `within_s`; cut counts are not `exact`."""
    deadline = time.monotonic() + within_s
    partitions = {each.table: each.partition for each in ROUTES}
    jobs = list(_slices(partitions))
    with ThreadPoolExecutor(READERS, thread_name_prefix="count") as pool:
        parts = list(pool.map(lambda job: _count(session, job, deadline), jobs))
    found: dict[str, Count] = {}
    for (table, _, _), rows in zip(jobs, parts, strict=True):
        before = found.get(table, Count(rows=0, exact=True))
        found[table] = Count(
            rows=before.rows + (rows or 0), exact=before.exact and rows is not None
        )
    return found


def _slices(
    partitions: Mapping[str, Sequence[str]], slices: int = SLICES
) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """(table, statement, token range], the slices of all tables interleaved."""
    width = (MAX_TOKEN - MIN_TOKEN) // slices
    for number in range(slices):
        low = MIN_TOKEN + number * width
        high = MAX_TOKEN if number == slices - 1 else low + width
        for table, columns in partitions.items():
            token = f"token({', '.join(columns)})"
            yield (
                table,
                # table and columns are names of cdc.routes, never input
                f"SELECT count(*) FROM {table} WHERE {token} > %s AND {token} <= %s",  # noqa: S608 - see above
                (low, high),
            )


def _count(session: Session, job: tuple[str, str, tuple[int, int]], deadline: float) -> int | None:
    """Rows of one slice, None where the time is up."""
    left = deadline - time.monotonic()
    if left <= 0:
        return None
    try:
        return int(session.execute(job[1], job[2], timeout=left).one()[0])
    except DRIVER_FAILURES:
        return None


def _execute(session: Session, statement: str, values: tuple[object, ...]) -> Any:
    try:
        return session.execute(statement, values)
    except DRIVER_FAILURES as error:
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}") from error


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)  # the driver gives naive UTC
