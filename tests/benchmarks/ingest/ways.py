"""Ways of upserting rows from memory.

    python -m tests.benchmarks.ingest.ways JOB

Each pass (see tests.benchmarks.ingest.rows) waits to be told; its rows are made before, in the form
that the way takes. A transaction has `chunk` rows. A program of its own, as each library is
imported alone.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import psycopg2
import sqlalchemy as sa
from psycopg2.extras import execute_values

from contracts.naming import Role
from ingest import upserts
from ingest.batch import Batch
from ingest.settings import IngestSettings
from ingest.store import Store
from tests.benchmarks.ingest import rows, statements
from tests.benchmarks.running import tell, wait_for_start

PAGE = 1000
Rows = Sequence[Any]


class Way(Protocol):
    """`taken` makes what `write` takes of the rows of a transaction; it is not in the clock."""

    def taken(self, chunk: Rows) -> Any:
        """The rows in the form that the way takes."""

    def write(self, taken: Any) -> None:
        """Upsert them in a transaction."""


class Ours:
    """The product's own store: rows are checked, floored, and each key is written once."""

    def __init__(self, table: str, *, copy: bool) -> None:
        self._table = table
        store = Store(IngestSettings())
        self._write: Callable[[Batch], object] = store.copy if copy else store.write

    def taken(self, chunk: Rows) -> Batch:
        batch = Batch()
        setattr(batch, self._table, list(chunk))
        return batch

    def write(self, taken: Batch) -> None:
        self._write(taken)


class ExecuteValues:
    def __init__(self, table: str) -> None:
        self._connection = psycopg2.connect(**_dsn())
        self._insert = statements.values(table, "VALUES %s")
        self._values = attrgetter(*statements.names(table))

    def taken(self, chunk: Rows) -> list[Any]:
        return list(map(self._values, chunk))

    def write(self, taken: list[Any]) -> None:
        with self._connection, self._connection.cursor() as cursor:
            execute_values(cursor, self._insert, taken, page_size=PAGE)


class InsertManyValues:
    def __init__(self, table: str) -> None:
        self._engine = sa.create_engine(
            "postgresql+psycopg2://",
            creator=lambda: psycopg2.connect(**_dsn()),
            insertmanyvalues_page_size=PAGE,
        )
        self._insert = statements.core(table)
        self._names = statements.names(table)

    def taken(self, chunk: Rows) -> list[dict[str, Any]]:
        return [{name: getattr(row, name) for name in self._names} for row in chunk]

    def write(self, taken: list[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert, taken)


class Asyncpg:
    """`executemany`, or binary COPY into a temporary table and one INSERT of it."""

    def __init__(self, table: str, *, copy: bool) -> None:
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(_asyncpg())
        self._names = statements.names(table)
        self._insert = statements.numbered(table)
        self._merge = statements.merge(table)
        self._stage = upserts.stage(table)
        self._values = attrgetter(*self._names)
        self._write = self._copied if copy else self._inserted
        if copy:
            self._runner.run(self._connection.execute(upserts.make_stage(table)))

    def taken(self, chunk: Rows) -> list[Any]:
        return list(map(self._values, chunk))

    def write(self, taken: list[Any]) -> None:
        self._runner.run(self._write(taken))

    async def _inserted(self, taken: list[Any]) -> None:
        async with self._connection.transaction():
            await self._connection.executemany(self._insert, taken)

    async def _copied(self, taken: list[Any]) -> None:
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(
                self._stage, records=taken, columns=self._names
            )
            await self._connection.execute(self._merge)


WAYS: dict[str, Callable[[str], Way]] = {
    "tidemark-copy": lambda table: Ours(table, copy=True),
    "tidemark-json": lambda table: Ours(table, copy=False),
    "execute_values": ExecuteValues,
    "insertmanyvalues": InsertManyValues,
    "asyncpg-executemany": lambda table: Asyncpg(table, copy=False),
    "asyncpg-copy": lambda table: Asyncpg(table, copy=True),
}


def _dsn() -> dict[str, Any]:
    return dict(IngestSettings().postgres_dsn(Role.INGEST))


async def _asyncpg() -> Any:
    dsn = _dsn()
    library: Any = importlib.import_module("asyncpg")
    named = {name: dsn[name] for name in ("host", "port", "user", "password")}
    return await library.connect(
        **named, database=dsn["dbname"], ssl=False, server_settings={"timezone": "UTC"}
    )


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    table = job["table"]
    way = WAYS[job["way"]](table)
    for name in rows.PASSES[table]:
        made = rows.made(table, name, job["rows"])
        taken = [way.taken(chunk) for chunk in rows.chunks(made, job["chunk"])]
        wait_for_start()
        for each in taken:
            way.write(each)
        tell("ended")
    sys.stdin.readline()  # its CPU is read while it is there


if __name__ == "__main__":
    main()
