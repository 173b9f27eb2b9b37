"""PostgreSQL as replication reads it: its identity, the slot, rows to compare, the fence's beat.

Logs in as tidemark_repair: SELECT on every published table, INSERT on the heartbeat. Everything
here is one short statement in its own transaction, except the streams of verification.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

import psycopg2
from psycopg2.extras import execute_values

from cdc.errors import AccessDenied, BadCondition, Contended, Unreachable
from cdc.settings import CdcSettings
from contracts.naming import SCHEMA, Role

_A_DELETE = 10_000  # rows of quarantine in one statement

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STREAM_ROWS = 5000  # rows a fetch of a server-side cursor
FENCE_SOURCE = "fence"
HELD = (psycopg2.errors.DeadlockDetected, psycopg2.errors.LockNotAvailable)

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The replication slot; LSNs as numbers."""

    name: str
    plugin: str
    database: str
    wal_status: str
    confirmed_flush_lsn: int
    synced: bool
    active: bool = False


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The publication, with the roots of partitioned tables as it names them."""

    tables: frozenset[str]
    via_root: bool


@dataclass(frozen=True, kw_only=True)
class Server:
    """What decides whether LSNs of this cluster may follow those of another time."""

    system_identifier: str
    timeline: int
    wal_level: str


class SourceDatabase:
    """A connection as tidemark_repair. Not thread-safe.

    Errors: Unreachable, AccessDenied, Contended.
    """

    def __init__(self, settings: CdcSettings, role: str = Role.REPAIR) -> None:
        self._where = f"{settings.postgres_host}:{settings.postgres_port}"
        with self._speaking():
            dsn: dict[str, Any] = settings.postgres_dsn(role)
            self._connection = psycopg2.connect(**dsn)
            self._connection.autocommit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.errors.InsufficientPrivilege as error:
            raise AccessDenied(f"{_line(error)}; run `tidemark migrate`") from error
        except psycopg2.errors.ObjectInUse:
            raise  # an OperationalError, too, yet somebody has answered: see drop_slot
        except HELD as error:
            raise Contended(f"rows are held by another transaction: {_line(error)}") from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            text = _line(error)
            if "authentication failed" in text:
                raise AccessDenied(f"PostgreSQL at {self._where}: {text}") from error
            raise Unreachable(f"PostgreSQL at {self._where} does not answer: {text}") from error

    def query(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Rows of one statement, in a transaction of its own."""
        with self._speaking(), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows: list[Row] = cursor.fetchall() if cursor.description else []
            return rows

    def _row(self, statement: str, values: Sequence[object] = ()) -> Row:
        return self.query(statement, values)[0]

    # What the preflight asks

    def server(self) -> Server:
        """Identity of the cluster; the timeline is that of the WAL being written."""
        identifier, timeline, wal_level = self._row(
            "SELECT system_identifier::text, left(pg_walfile_name(pg_current_wal_lsn()), 8), "
            "current_setting('wal_level') FROM pg_control_system()"
        )
        return Server(system_identifier=identifier, timeline=int(timeline, 16), wal_level=wal_level)

    def slot(self, name: str) -> Slot | None:
        """The slot of that name, None where there is none."""
        rows = self.query(
            "SELECT slot_name, plugin, database, wal_status, "
            "(confirmed_flush_lsn - '0/0')::bigint, synced, active "
            "FROM pg_replication_slots WHERE slot_name = %s",
            (name,),
        )
        for slot_name, plugin, database, wal_status, flushed, synced, active in rows:
            return Slot(
                name=slot_name,
                plugin=plugin,
                database=database,
                wal_status=wal_status,
                confirmed_flush_lsn=flushed or 0,
                synced=synced,
                active=active,
            )
        return None

    def slots(self) -> list[str]:
        """Names of this database's slots."""
        found = self.query(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        )
        return [name for (name,) in found]

    def drop_slot(self, name: str) -> bool:
        """Drop a slot of this database, as a role with REPLICATION; False while it is in use."""
        try:
            self.query(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE slot_name = %s AND database = current_database()",
                (name,),
            )
        except psycopg2.errors.ObjectInUse:
            return False
        except psycopg2.errors.UndefinedObject:
            pass  # somebody else did
        return True

    def publication(self, name: str) -> Publication | None:
        """The publication of that name, None where there is none."""
        found = self.query("SELECT pubviaroot FROM pg_publication WHERE pubname = %s", (name,))
        if not found:
            return None
        tables = self.query(
            "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s",
            (name, SCHEMA),
        )
        return Publication(tables=frozenset(name for (name,) in tables), via_root=found[0][0])

    def replica_identities(self, tables: Iterable[str]) -> dict[str, str]:
        """Replica identity (d, n, f, i) of these tables and of each of their partitions."""
        return dict(
            self.query(
                "SELECT c.relname, c.relreplident::text FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s "
                "LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
                "LEFT JOIN pg_class p ON p.oid = i.inhparent "
                "WHERE c.relkind IN ('r', 'p') AND coalesce(p.relname, c.relname) = ANY(%s)",
                (SCHEMA, list(tables)),
            )
        )

    # The fence

    def beat(self) -> datetime:
        """Commit a heartbeat of the fence and return its time."""
        while True:
            beats = self.query(
                "INSERT INTO public.heartbeat (source) VALUES (%s) "
                "ON CONFLICT DO NOTHING RETURNING beat_at",
                (FENCE_SOURCE,),
            )
            if beats:
                beat_at: datetime = beats[0][0]
                return beat_at
            time.sleep(0.001)  # two fences in one millisecond

    def insert_lsn(self) -> int:
        """Where the next WAL record goes."""
        lsn: int = self._row("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0]
        return lsn

    # What verification reads

    def live_days(self, table: str) -> frozenset[date]:
        """Days of a partitioned table that were never dropped: a row missing there is missing."""
        rows = self.query(
            "SELECT day FROM (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day "
            "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname ~ '_p[0-9]{8}$') partitions "
            "WHERE day NOT IN (SELECT day FROM public.dropped_days WHERE table_name = %s)",
            (f"{SCHEMA}.{table}", table),
        )
        return frozenset(day for (day,) in rows)

    def record_dropped_days(self, table: str, days: Iterable[date]) -> None:
        """Record as dropped those past days that a partitioned table does not hold."""
        self.query("SELECT record_dropped_days(%s, %s::date[])", (table, sorted(days)))

    def days(self, table: str) -> list[date]:
        """Days that a partitioned table holds, made again or not, oldest first."""
        rows = self.query(
            "SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass AND c.relname ~ '_p[0-9]{8}$' ORDER BY 1",
            (f"{SCHEMA}.{table}",),
        )
        return [day for (day,) in rows]

    def drop_quarantine(self, older_than: datetime) -> int:
        """Delete what was set aside before a time; how many rows."""
        dropped = 0
        while some := self._row("SELECT drop_quarantine(%s, %s)", (older_than, _A_DELETE))[0]:
            dropped += some
        return dropped

    def estimated_rows(self, table: str) -> int:
        """The planner's idea of a table's rows, partitions summed; for progress only."""
        (count,) = self._row(
            "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c "
            "LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
            "WHERE c.oid = %s::regclass OR i.inhparent = %s::regclass",
            (f"{SCHEMA}.{table}", f"{SCHEMA}.{table}"),
        )
        return int(count)

    def stream(self, statement: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """Rows of a statement as they are fetched, by a server-side cursor."""
        with self._speaking():
            self._connection.autocommit = False
            try:
                with self._connection.cursor("verify") as cursor:
                    cursor.itersize = STREAM_ROWS
                    cursor.execute(statement, values)
                    yield from cursor
            finally:
                if not self._connection.closed:
                    self._connection.rollback()
                    self._connection.autocommit = True

    def rows_of(self, statement: str, keys: Sequence[Row]) -> list[Row]:
        """Rows of a statement with one `VALUES %s`, into which the keys go."""
        with self._speaking(), self._connection.cursor() as cursor:
            found: list[Row] = execute_values(cursor, statement, keys, page_size=1000, fetch=True)
            return found


@contextmanager
def blaming(where: str | None) -> Iterator[None]:
    """Errors that only a person's condition can cause, as such."""
    try:
        yield
    except AccessDenied as error:
        if where is None:
            raise
        raise BadCondition(f"--where may not read that: {_cause(error.__cause__)}") from error
    except psycopg2.Error as error:
        if where is None:
            raise
        raise BadCondition(f"--where is no condition on this table: {_cause(error)}") from error


def _cause(error: BaseException | None) -> str:
    """What PostgreSQL says, in a line."""
    primary = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
    return " ".join((primary or str(error)).split())


def _line(error: Exception) -> str:
    """An error of PostgreSQL in a line."""
    return " ".join(str(error).split()) or type(error).__name__
