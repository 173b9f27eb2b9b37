"""How many stream messages a second are sustained, and how late trades are in the databases.

    python -m tests.benchmarks.streams_rate FOLDER [--minutes 10] [--trades-per-second 1300]
    TIDEMARK_ENV_FILE=… python -m tests.benchmarks.streams_rate [--minutes 10]

FOLDER: of services that run (`pytest --keep-stack=FOLDER`); PostgreSQL is enough. A simulated
exchange and the real ingester are started, and write into a database of their own. Without it the
whole stack that the settings name is looked at while it runs with TIDEMARK_STREAMS=on, to Cassandra
too. Goals: 1,000 messages a second in the slowest ten seconds, less than a second, no id missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cdc import keyspace
from cdc.settings import CdcSettings
from contracts.naming import Role
from ingest.settings import IngestSettings
from runtime.settings import PROJECT_ROOT
from tests.benchmarks.figures import STREAMS, Figure
from tests.benchmarks.kit import concluded, record_figures
from tests.benchmarks.running import ended
from tests.benchmarks.stacks import say
from tests.conftest import free_ports, settings_of
from tests.integration import scratch
from tests.integration.ingesting import environment_of, eventually

WINDOW_S = 10.0
SETTLE_S = 30.0
MESSAGES_GOAL, LATENCY_GOAL_MS = 1000, 1000

LATENCY = """
SELECT count(*), percentile_disc(ARRAY[0.5, 0.99, 1])
       WITHIN GROUP (ORDER BY extract(epoch FROM ingested_at - traded_at) * 1000)
FROM trades WHERE ingested_at >= %s AND ingested_at < %s
"""
MISSING = """
SELECT coalesce(sum(missing), 0) FROM (
    SELECT max(trade_id) - min(trade_id) + 1 - count(*) AS missing
    FROM trades WHERE ingested_at >= %s AND ingested_at < %s GROUP BY symbol
) AS by_symbol
"""


def metrics(port: int) -> dict[str, float]:
    """Sums over the labels of what ingest exports; of the latency of trades each bucket."""
    with httpx.Client(trust_env=False, timeout=10) as http:
        text = http.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            if name.endswith("stream_latency_seconds_bucket"):
                name = f"{sample.labels['kind']} {sample.labels['le']}"
            sums[name] = sums.get(name, 0.0) + sample.value
    return sums


def received_ms(first: dict[str, float], last: dict[str, float]) -> float:
    """A bound of 99 % of the times from a trade's event to its receipt, by buckets."""
    bounds = [name for name in last if name.startswith("@trade ")]
    counts = {float(each.split()[1]): last[each] - first.get(each, 0.0) for each in bounds}
    most = 0.99 * max(counts.values())
    return 1000 * min(bound for bound, count in counts.items() if count >= most)


def observed(settings: IngestSettings, seconds: float) -> Iterator[Figure]:
    """Look at a running ingester for so long."""
    start, seen = datetime.now(UTC), [metrics(settings.ingest_metrics_port)]
    began = last = time.monotonic()
    rates, standing_in = [], 0.0
    while last - began < seconds:
        time.sleep(WINDOW_S)
        seen.append(metrics(settings.ingest_metrics_port))
        now = time.monotonic()
        told = (one["tidemark_ingest_stream_messages_total"] for one in seen[-2:])
        rates.append((next(told) - next(told)) / (last - now))
        standing_in = max(standing_in, seen[-1].get("tidemark_ingest_stream_fallback_polls", 0.0))
        last = now
        say(f"{rates[-1]:,.0f} messages/s, {max(0.0, seconds - last + began):.0f} s left")
    note = f"{len(rates)} windows of {WINDOW_S:.0f} s, median {median(rates):,.0f}"
    yield Figure(
        name="messages, slowest window", value=min(rates), unit="messages/s",
        goal=MESSAGES_GOAL, at_least=True, note=note,
    )  # fmt: skip
    yield Figure(name="polls that stood in", value=standing_in, unit="polls", goal=0)
    cpu_s = seen[-1]["process_cpu_seconds_total"] - seen[0]["process_cpu_seconds_total"]
    yield Figure(name="ingest", value=100 * cpu_s / (last - began), unit="% of a core")
    note = "a bound; what the exchange itself was late is not in it"
    yield Figure(
        name="trade said to received p99",
        value=received_ms(seen[0], seen[-1]),
        unit="ms",
        note=note,
    )
    yield from _in_postgresql(settings, start, datetime.now(UTC))


