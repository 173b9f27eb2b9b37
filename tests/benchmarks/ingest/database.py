"""PostgreSQL as in production, but alone: migrated, published, with a slot that keeps its WAL.

The slot is of Debezium's own plugin, and made anew before each window, so that what it keeps
is let go. Nobody reads it while a window runs: decoding would take a core of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from contracts.naming import Role
from runtime.endpoints import PostgresEndpoint
from tests.benchmarks import trees, wal
from tests.conftest import Stack
from tests.integration import scratch

DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
MAKE = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"
# candles, and how far the backfills say that they came: of one snapshot
HELD = """
SELECT (SELECT count(*) FROM klines),
       (SELECT coalesce(sum(extract(epoch FROM next_time - start_time) / 60), 0)::bigint
        FROM backfills)
"""
BROUGHT = "SELECT coalesce(sum(extract(epoch FROM next_time - start_time) / 60), 0) FROM backfills"


class Database:
    """One database of a running PostgreSQL."""

    def __init__(self, stack: Stack, endpoint: PostgresEndpoint) -> None:
        self._slot = endpoint.postgres_database
        self.variables = {"TIDEMARK_POSTGRES_DATABASE": endpoint.postgres_database}
        self._owner = scratch.connect(endpoint, Role.OWNER)
        self._admin = scratch.connect(endpoint, Role.POSTGRES_ADMIN)
        self._postmaster = trees.programs(stack.settings)["postgres"]

    def anew(self) -> None:
        """No rows, no WAL that is kept, and a checkpoint behind us."""
        scratch.empty(self._owner)
        self._run(DROP, self._slot)
        self._run(MAKE, self._slot)
        self.rest()

    def rest(self) -> None:
        """A checkpoint: what follows writes whole pages again, for everybody alike."""
        self._run("CHECKPOINT")

    def partition(self, table: str, day: Any) -> None:
        """Make a day's partition."""
        scratch.fetch(self._owner, "SELECT ensure_partition(%s, %s)", table, day)

    def cpu_s(self) -> float:
        """CPU of PostgreSQL, its ended backends included."""
        return trees.cpu_s(self._postmaster)

    def wal(self) -> int:
        """The position of its WAL, bytes."""
        return wal.position(self._admin)

    def brought(self) -> int:
        """Candles that backfills have committed, by their own progress."""
        return int(scratch.value(self._owner, BROUGHT))

    def held(self) -> tuple[int, int]:
        """Candles in the table, and candles of which backfills say that they are."""
        ((rows, said),) = scratch.fetch(self._owner, HELD)
        return int(rows), int(said)

    def sums(self, table: str, expressions: dict[str, str]) -> dict[str, Decimal]:
        """What a table's rows come to."""
        asked = ", ".join(expressions.values())
        (found,) = scratch.fetch(self._owner, f"SELECT {asked} FROM {table}")
        return dict(zip(expressions, map(Decimal, found), strict=True))

    def close(self) -> None:
        """Let the slot go, which would keep the database, and both connections."""
        self._run(DROP, self._slot)
        self._owner.close()
        self._admin.close()

    def _run(self, statement: str, *values: str) -> None:
        with self._admin.cursor() as cursor:
            cursor.execute(statement, values or None)


@contextmanager
def captured(stack: Stack) -> Iterator[Database]:
    """A database with the newest schema, for the length of a block."""
    with scratch.migrated_database(stack.settings) as endpoint:
        opened = Database(stack, endpoint)
        try:
            yield opened
        finally:
            opened.close()
