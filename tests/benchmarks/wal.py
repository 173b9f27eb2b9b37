"""How much WAL a row of each stream makes, and a second of the default schedule.

    python -m tests.benchmarks.wal FOLDER [SECONDS]

FOLDER: of a stack that runs (`pytest --keep-stack=FOLDER`). The real ingester polls the simulated
exchange by its default schedule and writes into a database of its own; each batch is written a
table at a time, with PostgreSQL's WAL position read before and after. It begins with a checkpoint,
so the full pages that follow one are in. tests/unit/test_shedding_simulation.py uses the figures.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from contracts.naming import Role
from ingest import service
from ingest.batch import Batch, Written
from ingest.settings import IngestSettings
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from runtime.shutdown import Shutdown
from tests.conftest import free_ports, settings_of
from tests.integration import scratch
from tests.integration.ingesting import Simulator

APART = ("prices", "depth", "trades", "klines", "tickers")
EMPTY = Batch()


def position(connection: scratch.Connection) -> int:
    sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
    return int(scratch.value(connection, sql))


def split(batch: Batch) -> dict[str, Batch]:
    """The same rows, a stream at a time; rankings go with the statistics they rank."""
    parts = {name: Batch(**{name: getattr(batch, name)}) for name in APART if getattr(batch, name)}
    if "prices" in parts:
        parts["prices"].watched = batch.watched
    if "tickers" in parts:
        parts["tickers"].watched, parts["tickers"].movers = batch.watched, batch.movers
    rest = {name: getattr(EMPTY, name) for name in (*APART, "watched", "movers")}
    return {**parts, "rest": msgspec.structs.replace(batch, **rest)}


class Measured(Store):
    """Writes a stream at a time and keeps what WAL each made."""

    meter: ClassVar[scratch.Connection]
    rows: ClassVar[Counter[str]] = Counter()
    made: ClassVar[Counter[str]] = Counter()

    def write(self, batch: Batch) -> Written:
        for stream, part in split(batch).items():
            before = position(self.meter)
            written = super().write(part)
            self.made[stream] += position(self.meter) - before
            self.rows[stream] += sum(written.rows.values())
        return Written()

    def beat(self, source: str) -> None:
        """Heartbeats are measured apart, before the polls begin."""

    def measure_beats(self, count: int) -> None:
        before = position(self.meter)
        for _ in range(count):
            super().beat("ingest")
            time.sleep(0.002)  # each in a millisecond of its own
        self.made["heartbeat"] += position(self.meter) - before
        self.rows["heartbeat"] += count


def measure(database: PostgresEndpoint, simulator: Simulator, seconds: float) -> dict[str, Any]:
    """By stream: rows written, WAL bytes a row, WAL bytes a second of the default schedule.

    What else the cluster writes meanwhile is counted with it (autovacuum, snapshots of running
    transactions), so the figures are upper bounds; let nothing else write.
    """
    settings = IngestSettings(
        state_dir=Path(tempfile.mkdtemp(prefix="tidemark-wal-")),
        secrets_dir=database.secrets_dir,
        postgres_port=database.postgres_port,
        postgres_database=database.postgres_database,
        exchange="simulator",
        simulator_url=simulator.url,
        request_timeout_s=60,
        ingest_metrics_port=0,
    )
    with closing(scratch.connect(database, Role.POSTGRES_ADMIN)) as meter:
        Measured.meter = meter
        vars(service)["Store"] = Measured
        store = Measured(settings)
        store.measure_beats(200)
        shutdown = Shutdown()
        thread = threading.Thread(target=service.run, args=(settings, shutdown))
        thread.start()
        time.sleep(20)  # the first poll of everything is over
        made, rows, began = Counter(Measured.made), Counter(Measured.rows), time.monotonic()
        meter.cursor().execute("CHECKPOINT")
        time.sleep(seconds)
        took = time.monotonic() - began
        made["heartbeat"] = rows["heartbeat"] = 0
        found = {
            stream: {
                "rows": Measured.rows[stream] - rows[stream],
                "bytes_a_row": round((Measured.made[stream] - made[stream]) / count, 1),
                "bytes_a_second": round((Measured.made[stream] - made[stream]) / took, 1),
            }
            for stream in Measured.made
            if (count := Measured.rows[stream] - rows[stream])
        }
        shutdown.request()
        thread.join(30)
    return found


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 240.0
    environment = json.loads((folder / "test-environment.json").read_text())
    running = settings_of(environment)
    endpoint = PostgresEndpoint(
        secrets_dir=running.state_dir / "secrets", postgres_port=running.postgres_port
    )
    simulator = Simulator(free_ports(1)[0])
    with simulator.running(), scratch.migrated_database(endpoint) as database:
        print(json.dumps(measure(database, simulator, seconds), indent=2))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
