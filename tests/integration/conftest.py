"""What modules have for themselves on the shared services.

`database`, `owner`   a migrated database, for what needs PostgreSQL and nothing behind it
`store`               the ingester's store on that database, its tables empty
`exchange`            a simulated exchange in a process of its own
`replica`             a database, a keyspace and generations, for tests that break replication on
                      purpose: the slot, the connector and the remembered state are theirs alone
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cdc import keyspace
from cdc.connector.client import ConnectClient
from cdc.errors import CdcError
from cdc.settings import CdcSettings
from contracts.naming import MAX_GENERATION, Role, slot_name
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from runtime.settings import PROJECT_ROOT
from tests.conftest import Stack, free_ports
from tests.integration import scratch
from tests.integration.ingesting import Simulator
from tests.integration.sessions import Sessions


def generations(stack: Stack) -> Iterator[int]:
    """Numbers of generations that nothing has used, far from the pipeline's own.

    They go on where an earlier run on a kept stack ended.
    """
    used = stack.settings.state_dir / "generations-used"
    first = int(used.read_text()) + 1 if used.exists() else 20
    for number in range(first, MAX_GENERATION + 1):
        used.write_text(str(number))
        yield number
    pytest.exit("all generations of this stack are used: end it (--end-stack) and start anew")


def cdc_settings(environment: Mapping[str, str]) -> CdcSettings:
    """Settings as a process with this environment would read them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return CdcSettings()


@dataclass
class Replica:
    """A replication of its own: migrated schemas, and whatever a test starts of the rest."""

    stack: Stack
    variables: dict[str, str]
    sessions: Sessions = field(default_factory=Sessions)

    def next_generation(self) -> None:
        """Go on in a generation that nothing was started in yet; the last one ends."""
        if "TIDEMARK_GENERATION" in self.variables:
            self.end()
        generation = next(generations(self.stack))
        self.variables["TIDEMARK_GENERATION"] = str(generation)
        self.variables["TIDEMARK_SINK_GROUP"] = f"sink-{generation}"

    @property
    def settings(self) -> CdcSettings:
        return cdc_settings(self.stack.env | self.variables)

    def tidemark(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.stack.tidemark(*arguments, timeout_s=300, **(self.variables | variables))

    def sql(self, statement: str, *values: object, role: str = Role.OWNER) -> list[Any]:
        """Run a statement in PostgreSQL, in a transaction of its own."""
        with closing(psycopg2.connect(**self._dsn(role))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

    def cql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement in Cassandra as its owner; `?` stands for a value."""
        return self.sessions.run(self.settings, Role.OWNER, statement, *values)

    def sink(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A sink process for the length of a block."""
        return self.process("sink")

    @contextmanager
    def process(self, name: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of our processes for the length of a block."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", name],
            cwd=PROJECT_ROOT,
            env=self.stack.process_env | self.variables | variables,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def end(self) -> None:
        """Remove the connector and its slot, which would keep WAL; PostgreSQL has few."""
        with suppress(CdcError), ConnectClient(self.settings) as connect:
            connect.delete()
        self.drop_slot()

    def drop_slot(self) -> None:
        """Drop this generation's slot once nobody uses it; harmless where there is none."""
        name = slot_name(self.settings.generation)
        for _ in range(300):
            if not self.sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", name):
                return
            with suppress(psycopg2.errors.ObjectInUse):  # a task that ends may hold it for a moment
                self.sql("SELECT pg_drop_replication_slot(%s)", name, role=Role.POSTGRES_ADMIN)
            time.sleep(0.1)
        raise AssertionError(f"slot {name} stays in use")

    def _dsn(self, role: str) -> dict[str, Any]:
        return dict(self.settings.postgres_dsn(role))


@pytest.fixture(scope="module")
def database(postgres: Stack) -> Iterator[PostgresEndpoint]:
    """A migrated database of the module's own."""
    with scratch.migrated_database(postgres.settings) as made:
        yield made


@pytest.fixture
def owner(database: PostgresEndpoint) -> Iterator[scratch.Connection]:
    """Its owner's connection; every table is empty."""
    with closing(scratch.connect(database, Role.OWNER)) as connection:
        scratch.empty(connection)
        yield connection


@pytest.fixture
def store(database: PostgresEndpoint, owner: scratch.Connection) -> Iterator[Store]:
    """The ingester's store, on empty tables."""
    del owner  # its TRUNCATE comes first
    opened = Store(database, patience_s=5)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def exchange() -> Iterator[Simulator]:
    """A simulated exchange for all tests of a module."""
    started = Simulator(free_ports(1)[0])
    with started.running():
        yield started


@pytest.fixture(scope="module")
def replica(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Replica]:
    """A migrated database and keyspace named after the test module."""
    name = Path(str(request.path)).stem
    variables = {
        "TIDEMARK_POSTGRES_DATABASE": name,
        "TIDEMARK_CASSANDRA_KEYSPACE": name,
        "TIDEMARK_SINK_METRICS_PORT": "0",
    }
    made = Replica(stack, variables)
    made.next_generation()
    admin: dict[str, Any] = {**made._dsn(Role.POSTGRES_ADMIN), "dbname": "postgres"}
    with closing(psycopg2.connect(**admin)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if request.config.getoption("--keep-stack"):
                _drop_leftovers(made, cursor, name)
            cursor.execute(f"CREATE DATABASE {name} OWNER {Role.OWNER}")
    migrated = made.tidemark("migrate")
    assert migrated.returncode == 0, migrated.stderr
    with ExitStack() as cleanup:
        cleanup.callback(made.sessions.close)
        cleanup.callback(made.end)
        yield made


def _drop_leftovers(made: Replica, cursor: Any, name: str) -> None:
    """What an earlier run left on a kept stack: slots, database, keyspace."""
    cursor.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
        (name,),
    )
    cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    anywhere = made.settings.model_copy(update={"cassandra_keyspace": "system"})
    with suppress(CdcError), keyspace.session(anywhere, Role.OWNER) as session:  # no owner yet
        session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)
