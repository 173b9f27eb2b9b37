"""docs/schema-changes.md, executed as it stands: under load, with restarts of the connector.

The walkthrough changes files, so it works in a copy of the project. Its blocks, by their language:

    python, cql    a new file, named in its first line; <newest> is the newest revision
    diff           what is changed in a file
    sh             commands; `tidemark restart sink` restarts the sink of this test
    halted         the sink says that the table halts, in these words, while the others flow
"""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cdc import keyspace
from cdc.connector import ConnectClient
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT
from tests.conftest import free_ports
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until
from watch.probes import sink as sink_probe

pytestmark = pytest.mark.integration

WALKTHROUGH = PROJECT_ROOT / "docs" / "schema-changes.md"
_BLOCK = re.compile(r"^```(python|cql|diff|sh|halted)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COPIED = (
    *("cassandra", "cdc", "cli", "contracts", "ingest", "migrations", "runtime", "simulator"),
    *("stack", "tests", "watch", "pyproject.toml"),
)
TABLE = "coin_markets"

# Whatever columns the table has at the moment take their values from here.
COIN: dict[str, Any] = {
    "venue": "v",
    "vs_currency": "usd",
    "symbol": "s",
    "name": "n",
    "price": "1.5",
    "market_cap": "100",
    "market_cap_rank": 7,
    "total_volume": "70",
    "volume_24h": "71",
    "max_supply": "21",
    "all_time_high": "9.5",
    "as_of": "2026-11-20T22:00:00Z",
    "ts_event": "2026-11-20T22:00:00Z",
}
INSERT_COIN = (
    "INSERT INTO coin_markets SELECT * FROM jsonb_populate_record(NULL::coin_markets, %s) "
    "ON CONFLICT ON CONSTRAINT pk_coin_markets DO UPDATE SET name = excluded.name"
)
INSERT_PRICE = (
    "INSERT INTO prices (venue, symbol, observed_at, price) "
    "VALUES ('v', 'S', date_trunc('milliseconds', clock_timestamp()), %s) ON CONFLICT DO NOTHING"
)


@dataclass
class Load:
    """Writes coins and prices until it is told to end, a transaction each."""

    replica: Replica
    seed: int = 1
    written: int = 0
    failure: Exception | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        chance = random.Random(self.seed)
        try:
            with closing(psycopg2.connect(**_dsn(self.replica))) as connection:
                while not self.ended.wait(0.02):
                    with connection, connection.cursor() as cursor:
                        coin = f"coin-{chance.randrange(200)}"
                        changed = {"coin_id": coin, "name": f"n{self.written}"}
                        now = {"ingested_at": "2026-11-20T22:00:00Z"}
                        cursor.execute(INSERT_COIN, (json.dumps(COIN | changed | now),))
                        cursor.execute(INSERT_PRICE, (self.written,))
                    self.written += 1
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.failure = error


def _dsn(replica: Replica) -> dict[str, Any]:
    return dict(replica.settings.postgres_dsn(Role.OWNER))


