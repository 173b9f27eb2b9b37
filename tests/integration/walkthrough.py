"""Documents, executed as they stand, in a copy of the project that they may change.

Their blocks, by their language:

    python, cql    a new file, named in its first line; <newest> is the newest revision
    diff           what is changed in a file
    sh             commands; `tidemark restart sink …` restarts the sink of this walk
    sql            a statement of ingestion's
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
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2

from cdc import keyspace
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT
from tests.conftest import free_ports
from tests.documents import Block, blocks
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until
from watch.checks import halted_complaint
from watch.probes import sink as sink_probe

TABLE = "coin_markets"

EXECUTED = ("python", "cql", "diff", "sh", "sql", "halted")
_COPIED = (
    *("cassandra", "cdc", "cli", "contracts", "debezium", "grafana", "ingest", "migrations"),
    *("page", "runtime", "simulator", "stack", "tests", "watch", "pyproject.toml"),
)
_PROGRAMS = {"tidemark": ("-m", "cli.main"), "pytest": ("-m", "pytest"), "python": ()}
_RECIPES = {"make dashboards": "python -m cli.dashboards write"}  # as the Makefile has them
_MOMENT = "2026-11-20T22:00:00Z"

# Whatever columns the table has at the moment take their values from here.
COIN: dict[str, Any] = {
    "venue": "v",
    "vs_currency": "usd",
    "symbol": "s",
    "price": "1.5",
    "market_cap": "100",
    "market_cap_rank": 7,
    "total_volume": "70",
    "volume_24h": "71",
    "max_supply": "21",
    "all_time_high": "9.5",
    "as_of": _MOMENT,
    "ts_event": _MOMENT,
    "ingested_at": _MOMENT,
}
INSERT_COIN = (
    "INSERT INTO coin_markets SELECT * FROM jsonb_populate_record(NULL::coin_markets, %s) "
    "ON CONFLICT ON CONSTRAINT pk_coin_markets DO UPDATE SET name = excluded.name"
)
DELETE_COIN = "DELETE FROM coin_markets WHERE coin_id = %s"
INSERT_PRICE = (
    "INSERT INTO prices (venue, symbol, observed_at, price) "
    "VALUES ('v', 'S', date_trunc('milliseconds', clock_timestamp()), %s) ON CONFLICT DO NOTHING"
)


@dataclass
class Load:
    """Writes coins and prices, and deletes coins, until it is told to end; fifty a second."""

    replica: Replica
    seed: int
    written: int = 0
    failure: Exception | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        chance = random.Random(self.seed)
        dsn: Any = self.replica.settings.postgres_dsn(Role.OWNER)
        try:
            with closing(psycopg2.connect(**dsn)) as connection:
                while not self.ended.wait(0.02):
                    with connection, connection.cursor() as cursor:
                        coin = f"coin-{chance.randrange(200)}"
                        if chance.random() < 0.1:
                            cursor.execute(DELETE_COIN, (coin,))
                        row = COIN | {"coin_id": coin, "name": f"n{self.written}"}
                        cursor.execute(INSERT_COIN, (json.dumps(row),))
                        cursor.execute(INSERT_PRICE, (self.written,))
                    self.written += 1
        except Exception as error:  # noqa: BLE001 - `walk` looks at it
            self.failure = error

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write for the length of a block."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join()


@dataclass
class Copy:
    """A copy of the project that somebody works on. `environment`: of what runs from it."""

    root: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        for name in _COPIED:
            path = PROJECT_ROOT / name
            if path.is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, self.root / name, ignore=unwanted)
            else:
                shutil.copy(path, self.root / name)
        revisions = (self.root / "migrations" / "versions").glob("[0-9]*.py")
        self.newest = max(path.name[:4] for path in revisions)

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
        """One command of a document; it must succeed."""
        done = self.command(_RECIPES.get(line, line))
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def command(self, line: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        return subprocess.run(
            [sys.executable, *_PROGRAMS[words[0]], *words[1:]],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@dataclass
class Release(Copy):
    """The copy that a replication runs from: its sink is of it."""

    replica: Replica
    cassandra: Any
    sink: subprocess.Popen[bytes] | None = None

    def run(self, line: str) -> None:
        """The same; the walk's own sink is the one that is restarted."""
        if line.startswith("tidemark restart "):
            assert "sink" in line.split()
            self.restart_sink()
        else:
            super().run(line)

    def restart_sink(self) -> None:
        self.stop_sink()
        self.sink = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "sink"], cwd=self.root, env=self.environment
        )

    def stop_sink(self) -> None:
        if self.sink is not None:
            self.sink.terminate()
            self.sink.wait(20)

    def halted(self) -> str:
        """Why the sink has halted the table, as status and alarm say it; '' where it has not."""
        halted = sink_probe(self.replica.settings.sink_metrics_port).halted
        return halted_complaint({TABLE: halted[TABLE]} if TABLE in halted else {}) or ""

    def coins(self) -> dict[str, tuple[Any, ...]]:
        """{coin: (name, high, volume, rank)} in Cassandra at the end of the walkthrough."""
        rows = self.cassandra.execute("SELECT * FROM coin_markets")
        return {
            row.coin_id: (row.name, row.all_time_high, row.total_volume, row.shared_rank)
            for row in rows
        }

    def coins_of_postgresql(self) -> dict[str, tuple[Any, ...]]:
        """The same in PostgreSQL, under the names that it has there."""
        columns = "coin_id, name, all_time_high, volume_24h, market_cap_rank"
        rows = self.replica.sql(f"SELECT {columns} FROM coin_markets")
        return {row[0]: tuple(row[1:]) for row in rows}

    def names(self) -> dict[str, str]:
        """{coin: name} in Cassandra, at any moment."""
        rows = self.cassandra.execute("SELECT coin_id, name FROM coin_markets")
        return {row.coin_id: row.name for row in rows}

    def newest_price(self) -> Decimal:
        rows = self.cassandra.execute("SELECT price FROM latest_prices WHERE venue = 'v'")
        return max((row.price for row in rows), default=Decimal(-1))


