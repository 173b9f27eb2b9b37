"""Rows A16 to A18: PostgreSQL is restored to an earlier time, made anew, failed over.

Each on clusters of its own beside the stack's, at one address, that feed a keyspace of their own.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from cdc.connector.client import ConnectClient
from cdc.errors import CdcError
from cdc.generation import current
from cdc.routes import SOURCES
from contracts.naming import Role, slot_name
from tests.conftest import Stack, free_ports, fresh_folder
from tests.faults import oracles
from tests.faults.clusters import Cluster, Watch, drop_keyspace, replica_of
from tests.faults.matrix import row
from tests.faults.reconcile import reconcile
from tests.faults.trial import Trial
from tests.faults.workload import Workload
from tests.integration.conftest import Replica

TPS = 40
LOAD_S = 4.0
ALARM_S = 30.0
FILL = "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', 1048576))) FROM %s"


@dataclass
class Beside:
    """A first cluster, replicated and watched; later ones take over its port."""

    replica: Replica
    first: Cluster
    watch: Watch
    patience: float
    others: list[Cluster] = field(default_factory=list)
    _sink: ExitStack = field(default_factory=ExitStack)

    @property
    def port(self) -> int:
        return int(self.replica.variables["TIDEMARK_POSTGRES_PORT"])

    @contextmanager
    def replicating(self) -> Iterator[Beside]:
        """A sink for the length of the block."""
        try:
            self.restart_sink()
            yield self
        finally:
            self._sink.close()

    def restart_sink(self) -> None:
        """A sink that knows what Cassandra remembers now."""
        self._sink.close()
        self._sink.enter_context(self.replica.sink())

    @contextmanager
    def load(self, trial: Trial) -> Iterator[Workload]:
        """Seeded changes for the length of a block, and for some seconds at least."""
        dsn: dict[str, Any] = self.replica.settings.postgres_dsn(Role.OWNER)
        load = Workload(dsn, trial.random.randrange(1000), TPS)
        load.start()
        try:
            time.sleep(LOAD_S)
            yield load
        finally:
            load.stop()

    def change(self, trial: Trial) -> None:
        """Some seconds of load."""
        with self.load(trial):
            pass

    def prove(self, trial: Trial, settle_s: float = 90) -> None:
        """O1: both stores are equal, row for row."""
        trial.prove(reconcile(self.replica.settings, settle_s=settle_s * self.patience))

    def refused(self, trial: Trial) -> None:
        """An alarm within 30 s, no start, not one event; the connector stands still."""
        trial.note(self.watch.wait_alarm("replication_refused", ALARM_S))
        self.until("the connector is stopped", lambda: self._state() == "STOPPED", 60)
        ends = oracles.log_ends(current(self.replica.settings))
        applied = self.replica.tidemark("connector", "apply")
        told = applied.stdout + applied.stderr
        assert applied.returncode == 1, f"replication that must not run was started: {told}"
        assert "`tidemark resync`" in told, told
        assert oracles.log_ends(current(self.replica.settings)) == ends, "events were sent"
        trial.note(told.strip().splitlines()[-1][:160])

    def resync(self, trial: Trial) -> None:
        """The way back; the generation goes up."""
        began, before = time.monotonic(), current(self.replica.settings).generation
        done = self.replica.tidemark("resync")
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
        generation = current(self.replica.settings).generation
        assert generation > before
        self.replica.variables["TIDEMARK_GENERATION"] = str(generation)
        trial.note(f"resync to generation {generation} took {time.monotonic() - began:.0f} s")

    def until(self, what: str, holds: Callable[[], bool], within_s: float) -> float:
        """Wait until it holds; after how many seconds."""
        began = time.monotonic()
        while not holds():
            waited = time.monotonic() - began
            assert waited < within_s * self.patience, f"not within {within_s:.0f} s: {what}"
            time.sleep(0.2)
        return time.monotonic() - began

    def _state(self) -> str:
        try:
            with ConnectClient(current(self.replica.settings)) as connect:
                status = connect.status()
        except CdcError as error:
            return str(error)
        return "absent" if status is None else status.state


@pytest.fixture
def beside(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Beside]:
    """A new cluster with its connector, sink and watch, all running."""
    folder = fresh_folder()
    (port,) = free_ports(1)
    first = Cluster.made(stack.settings, folder / "first", port)
    made: Beside | None = None
    try:
        first.start()
        replica = replica_of(stack, first)
        try:
            applied = replica.tidemark("connector", "apply")
            assert applied.returncode == 0, applied.stderr
            patience: float = request.config.getoption("--patience")
            with Watch.of(replica, patience) as watch:
                watch.wait_looking()
                made = Beside(replica, first, watch, patience)
                with made.replicating():
                    yield made
        finally:
            with ConnectClient(current(replica.settings)) as connect:
                connect.delete()
            drop_keyspace(replica)
    finally:
        for cluster in (first, *(made.others if made else ())):
            cluster.remove()
        shutil.rmtree(folder, ignore_errors=True)


@row("A16")
def test_a16_restored_to_an_earlier_time(beside: Beside, trial: Trial) -> None:
    """Changes that Cassandra has never were: no start before the new generation; then equal."""
    beside.change(trial)
    (spare,) = free_ports(1)
    restored = beside.first.base_copy("restored", spare)
    beside.others.append(restored)
    beside.change(trial)
    ((target, before),) = beside.first.sql(
        "SELECT pg_current_wal_lsn()::text, (SELECT count(*) FROM trades)"
    )
    beside.change(trial)
    beside.prove(trial)
    ((end, after),) = beside.first.sql(
        "SELECT pg_current_wal_lsn()::text, (SELECT count(*) FROM trades)"
    )
    beside.first.stop()
    restored.set(
        restore_command=f'cp "{beside.first.data}/pg_wal/%f" "%p"',
        recovery_target_lsn=target,
        recovery_target_action="promote",
    )
    restored.write("recovery.signal")
    restored.start(beside.port)
    beside.until(
        "recovery has ended", lambda: restored.sql("SELECT pg_is_in_recovery()") == [(False,)], 60
    )
    ((now,),) = restored.sql("SELECT count(*) FROM trades")
    assert before <= now < after, f"{now} trades after recovery, {before} before, {after} at last"
    trial.happened(f"restored to {target} of {end}: {after - now} trades never were")
    beside.refused(trial)
    beside.change(trial)
    beside.resync(trial)
    beside.prove(trial)


@row("A17")
def test_a17_new_cluster(beside: Beside, trial: Trial) -> None:
    """A new cluster with the same rows: positions start low; what would follow is shown, too."""
    beside.change(trial)
    beside.first.sql(FILL % "generate_series(1, 64)")
    beside.change(trial)
    beside.prove(trial)
    new = reloaded(beside)
    ((was, identifier),) = beside.others[0].sql(
        "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, system_identifier FROM pg_control_system()"
    )
    assert new > was, "the new cluster's positions do not start low"
    trial.happened(
        f"cluster {identifier} at {was / 2**20:.0f} MB of WAL instead of {new / 2**20:.0f}"
    )
    beside.refused(trial)
    shadowed(beside, trial)
    beside.resync(trial)
    beside.prove(trial)


def reloaded(beside: Beside) -> int:
    """A new cluster in the place of the first one, with its rows; the old one's LSN."""
    tables = [each.table for each in SOURCES]
    dumps = {table: io.StringIO() for table in tables}
    for table, text in dumps.items():
        copy(beside, f"COPY (SELECT * FROM {table}) TO STDOUT", text)
    ((lsn,),) = beside.first.sql("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
    beside.first.stop()
    new = Cluster.made(
        beside.replica.stack.settings,
        beside.first.settings.state_dir.with_name("new"),
        beside.port,
    )
    beside.others.append(new)
    new.start()
    migrated = beside.replica.tidemark("migrate")
    assert migrated.returncode == 0, migrated.stderr
    for table, text in dumps.items():
        text.seek(0)
        copy(beside, f"COPY {table} FROM STDIN", text)
    return int(lsn)


def copy(beside: Beside, statement: str, text: io.StringIO) -> None:
    """COPY from or to a text, as the owner."""
    dsn: dict[str, Any] = beside.replica.settings.postgres_dsn(Role.OWNER)
    connection = psycopg2.connect(**dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.copy_expert(statement, text)
    finally:
        connection.close()


def shadowed(beside: Beside, trial: Trial) -> None:
    """The negative test: with all memory falsified replication runs, and verification tells.

    Its rows are applied without an error and never show, below those of the first cluster. The
    sink that ran all the while knows of the snapshot and would halt at a second one.
    """
    settings = beside.replica.settings
    ((identifier, timeline),) = beside.others[0].sql(
        "SELECT system_identifier::text, timeline_id FROM pg_control_system(), "
        "pg_control_checkpoint()"
    )
    with ConnectClient(settings) as connect:
        connect.forget_offsets()
    beside.replica.cql(
        "UPDATE cdc_state SET system_identifier = ?, timeline = ?, snapshot_completed_at = null, "
        "snapshot_lsn = null, broken = null WHERE generation = ?",
        identifier,
        timeline,
        settings.generation,
    )
    beside.restart_sink()
    applied = beside.replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    changed = beside.replica.sql(
        "UPDATE instruments SET status = 'SHADOWED' WHERE venue = 'fault' RETURNING symbol"
    )
    assert changed, "there is no row to be shadowed"
    verified = beside.replica.tidemark("verify", "instruments")
    told = verified.stdout + verified.stderr
    assert verified.returncode == 1, f"verification sees nothing of shadowed rows: {told}"
    hidden = beside.replica.cql(
        "SELECT symbol FROM instruments WHERE venue = 'fault' AND status = 'SHADOWED' "
        "ALLOW FILTERING"
    )
    assert len(hidden) < len(changed), "nothing was shadowed: the test shows nothing"
    trial.note(
        f"without a new generation {len(changed) - len(hidden)} of {len(changed)} changed rows "
        "never show; there is no metric of it: `tidemark verify` tells"
    )


@row("A18")
@pytest.mark.parametrize("slot", ["synchronised", "left-behind"])
def test_a18_failover(beside: Beside, trial: Trial, slot: str) -> None:
    """The primary is killed under load; its standby takes over, with the slot or without it."""
    synchronised = slot == "synchronised"
    standby = standby_of(beside, synchronised=synchronised)
    with beside.load(trial) as load:
        committed = load.committed
        pid = beside.first.kill()
        killed_at = time.monotonic()
        ((promoted,),) = standby.sql("SELECT pg_promote(true, 60)")
        assert promoted, standby.log()
        standby.stop()
        standby.start(beside.port)  # the address goes over with it
        trial.happened(f"SIGKILL of primary {pid} after {committed} transactions; promoted")
        beside.until("the load goes on", lambda: load.committed > committed + TPS, 60)
        if synchronised:
            applied = beside.replica.tidemark("connector", "apply")
            assert applied.returncode == 0, applied.stderr
            arrives(beside, 120)
            trial.recovery_s = round(time.monotonic() - killed_at, 1)
            assert trial.recovery_s <= 120 * beside.patience
    if not synchronised:
        beside.refused(trial)
        beside.resync(trial)
    beside.prove(trial)


def standby_of(beside: Beside, *, synchronised: bool) -> Cluster:
    """A standby that streams from the first cluster; with its slot, Debezium waits for it."""
    first = beside.first
    first.sql("SELECT pg_create_physical_replication_slot('standby', true)")
    (port,) = free_ports(1)
    standby = first.base_copy("standby", port)
    beside.others.append(standby)
    standby.set(
        primary_conninfo=first.conninfo(),
        primary_slot_name="standby",
        hot_standby_feedback="on",
        sync_replication_slots="on" if synchronised else "off",
    )
    standby.write("standby.signal")
    standby.start()
    streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby'"
    beside.until("the standby streams", lambda: first.sql(streams) == [(1,)], 60)
    if synchronised:
        first.set(synchronized_standby_slots="standby")
        first.sql("SELECT pg_reload_conf()")
        name = slot_name(beside.replica.settings.generation)
        ready = (
            "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND synced AND NOT temporary"
        )
        beside.until("the slot is synchronised", lambda: bool(standby.sql(ready, name)), 120)
    return standby


def arrives(beside: Beside, within_s: float) -> None:
    """Wait until a row that is written now is in Cassandra."""
    ((identity,),) = beside.replica.sql(
        "INSERT INTO events (venue, kind, message) VALUES ('mark', 'test', '') RETURNING id"
    )
    found = "SELECT id FROM events_by_day WHERE venue = 'mark' ALLOW FILTERING"
    beside.until(
        "a row written after the failover arrives",
        lambda: identity in {each.id for each in beside.replica.cql(found)},
        within_s,
    )
