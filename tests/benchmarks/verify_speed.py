"""How fast rows are compared by digests and row by row, what it costs whom, and how much memory.

    TIDEMARK_ENV_FILE=… python -m tests.benchmarks.verify_speed --rows 180000 1800000

Works in a database and a keyspace of its own (`bench_verify`): the same trades in PostgreSQL and,
by the sink's own encoder, in Cassandra. Both ways run in turn, each in a process of its own, so
that a busy machine slows both. A line of JSON a run: rows/s, µs of CPU a row here and in
PostgreSQL's backend, and the peak of this process's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from psycopg2.extras import execute_values

from cdc import keyspace
from cdc.fence import Fence
from cdc.routes import routes_of
from cdc.settings import CdcSettings
from cdc.sink import packed_batch
from cdc.sink.decoder import Decoder
from cdc.sink.prepared import prepare
from cdc.sink.router import Router
from cdc.source import SourceDatabase
from cdc.tables import TRADES
from cdc.verification.comparison import Comparison, Stores
from cdc.verification.pace import Pace
from cdc.verification.pages import PageHandler
from cdc.verification.span import Span
from contracts.naming import Role
from runtime.endpoints import PostgresEndpoint
from tests.benchmarks.events import trade_event
from tests.integration.scratch import connect, run_as

NAME = "bench_verify"
BATCH_ROWS = 100
AHEAD = 64
HOURLY = routes_of("trades")[0]
DAY = datetime(2026, 11, 20, tzinfo=UTC)


def environment() -> dict[str, str]:
    return {"TIDEMARK_POSTGRES_DATABASE": NAME, "TIDEMARK_CASSANDRA_KEYSPACE": NAME}


def fill(settings: CdcSettings, rows: int) -> None:
    """The first `rows` trades on both sides; what is there already stays."""
    endpoint = PostgresEndpoint()
    database = connect(endpoint)
    with database.cursor() as cursor:
        cursor.execute("SELECT ensure_partition('trades', %s)", (DAY.date(),))
        cursor.execute("SELECT coalesce(max(trade_id) + 1, 0) FROM trades")
        (first,) = cursor.fetchone() or (0,)
        with keyspace.session(settings, Role.SINK) as session:
            target = _Target(session, settings)
            for start in range(first, rows, 10_000):
                numbers = range(start, min(start + 10_000, rows))
                events = [trade_event(number)[1] for number in numbers]
                _into_postgres(cursor, [json.loads(event)["after"] for event in events])
                target.write(events, start)
        cursor.execute("VACUUM ANALYZE trades")


def _into_postgres(cursor: Any, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(rows[0])
    values = [tuple(row.values()) for row in rows]
    execute_values(cursor, f"INSERT INTO trades ({names}) VALUES %s", values, page_size=1000)


class _Target:
    """Writes events as the sink does, at timestamps that rise."""

    def __init__(self, session: Any, settings: CdcSettings) -> None:
        self._session = session
        self._prepared = prepare(session, settings.cassandra_keyspace)
        self._decode = Decoder(TRADES).decode
        self._router = Router(TRADES, self._prepared.heads, generation=1, placeholder="__none__")
        self._free = threading.Semaphore(AHEAD)
        self._failures: list[Exception] = []

    def write(self, events: list[bytes], first: int) -> None:
        batches: dict[tuple[str, bytes], list[bytes]] = defaultdict(list)
        for number, event in enumerate(events, first):
            for write in self._router.writes(self._decode(event), number + 1, 0, 0):
                batches[write.table, write.partition].append(write.statement)
        for statements in batches.values():
            for start in range(0, len(statements), BATCH_ROWS):
                self._free.acquire()
                packed_batch.send(
                    self._session, statements[start : start + BATCH_ROWS], 60, self._done
                )
        for _ in range(AHEAD):
            self._free.acquire()
        for _ in range(AHEAD):
            self._free.release()
        if self._failures:
            raise self._failures[0]

    def _done(self, error: Exception | None) -> None:
        if error is not None:
            self._failures.append(error)
        self._free.release()


def compare(settings: CdcSettings, way: str, until: datetime, share: float) -> dict[str, Any]:
    """One comparison in this process."""
    with ExitStack() as stack:
        stores = _stores(settings, stack)
        span = Span(end=round(until.timestamp() * 1000))
        comparison = Comparison(stores, HOURLY, span=span, pace=Pace(share), rounds=1)
        backends = _backends(stores)
        wall, here, there = time.perf_counter(), _cpu_s(), _cpu_of(backends)
        if way == "digests":
            comparison.run(lambda _: None)
        else:
            selection = comparison.selection
            bounds = (DAY, until)
            rows = stores.reader.stream(_sorted_day(selection), bounds)
            assert list(comparison._beside(rows, set())) == []
        wall, here = time.perf_counter() - wall, _cpu_s() - here
        there = _cpu_of(backends) - there
        report = comparison.report
        assert (report.candidates, report.cells_read) == (0, 0)
    rows_compared = max(1, report.rows)
    return {
        "way": way,
        "rows": report.rows,
        "cells": report.cells,
        "rows_per_s": round(report.rows / wall),
        "client_cpu_us_per_row": round(here / rows_compared * 1e6, 1),
        "postgres_cpu_us_per_row": round(there / rows_compared * 1e6, 1),
        "peak_rss_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """The most memory that this program ever held; of `ru_maxrss` its parent's is a part."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return round(int(kilobytes) / 1024, 1)


