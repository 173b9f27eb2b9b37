"""Python contestants that write rows from memory: no Kafka and no JSON in their clock.

    python -m tests.benchmarks.sink.loops JOB

Each writes its rows in whole passes until the window is over, each pass under another venue and so
as new rows. A program of its own, for each library is imported alone.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from cassandra.concurrent import execute_concurrent_with_args

from cdc.mapping import Bucket
from cdc.times import bucket_start, micros
from tests.benchmarks.running import tell, wait_for_start
from tests.benchmarks.sink.jobs import Job
from tests.benchmarks.sink.log import rows as log_rows

Values = tuple[Any, ...]
_BUCKETS = {str(each) for each in Bucket}


def values(target: Job, row: dict[str, Any]) -> Values:
    """A row's values but the first, which is the venue."""
    return tuple(_value(row[source], kind) for source, kind, _ in target["columns"][1:])


def _value(value: Any, kind: str) -> Any:
    if kind == "decimal":
        # as few bytes as can be; no exponent, at which acsylla balks
        return Decimal(f"{Decimal(value).normalize():f}")
    if kind == "micros":
        return micros(value)
    if kind == "timestamp":
        return _moment(micros(value) // 1000)
    if kind in _BUCKETS:
        return _moment(bucket_start(Bucket(kind), micros(value) // 1000))
    return value


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def prepared_rows(job: Job) -> list[tuple[Job, list[Values]]]:
    """Each target table with its rows."""
    first, last = job["log_events"] - job["events"], job["log_events"]
    found = []
    for target in job["targets"]:
        rows = log_rows(target["source"], first, last)
        above = target["above"]
        if above is not None:
            rows = (row for row in rows if Decimal(row[above[0]]) > Decimal(above[1]))
        found.append((target, [values(target, row) for row in rows]))
    return found


def started(job: Job, count: int) -> Iterator[str]:
    """Wait for the start, then a venue for each pass, until the window is over; say the end."""
    wait_for_start()
    end, passes = time.monotonic() + job["window_s"], 0
    while passes == 0 or time.monotonic() < end:
        yield f"{job['venue']}{passes}"
        passes += 1
    tell("ended", rows=passes * count, passes=passes)


def concurrent(job: Job) -> None:
    """The way that the driver's documentation shows for many rows."""
    where = job["cassandra"]
    with Cluster(
        [where["host"]],
        port=where["port"],
        auth_provider=PlainTextAuthProvider(where["user"], _password(job)),
        protocol_version=5,
    ) as cluster:
        session = cluster.connect(where["keyspace"])
        tables = [(session.prepare(told["insert"]), rows) for told, rows in prepared_rows(job)]
        for venue in started(job, sum(len(rows) for _, rows in tables)):
            for insert, rows in tables:
                named = ((venue, *row) for row in rows)
                execute_concurrent_with_args(session, insert, named, concurrency=job["in_flight"])


async def with_acsylla(job: Job) -> None:
    acsylla: Any = importlib.import_module("acsylla")
    where = job["cassandra"]
    cluster = acsylla.create_cluster(
        [where["host"]], port=where["port"], username=where["user"], password=_password(job)
    )
    session = await cluster.create_session(keyspace=where["keyspace"])
    tables = [
        (await session.create_prepared(told["insert"]), rows) for told, rows in prepared_rows(job)
    ]

    async def write(insert: Any, row: Values) -> None:
        statement = insert.bind()
        statement.bind_list(list(row))
        await session.execute(statement)

    await _passes(job, tables, write)
    await session.close()


async def with_scyllapy(job: Job) -> None:
    scyllapy: Any = importlib.import_module("scyllapy")
    big: Any = importlib.import_module("scyllapy.extra_types").BigInt
    where = job["cassandra"]
    scylla = scyllapy.Scylla(
        [f"{where['host']}:{where['port']}"],
        username=where["user"],
        password=_password(job),
        keyspace=where["keyspace"],
    )
    await scylla.startup()
    tables = []
    for told, rows in prepared_rows(job):
        marked = [at for at, (_, kind, _) in enumerate(told["columns"]) if kind in _WHOLE]
        tables.append((await scylla.prepare(told["insert"]), rows, marked))

    async def write(insert: tuple[Any, list[int]], row: Values) -> None:
        prepared, marked = insert
        typed = list(row)
        for at in marked:
            typed[at] = big(typed[at])
        await scylla.execute(prepared, typed)

    await _passes(job, [((insert, marked), rows) for insert, rows, marked in tables], write)
    await scylla.shutdown()


_WHOLE = ("bigint", "micros")


async def _passes(
    job: Job,
    tables: list[tuple[Any, list[Values]]],
    write: Callable[[Any, Values], Awaitable[None]],
) -> None:
    """So many tasks, each taking the next row when its last one is written."""

    async def worker(rows: Iterable[tuple[Any, Values]]) -> None:
        for insert, row in rows:
            await write(insert, row)

    for venue in started(job, sum(len(rows) for _, rows in tables)):
        todo = ((insert, (venue, *row)) for insert, rows in tables for row in rows)
        async with asyncio.TaskGroup() as group:
            for _ in range(job["in_flight"]):
                group.create_task(worker(todo))


def _password(job: Job) -> str:
    return Path(job["cassandra"]["password_file"]).read_text(encoding="utf-8").strip()


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["engine"] == "concurrent":
        concurrent(job)
    elif job["engine"] == "acsylla":
        asyncio.run(with_acsylla(job))
    else:
        asyncio.run(with_scyllapy(job))


if __name__ == "__main__":
    main()
