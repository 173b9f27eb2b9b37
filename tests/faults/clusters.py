"""PostgreSQL clusters beside the stack's: restored, made anew, failed over; and what reads them.

Each is the same program with the same configuration and passwords as the stack's, in a folder of
its own. What differs stands in its postgresql.auto.conf.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, Signals
from typing import Any

import psutil
import psycopg2

from cdc import keyspace
from cdc.errors import CdcError
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT
from stack import accounts, processes
from stack.services import postgres
from stack.settings import StackSettings
from stack.topology import MARK
from tests.conftest import Stack, free_ports
from tests.faults.rig import metrics_of
from tests.integration.conftest import Replica, generations

READY_S = 60.0
RESYNCS = 3  # that a test here begins, at most
NOT_COPIED = ("postmaster.pid", "postmaster.opts")


@dataclass
class Cluster:
    """A cluster below `settings.state_dir`. `binary`: the postgres that runs it."""

    settings: StackSettings
    mark: str  # the stack whose end ends this too
    binary: str
    process: psutil.Popen | None = None

    @classmethod
    def made(cls, stack: StackSettings, folder: Path, port: int) -> Cluster:
        """A new cluster, with roles and an empty database; its standbys may replicate from it."""
        changes = {
            "state_dir": folder,
            "secrets_dir": stack.secrets,
            "artifacts_dir": stack.artifacts,
            "postgres_port": port,
            "postgres_shared_buffers_mb": 32,
        }
        settings = stack.model_copy(update=changes)
        postgres.prepare(settings)
        with (postgres.home(settings) / "pg_hba.conf").open("a") as file:
            file.write("host replication postgres 127.0.0.1/32 scram-sha-256\n")
        made = cls(settings, str(stack.state_dir), postgres.program(settings).command[0])
        made.set(wal_keep_size="512MB")
        return made

    @property
    def data(self) -> Path:
        return postgres.cluster(self.settings)

    @property
    def port(self) -> int:
        return self.settings.postgres_port

    def set(self, **options: str) -> None:
        """Settings from the next start on; the last one of a name holds."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            for name, value in options.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def start(self, port: int | None = None) -> None:
        """Run it, at another port where one is given, and wait until it takes connections."""
        if port is not None:
            self.settings = self.settings.model_copy(update={"postgres_port": port})
        user = accounts.postgres_user(self.settings.postgres_os_user)
        with (self.settings.state_dir / "postgres.log").open("ab") as log:
            self.process = psutil.Popen(
                [self.binary, *postgres.program(self.settings).command[1:]],
                cwd=postgres.home(self.settings),
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", MARK: self.mark},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **accounts.run_as(user),
            )
        deadline = time.monotonic() + READY_S
        while not postgres.ready(self.settings):
            assert self.process.poll() is None, f"PostgreSQL ended: {self.log()}"
            assert time.monotonic() < deadline, f"PostgreSQL is not ready: {self.log()}"
            time.sleep(0.2)

    def stop(self, signal: Signals = SIGINT) -> None:
        """End it, by SIGINT properly, and wait until its last process is gone."""
        if self.process is None:
            return
        if self.process.is_running():
            self.process.send_signal(signal)
        self.process.wait(READY_S)
        deadline = time.monotonic() + READY_S
        while left := processes.of_cluster(self.settings):
            assert time.monotonic() < deadline, f"processes of PostgreSQL live on: {left}"
            time.sleep(0.1)
        self.process = None

    def kill(self) -> int:
        """SIGKILL of the postmaster; its pid."""
        assert self.process is not None, "it does not run"
        pid = int(self.process.pid)
        self.stop(SIGKILL)
        return pid

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement as superuser in the database of the pipeline."""
        with closing(self._connected()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def base_copy(self, name: str, port: int) -> Cluster:
        """A copy of the running cluster as pg_basebackup makes it: consistent, without slots."""
        folder = self.settings.state_dir.with_name(name)
        settings = self.settings.model_copy(update={"state_dir": folder, "postgres_port": port})
        target = settings.data(postgres.NAME) / "cluster"
        target.parent.mkdir(parents=True)
        for each in postgres.home(self.settings).glob("*.conf"):
            shutil.copy(each, target.parent)
        with closing(self._connected()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backup_start('copy', true)")
            # files that vanish meanwhile are no error: WAL makes the copy whole
            subprocess.run(["cp", "--archive", self.data, target], check=False, capture_output=True)
            cursor.execute("SELECT labelfile FROM pg_backup_stop(false)")
            (label,) = cursor.fetchone()
        for leftover in NOT_COPIED:
            (target / leftover).unlink(missing_ok=True)
        for slot in (target / "pg_replslot").iterdir():
            shutil.rmtree(slot)
        copy = Cluster(settings, self.mark, self.binary)
        copy.write("backup_label", label)
        return copy

    def write(self, name: str, text: str = "") -> None:
        """A file of the cluster, owned by who runs it."""
        path = self.data / name
        path.write_text(text)
        accounts.give_file(path, accounts.postgres_user(self.settings.postgres_os_user))

    def conninfo(self) -> str:
        """How a standby reaches it."""
        password = self.settings.secret(Role.POSTGRES_ADMIN)
        return (
            f"host=127.0.0.1 port={self.port} user={Role.POSTGRES_ADMIN} password={password} "
            f"dbname={self.settings.postgres_database} application_name=standby"
        )

    def log(self) -> str:
        return (self.settings.state_dir / "postgres.log").read_text(errors="replace")[-1500:]

    def remove(self) -> None:
        """End it and delete what it has outside its folder."""
        self.stop(SIGKILL)
        shutil.rmtree(postgres.ELSEWHERE / self.settings.identity, ignore_errors=True)

    def _connected(self) -> Any:
        dsn: dict[str, Any] = self.settings.postgres_dsn(Role.POSTGRES_ADMIN)
        connection = psycopg2.connect(**dsn)
        connection.autocommit = True
        return connection


def replica_of(stack: Stack, cluster: Cluster) -> Replica:
    """Replication from a cluster beside into a keyspace of its own; both are migrated."""
    made = Replica(
        stack,
        {
            "TIDEMARK_POSTGRES_PORT": str(cluster.port),
            "TIDEMARK_POSTGRES_DATABASE": cluster.settings.postgres_database,
            "TIDEMARK_SINK_METRICS_PORT": "0",
        },
    )
    made.next_generation()
    made.variables["TIDEMARK_CASSANDRA_KEYSPACE"] = f"beside_{made.settings.generation}"
    for _ in range(RESYNCS):
        next(generations(stack))  # numbers that nobody else may take
    migrated = made.tidemark("migrate")
    assert migrated.returncode == 0, migrated.stderr
    return made


def drop_keyspace(replica: Replica) -> None:
    """Leave nothing of the replica in Cassandra."""
    replica.sessions.close()
    name = replica.variables["TIDEMARK_CASSANDRA_KEYSPACE"]
    anywhere = replica.settings.model_copy(update={"cassandra_keyspace": "system"})
    with suppress(CdcError), keyspace.session(anywhere, Role.OWNER) as session:
        session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


class Watch:
    """The watch of a replica, and the alarms that it shows."""

    def __init__(self, port: int, patience: float) -> None:
        self._port = port
        self._patience = patience

    @classmethod
    @contextmanager
    def of(cls, replica: Replica, patience: float) -> Iterator[Watch]:
        """A watch process for the length of the block."""
        (port,) = free_ports(1)
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "watch"],
            cwd=PROJECT_ROOT,
            env=replica.stack.process_env
            | replica.variables
            | {"TIDEMARK_WATCH_METRICS_PORT": str(port), "TIDEMARK_WATCH_VERIFY_PERIOD_S": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield cls(port, patience)
        finally:
            process.terminate()
            process.wait(20)

    def wait_looking(self) -> None:
        """Wait until it has looked at the slot once."""
        self._wait('last_success_timestamp_seconds{check="replication"}', 60, "the watch looks")

    def wait_alarm(self, name: str, within_s: float) -> str:
        """O6: wait for an alarm in its metric; in words."""
        began = time.monotonic()
        self._wait(f'tidemark_alarm{{alarm="{name}"}} 1.0', within_s, f"alarm {name}")
        return f"alarm {name} after {time.monotonic() - began:.0f} s"

    def _wait(self, text: str, within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s * self._patience
        while text not in metrics_of(self._port):
            assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
            time.sleep(0.2)
