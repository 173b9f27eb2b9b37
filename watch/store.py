"""What the watch asks of PostgreSQL and tells it: slot, partitions, alarms, counts.

The only user of psycopg in this folder. Every call is one short statement with a time limit, also
where PostgreSQL is frozen; a lost connection is opened again by the next call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.extras import execute_values
from psycopg2.sql import SQL, Identifier

from cdc.readings import Count
from contracts.naming import SCHEMA, Role
from runtime.endpoints import PostgresEndpoint
from watch.alarms import KIND, VENUE, RaisedAlarm, Transition
from watch.errors import StoreRefused, StoreUnavailable
from watch.patience import hanging_up_after
from watch.shedding import Level

COUNTED_UP_TO = 2_000_000  # rows; above it the planner's estimate has to do

_SLOT = """
SELECT active, wal_status, safe_wal_size,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       (SELECT nullif(setting::bigint, -1) << 20 FROM pg_settings
         WHERE name = 'max_slot_wal_keep_size')
  FROM pg_replication_slots WHERE slot_name = %s
"""
_OPEN_ALARMS = """
SELECT name, message, at FROM (
  SELECT DISTINCT ON (split_part(message, ':', 1))
         split_part(message, ':', 1) AS name, message, at, severity
    FROM events WHERE venue = %s AND kind = %s
   ORDER BY split_part(message, ':', 1), at DESC, id DESC) AS newest
 WHERE severity <> 'info'
"""
_ESTIMATES = """
SELECT name, coalesce((SELECT sum(greatest(c.reltuples, 0)) FROM pg_partition_tree(t.oid) AS p
                         JOIN pg_class AS c ON c.oid = p.relid WHERE p.isleaf),
                      greatest(t.reltuples, 0))::bigint
  FROM unnest(%s::text[]) AS name JOIN pg_class AS t ON t.oid = to_regclass(%s || '.' || name)
"""
# minutes that have just ended may lack trades that are on their way
_LEDGER = """
SELECT gaps.count, gaps.oldest, minutes.differing, minutes.incomplete, minutes.oldest
  FROM (SELECT count(*), min(detected_at) AS oldest FROM gaps WHERE state = 'open') AS gaps,
       (SELECT count(*) FILTER (WHERE state = 'differs') AS differing,
               count(*) FILTER (WHERE state = 'incomplete') AS incomplete,
               min(open_time) AS oldest
          FROM certificates WHERE state IN ('incomplete', 'differs')
           AND open_time < now() - interval '5 minutes') AS minutes
"""
_SHEDDING = "SELECT level, since, reason, at FROM load_shedding"
_SHED = """
WITH told AS (
  INSERT INTO events (venue, kind, severity, message)
  SELECT %(venue)s, 'shedding', %(severity)s, %(message)s FROM load_shedding
   WHERE level <> %(level)s)
UPDATE load_shedding
   SET level = %(level)s, since = %(since)s, reason = %(reason)s, at = clock_timestamp()
