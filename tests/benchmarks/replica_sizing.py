"""Bytes of a source row in Cassandra, in all tables that it feeds: for docs/sizing.md.

    python -m tests.benchmarks.replica_sizing

Beside a stack that runs in this folder, after an hour or more of its schedule. Memory tables are
written out and compacted first. A row that is updated counts once, whatever its former versions
still take until they are compacted away.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from cdc.routes import ROUTES, SOURCES, routes_of
from cdc.settings import CdcSettings
from contracts.naming import Role
from stack.settings import StackSettings
from tests.benchmarks.size import disk
from tests.integration import scratch


def measure(settings: StackSettings, replication: CdcSettings) -> dict[str, Any]:
    """By source table: its rows, bytes a row in each table of Cassandra, and in all of them."""
    disk.settle(settings, replication, [route.table for route in ROUTES])
    sizes = disk.of_cassandra(settings, replication.cassandra_keyspace)
    found: dict[str, Any] = {}
    with closing(scratch.connect(settings, Role.POSTGRES_ADMIN)) as connection:
        for source in SOURCES:
            rows = scratch.value(connection, f"SELECT count(*) FROM {source.table}")
            bytes_of = {route.table: sizes.get(route.table, 0) for route in routes_of(source.table)}
            if rows:
                found[source.table] = {
                    "rows": rows,
                    "bytes_a_row": round(sum(bytes_of.values()) / rows, 1),
                    "of": {table: round(size / rows, 1) for table, size in bytes_of.items()},
                }
    return found


if __name__ == "__main__":
    measured = measure(StackSettings(), CdcSettings())
    print(json.dumps(measured, indent=2))  # noqa: T201 - its output
