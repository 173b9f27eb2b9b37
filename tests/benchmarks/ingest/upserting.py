"""Windows of the upserters: a pass of each table, the clock from its first row to its last commit.

Before a pass there is a checkpoint; after it the table must hold what the rows come to.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tests.benchmarks import cpu
from tests.benchmarks.ingest import rows
from tests.benchmarks.ingest.contestants import Upserter
from tests.benchmarks.ingest.database import Database
from tests.benchmarks.running import Running, running
from tests.conftest import Stack

READY_S = 300.0
PATIENCE_S = 900.0


@dataclass(kw_only=True)
class Window:
    """What one pass showed: `work` is its table and its name. CPU in seconds, WAL in bytes."""

    part: str
    contestant: str
    round: int
    at: str
    work: str
    seconds: float
    rows: int
    client_cpu_s: float
    postgres_cpu_s: float
    wal_bytes: int
    load: tuple[float, float]
    others: float
    wrong: list[str]


class Upserting:
    """Holds windows on one database; `count` rows of each table, `chunk` of them a transaction."""

    def __init__(self, stack: Stack, database: Database, count: int, chunk: int) -> None:
        self._stack = stack
        self._database = database
        self._count = count
        self._chunk = chunk
        self._known: dict[str, tuple[dict[str, str], dict[str, Decimal]]] = {}

    def hold(self, upserter: Upserter, number: int) -> Iterator[Window]:
        """Every pass of every table; Failed says why not."""
        for table, passes in rows.PASSES.items():
            self._database.anew()
            self._make_partitions(table)
            command = upserter.command(self._job(upserter, table))
            environment = self._stack.process_env | self._database.variables | upserter.needs()
            with running(command, environment) as process:
                for name in passes:
                    process.wait_for("ready", READY_S)
                    self._database.rest()
                    yield self._measured(upserter, number, process, table, name)

    def _measured(
        self, upserter: Upserter, number: int, process: Running, table: str, name: str
    ) -> Window:
        load = os.getloadavg()[0]
        process.begin()
        process.wait_for("began", READY_S)
        first = self._moment(process)
        process.wait_for("ended", PATIENCE_S)
        spent = cpu.since(first, self._moment(process))
        expressions, wanted = self._wanted(table, name)
        known = spent["client"] + spent["postgres"]
        return Window(
            part="upserts",
            contestant=upserter.name,
            round=number,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            work=f"{table}, {name}",
            seconds=round(spent["at"], 3),
            rows=self._count,
            client_cpu_s=round(spent["client"], 3),
            postgres_cpu_s=round(spent["postgres"], 3),
            wal_bytes=round(spent["wal"]),
            load=(round(load, 1), round(os.getloadavg()[0], 1)),
            others=cpu.others(spent["machine"], known, spent["at"]),
            wrong=rows.differences(self._database.sums(table, expressions), wanted),
        )

    def _moment(self, process: Running) -> dict[str, float]:
        return {
            "at": time.monotonic(),
            "client": process.cpu_s(),
            "postgres": self._database.cpu_s(),
            "machine": cpu.machine_s(),
            "wal": self._database.wal(),
        }

    def _wanted(self, table: str, name: str) -> tuple[dict[str, str], dict[str, Decimal]]:
        """What the table is asked, and what it must answer."""
        kind = f"{table} {'revised' if name == 'revised' else 'fresh'}"
        if kind not in self._known:
            made = rows.made(table, name, self._count)
            self._known[kind] = rows.expressions(table, made[0]), rows.expected(table, made)
        return self._known[kind]

    def _make_partitions(self, table: str) -> None:
        """Those of the days of trades; the product makes its own, but peers do not."""
        if table == "trades":
            made = rows.made(table, "fresh", self._count)
            for day in sorted({row.traded_at.date() for row in made}):
                self._database.partition(table, day)

    def _job(self, upserter: Upserter, table: str) -> Path:
        job = {"way": upserter.name, "table": table, "rows": self._count, "chunk": self._chunk}
        told = self._stack.settings.state_dir / f"{upserter.name}.job.json"
        told.write_text(json.dumps(job), encoding="utf-8")
        return told