@contextmanager
def released(replica: Replica, folder: Path) -> Iterator[Release]:
    """A release like this one, with its connector and its sink."""
    (port,) = free_ports(1)
    replica.variables |= {
        "TIDEMARK_SINK_METRICS_PORT": str(port),
        "TIDEMARK_DEAD_LETTER_TOPIC": f"dead-{replica.settings.generation}",
    }
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with keyspace.session(replica.settings, Role.READER) as session:
        environment = replica.stack.process_env | replica.variables
        made = Release(folder, environment, replica, session)
        made.restart_sink()
        try:
            yield made
        finally:
            made.stop_sink()


def walk(release: Release, text: str, load: Load, after_migration: Callable[[], None]) -> list[str]:
    """Execute every block of a document in its order; why the table halted, each time."""
    wait_until(lambda: bool(release.names()), 60)
    reasons = []
    for block in blocks(text, *EXECUTED):
        assert load.failure is None, load.failure
        if block.language == "halted":
            reasons.append(_halted(release, load, block.text.strip()))
            continue
        for line in follow(release, block):
            if line == "tidemark migrate":
                after_migration()
    return reasons


def follow(copy: Copy, block: Block) -> Iterator[str]:
    """Execute a block; each of its commands, once it is done."""
    if block.language in ("python", "cql"):
        copy.add(block.text)
    elif block.language == "diff":
        copy.patch(block.text)
    elif block.language == "sql":
        assert isinstance(copy, Release)
        copy.replica.sql(block.text, role=Role.INGEST)
    else:
        for line in block.text.splitlines():
            copy.run(line)
            yield line


def _halted(release: Release, load: Load, said: str) -> str:
    """Within 30 s the sink says so; nothing of the table changes then, and the others flow."""
    wait_until(lambda: release.halted().startswith(said), 30)
    _flowing(release, load)  # and what was under way is written
    before = release.names()
    _flowing(release, load)
    assert release.names() == before
    return release.halted()


def _flowing(release: Release, load: Load) -> None:
    written = load.written
    wait_until(lambda: release.newest_price() > written, 60)
