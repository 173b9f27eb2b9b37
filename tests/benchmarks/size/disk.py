"""Bytes on disk: of PostgreSQL's tables with their indexes, Kafka's topics, Cassandra's tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cdc import keyspace
from cdc.settings import CdcSettings
from contracts.naming import Role, topic_prefix
from stack.settings import StackSettings
from tests.benchmarks.stacks import say
from tests.integration import scratch

FLUSH_S = 10
ALTER_S = 60.0
LOOK_S = 3.0
STEADY = 4  # looks that must say the same
PATIENCE_S = 1800.0

Sizes = dict[str, int]


def of_relation(connection: scratch.Connection, table: str) -> tuple[int, int]:
    """(rows, bytes) of a table of PostgreSQL, its partitions and indexes."""
    rows = scratch.value(connection, f"SELECT count(*) FROM {table}")
    size = scratch.value(
        connection,
        "SELECT coalesce(sum(pg_total_relation_size(t.relid)), pg_total_relation_size(%s)) "
        "FROM pg_partition_tree(%s) AS t WHERE t.isleaf",
        table,
        table,
    )
    return int(rows), int(size)


def of_postgres(settings: StackSettings, table: str) -> Sizes:
    """A table's rows and bytes, those of its indexes, of the whole database, of all WAL."""
    with closing(scratch.connect(settings, Role.POSTGRES_ADMIN)) as connection:
        rows, size = of_relation(connection, table)
        indexes = scratch.value(
            connection,
            "SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree(%s) WHERE isleaf",
            table,
        )
        whole = scratch.value(connection, "SELECT pg_database_size(current_database())")
        written_ahead = scratch.value(connection, "SELECT sum(size) FROM pg_ls_waldir()")
    return {
        "rows": rows,
        "table and indexes": size,
        "indexes": int(indexes),
        "database": int(whole),
        "WAL": int(written_ahead),
    }


def of_kafka(settings: StackSettings, generation: int) -> Sizes:
    """Bytes of each topic of a generation, by the name of its table."""
    found: Counter[str] = Counter()
    for folder in settings.data("kafka").glob(f"{topic_prefix(generation)}.*-*"):
        topic, _, partition = folder.name.rpartition("-")
        if partition.isdecimal():
            found[topic.rpartition(".")[2]] += below(folder)
    return dict(found)


def of_cassandra(settings: StackSettings, name: str) -> Sizes:
    """Bytes of each table of a keyspace, whatever became of it before, and of the commit log."""
    found: Counter[str] = Counter()
    for folder in (settings.data("cassandra") / "data" / name).glob("*-*"):
        found[folder.name.rpartition("-")[0]] += below(folder)
    found["commit log"] = below(settings.data("cassandra") / "commitlog")
    return dict(found)


def below(folder: Path) -> int:
    """Bytes of all files below a folder; those that go meanwhile count for nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def settle(settings: StackSettings, replication: CdcSettings, tables: list[str]) -> None:
    """Wait until tables of Cassandra are on disk as a whole, and compacted."""

    def size() -> int:
        known = of_cassandra(settings, replication.cassandra_keyspace)
        return sum(known.get(table, 0) for table in tables)

    with keyspace.session(replication, Role.OWNER) as session, _flushing(session, tables):
        _until_steady(size)
        _until_steady(
            lambda: len(list(session.execute("SELECT * FROM system_views.sstable_tasks")))
        )
        _until_steady(size)


@contextmanager
def _flushing(session: Any, tables: list[str]) -> Iterator[None]:
    """Memory tables go to disk by themselves: without JMX there is no other way to ask for it."""

    def every(seconds: int) -> None:
        for table in tables:
            change = f"ALTER TABLE {table} WITH memtable_flush_period_in_ms = {seconds * 1000}"
            session.execute(change, timeout=ALTER_S)

    every(FLUSH_S)
    try:
        time.sleep(2 * FLUSH_S)
        yield
    finally:
        every(0)


def _until_steady(look: Callable[[], int]) -> None:
    """Until so many looks say the same; the schedule goes on, so it may never be quite still."""
    deadline, seen = time.monotonic() + PATIENCE_S, [-1]
    while len(seen) < STEADY:
        time.sleep(LOOK_S)
        value = look()
        seen = [*seen, value] if abs(value - seen[-1]) <= abs(value) // 1000 else [value]
        if time.monotonic() > deadline:
            say("Cassandra does not come to rest; its size is taken as it is")
            return