"""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A replication slot as PostgreSQL sees it; sizes in bytes of WAL.

    `retained`: kept on disk for it; `behind`: not yet confirmed by Debezium; `safe`: what may
    still be written before it is lost; `keep`: the limit, both None where there is no limit.
    """

    active: bool
    wal_status: str  # reserved, extended, unreserved, lost
    safe: int | None
    retained: int | None
    behind: int | None
    keep: int | None


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What is known to be missing or wrong in what was collected (`tidemark gaps`, `certificates`).

    `oldest_gap`: when the first of the open gaps was noticed; `oldest_minute`: of those whose
    trades do not make their candle.
    """

    open_gaps: int = 0
    oldest_gap: datetime | None = None
    differing: int = 0
    incomplete: int = 0
    oldest_minute: datetime | None = None


class Store:
    """One connection, shared by the threads of the watch one call at a time."""

    def __init__(
        self, settings: PostgresEndpoint, role: str = Role.WATCH, timeout_s: float = 5
    ) -> None:
        self._settings = settings
        self._role = role
        self._timeout_s = timeout_s
        self._connection: extensions.connection | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def slot(self, name: str) -> Slot | None:
        """The slot, None where there is none of that name."""
        with self._cursor() as cursor:
            cursor.execute(_SLOT, (name,))
            row = cursor.fetchone()
        if row is None:
            return None
        active, status, safe, retained, behind, keep = row
        return Slot(
            active=active,
            wal_status=status or "lost",
            safe=safe,
            retained=retained,
            behind=behind,
            keep=keep,
        )

    def slot_reader(self, name: str) -> int | None:
        """The process of PostgreSQL that serves the slot's reader, None where nobody reads."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
            (pid,) = cursor.fetchone() or (None,)
        return None if pid is None else int(pid)

    def shedding(self) -> Level:
        """What ingest was last told to shed."""
        with self._cursor() as cursor:
            cursor.execute(_SHEDDING)
            level, since, reason, at = cursor.fetchone()
        return Level(level=level, since=since, reason=reason, confirmed_at=at)

    def shed(self, level: Level) -> None:
        """Tell ingest; another level than before is a row of `events`, too."""
        row = {
            "venue": VENUE,
            "severity": "warning" if level.level else "info",
            "message": level.message,
            "level": level.level,
            "since": level.since,
            "reason": level.reason,
        }
        with self._cursor() as cursor:
            cursor.execute(_SHED, row)

    def ensure_partitions(self, days_ahead: int) -> int:
        """Make the partitions of today and the next days; returns how many were missing."""
        with self._cursor() as cursor:
            cursor.execute("SELECT ensure_partitions(%s)", (days_ahead,))
            (made,) = cursor.fetchone() or (0,)
        return int(made)

    def tell(self, transitions: Sequence[Transition]) -> None:
        """Write alarms as rows of `events`, with the times at which they turned."""
        rows = [(VENUE, t.at, KIND, t.severity, t.message) for t in transitions]
        with self._cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO events (venue, at, kind, severity, message) VALUES %s",
                rows,
                template="(%s, date_trunc('milliseconds', %s::timestamptz), %s, %s, %s)",
            )

    def open_alarms(self) -> list[RaisedAlarm]:
        """Alarms raised and not yet cleared."""
        with self._cursor() as cursor:
            cursor.execute(_OPEN_ALARMS, (VENUE, KIND))
            return [
                RaisedAlarm(name=name, text=message.partition(": ")[2], since=at)
                for name, message, at in cursor.fetchall()
            ]

    def alarm_history(self, limit: int) -> list[Transition]:
        """Alarms as they were raised and cleared, newest first."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT severity, message, at FROM events WHERE venue = %s AND kind = %s "
                "ORDER BY at DESC, id DESC LIMIT %s",
                (VENUE, KIND, limit),
            )
            rows = cursor.fetchall()
        return [
            Transition(alarm=name, severity=severity, text=text, at=at)
            for severity, message, at in rows
            for name, _, text in (message.partition(": "),)
        ]

    def quarantined(self, within: timedelta) -> int:
        """Rows that went to quarantine lately."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM quarantine WHERE received_at > now() - %s", (within,)
            )
            (rows,) = cursor.fetchone() or (0,)
        return int(rows)

    def ledger(self) -> Ledger:
        """Open gaps, and minutes that their trades do not prove."""
        with self._cursor() as cursor:
            cursor.execute(_LEDGER)
            gaps, oldest_gap, differing, incomplete, oldest = cursor.fetchone() or (
                0,
                None,
                0,
                0,
                None,
            )
        return Ledger(
            open_gaps=gaps,
            oldest_gap=oldest_gap,
            differing=differing,
            incomplete=incomplete,
            oldest_minute=oldest,
        )

    def counts(self, tables: Sequence[str], within_s: float) -> dict[str, Count]:
        """Rows of each table that exists: counted while it is small and in time, else estimated."""
        deadline = time.monotonic() + within_s
        with self._cursor() as cursor:
            cursor.execute(_ESTIMATES, (list(tables), SCHEMA))
            estimates: dict[str, int] = dict(cursor.fetchall())
        smallest_first = sorted(estimates.items(), key=lambda item: item[1])
        return {table: self._count(table, rows, deadline) for table, rows in smallest_first}

    def _count(self, table: str, estimate: int, deadline: float) -> Count:
        left_ms = int((deadline - time.monotonic()) * 1000)
        if estimate <= COUNTED_UP_TO and left_ms > 0:
            count = SQL("SELECT count(*) FROM {}").format(Identifier(SCHEMA, table))
            try:
                with self._cursor() as cursor:
                    cursor.execute(
                        "SELECT set_config('statement_timeout', %s, false)", (str(left_ms),)
                    )
                    cursor.execute(count)
                    (rows,) = cursor.fetchone() or (0,)
                    return Count(rows=int(rows), exact=True)
            except StoreUnavailable:
                pass  # the time is up: the estimate has to do
        return Count(rows=estimate, exact=False)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._lock:
            try:
                connection = self._open()
                patience = hanging_up_after(connection, 2 * self._timeout_s)
                with patience, connection.cursor() as cursor:
                    yield cursor
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                self._drop()
                raise StoreUnavailable(_first_line(error)) from error
            except psycopg2.Error as error:
                raise StoreRefused(
                    f"{_first_line(error)}; `tidemark migrate` brings schema and rights up to date"
                ) from error

    def _open(self) -> extensions.connection:
        if self._connection is None or self._connection.closed:
            dsn: dict[str, Any] = self._settings.postgres_dsn(self._role)
            dsn["options"] += f" -c statement_timeout={int(self._timeout_s * 1000)}"
            self._connection = psycopg2.connect(**dsn)
            self._connection.autocommit = True
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _first_line(error: psycopg2.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
