"""Bytes of a row in each place where it lies: the figures of docs/sizing.md.

    python -m tests.benchmarks.sizing FOLDER [SECONDS]

FOLDER: of a stack that runs (`pytest --keep-stack=FOLDER`); PostgreSQL of it is enough. The real
ingester polls the simulated exchange by its default schedule into a database of its own. Disk: the
partitions with their indexes after those SECONDS, small tables grown to many rows. WAL: as
tests.benchmarks.wal. Kafka: the event that Debezium makes of a row by our connector's settings, key
and value, before the producer's lz4: written here by the rules of contracts/changes, as no Connect
need run.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cdc.mapping import Kind, Source
from cdc.routes import SOURCES
from contracts.naming import OUTBOX, Role
from contracts.schemas import EXAMPLES
from runtime.endpoints import PostgresEndpoint
from tests.benchmarks import wal
from tests.benchmarks.size.disk import of_relation
from tests.conftest import free_ports, settings_of
from tests.integration import scratch
from tests.integration.ingesting import Simulator

MANY = 30_000
SAMPLE = 500  # rows of a table from which an event is made
ENVELOPE: dict[str, Any] = json.loads((EXAMPLES / "changes" / "prices.create.json").read_text())


def grow(connection: scratch.Connection, source: Source) -> None:
    """Repeat a table's rows at later times: of few rows the empty pages would be measured."""
    column, step = (source.time, "97 ms") if source.time else ("open_time", "1 min")
    names = [f'"{each.name}"' for each in source.fields]
    values = [
        f"\"{column}\" + n * interval '{step}'" if each == f'"{column}"' else each for each in names
    ]
    rows = scratch.value(connection, f"SELECT count(*) FROM {source.table}")
    if 0 < rows < MANY:
        connection.cursor().execute(
            f"INSERT INTO {source.table} ({', '.join(names)}) SELECT {', '.join(values)} "
            f"FROM {source.table}, generate_series(1, {MANY // rows}) AS n ON CONFLICT DO NOTHING"
        )


def event_bytes(connection: scratch.Connection, source: Source) -> float | None:
    """Mean bytes of an event, key and value; None where the table is empty."""
    names = ", ".join(
        f'"{each.name}"::text' if each.kind is Kind.JSONB else f'"{each.name}"'
        for each in source.fields
    )
    rows = scratch.fetch(connection, f"SELECT {names} FROM {source.table} LIMIT {SAMPLE}")
    if not rows:
        return None
    total = 0
    for row in rows:
        fields = zip(source.fields, row, strict=True)
        after = {each.name: _as_debezium(each.kind, value) for each, value in fields}
        key = {name: after[name] for name in source.key}
        place = ENVELOPE["source"] | {"table": source.table}
        total += _size(ENVELOPE | {"after": after, "source": place}) + _size(key)
    return total / len(rows)


def _as_debezium(kind: Kind, value: Any) -> Any:
    if kind is Kind.DECIMAL and value is not None:
        return str(value)
    if kind is Kind.TIMESTAMP:
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def told(connection: scratch.Connection) -> dict[str, Any]:
    """The outbox: its WAL is measured apart, by writing what is there once more."""
    rows, size = of_relation(connection, OUTBOX)
    fields = "created_at, aggregatetype, aggregateid, type, payload"
    before = wal.position(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {OUTBOX} ({fields}) SELECT {fields} FROM {OUTBOX}")
    written = wal.position(connection) - before
    message = scratch.value(
        connection, f"SELECT avg(length(payload::text) + length(aggregateid) + 120) FROM {OUTBOX}"
    )  # 120: the headers id and type, and the names in them
    return {
        "rows": rows,
        "disk_bytes_a_row": round(size / rows),
        "wal_bytes_a_row": round(written / rows),
        "kafka_bytes_an_event": round(float(message)),
    }


def measure(database: PostgresEndpoint, simulator: Simulator, seconds: float) -> dict[str, Any]:
    """By table."""
    streams = wal.measure(database, simulator, seconds)
    with closing(scratch.connect(database, Role.POSTGRES_ADMIN)) as connection:
        found: dict[str, Any] = {
            "trading_symbols": scratch.value(
                connection, "SELECT count(*) FROM instruments WHERE status = 'TRADING'"
            ),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "wal_by_stream": streams,
        }
        for source in SOURCES:
            if source.time or source.table == "klines":
                grow(connection, source)
            rows, size = of_relation(connection, source.table)
            event = event_bytes(connection, source)
            if event is not None:
                found[source.table] = {
                    "rows": rows,
                    "disk_bytes_a_row": round(size / rows),
                    "kafka_bytes_an_event": round(event),
                }
        found[OUTBOX] = told(connection)
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