def _sorted_day(selection: Any) -> str:
    """Every row of a range, sorted: how rows were compared before there were digests."""
    return (
        f"SELECT {selection._columns} FROM {selection._from} "
        f"WHERE t.traded_at >= %s AND t.traded_at < %s ORDER BY {selection._sorted}"
    )


def _stores(settings: CdcSettings, stack: ExitStack) -> Stores:
    source = stack.enter_context(SourceDatabase(settings))
    session = stack.enter_context(keyspace.session(settings, Role.READER))
    pages = session.cluster.connect()
    pages.set_keyspace(settings.cassandra_keyspace)
    pages.client_protocol_handler = PageHandler
    fence = Fence(source=source, commit_lsn=lambda: None, watermarks=dict, acknowledged=dict)
    reader = stack.enter_context(SourceDatabase(settings))
    return Stores(reader=reader, source=source, session=session, pages=pages, fence=fence)


def _backends(stores: Stores) -> list[psutil.Process]:
    pids = [each.query("SELECT pg_backend_pid()")[0][0] for each in (stores.reader, stores.source)]
    return [psutil.Process(pid) for pid in pids]


def _cpu_of(processes: list[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return float(sum(each.user + each.system for each in times))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _make(settings: CdcSettings) -> None:
    """The database and the keyspace, migrated."""
    del settings
    run_as(
        PostgresEndpoint(),
        Role.POSTGRES_ADMIN,
        f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)",
        "postgres",
    )
    run_as(
        PostgresEndpoint(),
        Role.POSTGRES_ADMIN,
        f"CREATE DATABASE {NAME} OWNER {Role.OWNER}",
        "postgres",
    )
    subprocess.run([sys.executable, "-m", "cli.main", "migrate"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[180_000, 1_800_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="use the rows of an earlier run")
    parser.add_argument("--way", choices=("digests", "rows"), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=datetime.fromisoformat, default=DAY + timedelta(days=1))
    parser.add_argument("--share", type=float, default=1.0, help="of the time that is worked")
    parser.add_argument("--again", action="store_true", help="without an end")
    options = parser.parse_args()
    os.environ |= environment()
    while options.way:
        found = compare(CdcSettings(), options.way, options.until, options.share)
        print(json.dumps(found))  # noqa: T201 - its output
        if not options.again:
            return
    if not options.keep:
        _make(CdcSettings())
    for rows in options.rows:
        fill(CdcSettings(), rows)
        last = datetime.fromisoformat(json.loads(trade_event(rows - 1)[1])["after"]["traded_at"])
        until = last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        for _ in range(options.runs):
            for way in ("digests", "rows"):
                arguments = ["--way", way, "--until", until.isoformat()]
                subprocess.run(
                    [sys.executable, "-m", "tests.benchmarks.verify_speed", *arguments], check=True
                )


if __name__ == "__main__":
    main()