@dataclass
class Release:
    """A copy of the project that somebody works on, and the sink that runs from it."""

    replica: Replica
    root: Path
    newest: str
    cassandra: Any
    sink: subprocess.Popen[bytes] | None = None

    def add(self, text: str) -> None:
        """A new file, named in its first line."""
        path = self.root / text.partition("\n")[0].lstrip("#- ")
        assert not path.exists()
        path.write_text(text.replace("<newest>", self.newest))

    def patch(self, text: str) -> None:
        """Change files as a diff says; each part of it fits in exactly one place."""
        for part in re.split(r"^--- .*\n", text, flags=re.MULTILINE)[1:]:
            name, *hunks = re.split(r"^@@.*\n", part, flags=re.MULTILINE)
            path = self.root / name.strip().removeprefix("+++ b/")
            for hunk in hunks:
                lines = hunk.splitlines(keepends=True)
                old = "".join(line[1:] for line in lines if line[0] in " -")
                new = "".join(line[1:] for line in lines if line[0] in " +")
                whole = path.read_text()
                assert whole.count(old) == 1, f"{path.name} has {whole.count(old)} times:\n{old}"
                path.write_text(whole.replace(old, new))

    def run(self, line: str) -> None:
        """One command of the walkthrough."""
        if line == "tidemark restart sink":
            self.restart_sink()
            return
        words = shlex.split(line)
        module = {"tidemark": "cli.main", "pytest": "pytest"}[words[0]]
        done = subprocess.run(
            [sys.executable, "-m", module, *words[1:]],
            cwd=self.root,
            env=self.replica.stack.process_env | self.replica.variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if words[1] == "migrate":
            with ConnectClient(self.replica.settings) as connect:
                connect.restart_task(0)

    def restart_sink(self) -> None:
        self.stop_sink()
        self.sink = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "sink"],
            cwd=self.root,
            env=self.replica.stack.process_env | self.replica.variables,
        )

    def stop_sink(self) -> None:
        if self.sink is not None:
            self.sink.terminate()
            self.sink.wait(20)


@pytest.fixture
def release(replica: Replica, tmp_path: Path) -> Iterator[Release]:
    """A release like this one, with its connector and its sink."""
    (port,) = free_ports(1)
    replica.variables |= {
        "TIDEMARK_SINK_METRICS_PORT": str(port),
        "TIDEMARK_DEAD_LETTER_TOPIC": f"dead-{replica.settings.generation}",
    }
    for name in _COPIED:
        path = PROJECT_ROOT / name
        if path.is_dir():
            shutil.copytree(path, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tmp_path / name)
    newest = max(path.name[:4] for path in (tmp_path / "migrations" / "versions").glob("[0-9]*.py"))
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with keyspace.session(replica.settings, Role.READER) as session:
        made = Release(replica, tmp_path, newest, session)
        made.restart_sink()
        try:
            yield made
        finally:
            made.stop_sink()


@pytest.fixture
def load(replica: Replica) -> Iterator[Load]:
    """Rows that are written all the while."""
    made = Load(replica)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        thread.join()


def newest_price(release: Release) -> Decimal:
    rows = release.cassandra.execute("SELECT price FROM latest_prices WHERE venue = 'v'")
    return max((row.price for row in rows), default=Decimal(-1))


def coins(release: Release) -> dict[str, Any]:
    """The rows of coin_markets in Cassandra."""
    return {row.coin_id: row for row in release.cassandra.execute("SELECT * FROM coin_markets")}


def assert_halted(release: Release, load: Load, reason: str) -> None:
    """Within 30 s the sink names table, column and migration; other tables go on, this does not."""
    port = release.replica.settings.sink_metrics_port
    wait_until(lambda: sink_probe(port).halted.get(TABLE, "").startswith(reason.strip()), 30)
    before, written = coins(release), load.written
    wait_until(lambda: newest_price(release) > written, 60)
    assert coins(release) == before


@pytest.mark.timeout(900)  # a minute on a machine that has nothing else to do
def test_the_walkthrough_is_walked_to_its_end(release: Release, load: Load) -> None:
    """Each block in its order, rows being written all the while; then both sides are equal."""
    wait_until(lambda: bool(coins(release)), 60)
    blocks = _BLOCK.findall(WALKTHROUGH.read_text())
    assert [language for language, _ in blocks].count("halted") == 3
    for language, text in blocks:
        assert load.failure is None
        if language in ("python", "cql"):
            release.add(text)
        elif language == "diff":
            release.patch(text)
        elif language == "halted":
            assert_halted(release, load, text)
        else:
            for line in text.splitlines():
                release.run(line)
    rows = coins(release).values()
    assert {row.shared_rank for row in rows} == {Decimal(7)}
    assert Decimal("9.5") in {row.all_time_high for row in rows}
    assert {row.total_volume for row in rows} <= {Decimal(70), Decimal(71)}
    assert load.failure is None