def _in_postgresql(settings: IngestSettings, start: datetime, end: datetime) -> Iterator[Figure]:
    with closing(scratch.connect(settings)) as connection:
        ((count, latencies),) = scratch.fetch(connection, LATENCY, start, end)
        missing = float(scratch.value(connection, MISSING, start, end))
    note = f"{count:,} trades, from the exchange's time to the row's"
    for name, latency_ms in zip(("p50", "p99", "max"), latencies or (), strict=False):
        goal = LATENCY_GOAL_MS if name == "p99" else None
        yield Figure(
            name=f"trade in PostgreSQL {name}", value=float(latency_ms), unit="ms",
            goal=goal, note=note,
        )  # fmt: skip
    yield Figure(name="trade ids missing", value=missing, unit="ids", goal=0)


def in_cassandra(start: datetime, end: datetime) -> Iterator[Figure]:
    """From PostgreSQL's commit to Cassandra's acknowledgement, of each second's heartbeat."""
    took_ms: list[float] = []
    with keyspace.session(CdcSettings(), Role.READER) as session:
        statement = session.prepare(
            "SELECT committed_us, visible_us FROM heartbeats_by_day "
            "WHERE source = 'ingest' AND day = ? AND beat_at >= ? AND beat_at < ?"
        )
        for day in sorted({start.date(), end.date()}):
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            rows = session.execute(statement, (midnight, start, end))
            took_ms += [
                (row.visible_us - row.committed_us) / 1000 for row in rows if row.visible_us
            ]
    cuts = quantiles(took_ms, n=100, method="inclusive")
    for name, value in (("p50", cuts[49]), ("p99", cuts[98])):
        goal = LATENCY_GOAL_MS if name == "p99" else None
        note = f"{len(took_ms)} heartbeats; add the latency of trades in PostgreSQL"
        yield Figure(
            name=f"replication to Cassandra {name}", value=value, unit="ms", goal=goal, note=note
        )


@contextmanager
def streaming(folder: Path, trades_per_second: float) -> Iterator[IngestSettings]:
    """A simulated exchange and an ingester of its streams, on the services below a folder."""
    environment = json.loads((folder / "test-environment.json").read_text())
    simulator_port, metrics_port = free_ports(2)
    with scratch.migrated_database(settings_of(environment)) as database:
        settings = IngestSettings(
            state_dir=Path(tempfile.mkdtemp()),
            secrets_dir=database.secrets_dir or database.state_dir / "secrets",
            postgres_port=database.postgres_port, postgres_database=database.postgres_database,
            exchange="simulator", simulator_url=f"http://127.0.0.1:{simulator_port}",
            streams="on", coingecko="off", coincap="off", ingest_metrics_port=metrics_port,
        )  # fmt: skip
        market = {
            "TIDEMARK_SIMULATOR_METRICS_PORT": "0",
            "TIDEMARK_SIMULATOR_TRADES_PER_SECOND": str(trades_per_second),
        }
        programs = (("simulate", "--port", str(simulator_port)), ("ingest",))
        with _running(programs, environment_of(settings) | market):
            eventually(lambda: _flows(metrics_port), timeout_s=180)
            time.sleep(SETTLE_S)
            yield settings


@contextmanager
def _running(programs: tuple[tuple[str, ...], ...], environment: dict[str, str]) -> Iterator[None]:
    started = []
    try:
        for program in programs:
            command = [sys.executable, "-m", "cli.main", *program]
            started.append(subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment))
        yield
    finally:
        for process in reversed(started):
            ended(process)


def _flows(port: int) -> bool:
    try:
        seen = metrics(port)
    except httpx.HTTPError:
        return False
    wanted = seen.get("tidemark_ingest_streams_wanted", 0.0)
    return 0 < wanted == seen["tidemark_ingest_streams_live"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--trades-per-second", type=float, default=1300)
    parser.add_argument("--write", action="store_true", help="write the document's part")
    options = parser.parse_args()
    with concluded(STREAMS, write=options.write) as results:
        record_figures(STREAMS, results, [("streams", measured(options))])
    print(json.dumps(results["figures"]), flush=True)  # noqa: T201 - its output
    lost = results["absent"] or not all(Figure(**each).reached for each in results["figures"])
    sys.exit(1 if lost else 0)


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    """On services below a folder, or on the whole stack that the settings name."""
    seconds, start = options.minutes * 60, datetime.now(UTC)
    if options.folder is not None:
        os.environ["TIDEMARK_ENV_FILE"] = os.devnull
        with streaming(options.folder, options.trades_per_second) as settings:
            yield from observed(settings, seconds)
    else:
        yield from observed(IngestSettings(), seconds)
        yield from in_cassandra(start, datetime.now(UTC) - timedelta(seconds=5))


if __name__ == "__main__":
    main()
