"""Rows A8, B4 and C8: the disk of PostgreSQL's WAL, of the broker, of Cassandra is full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg2

from contracts.naming import Role
from stack.services import postgres
from tests.faults.disks import Disk, small_disk
from tests.faults.matrix import row
from tests.faults.rig import ALARM_S, Rig, metrics_of
from tests.faults.trial import Trial

NO_SPACE = "No space left on device"
# what a JVM says of a mapped file whose page finds no room; it may die of it without a word
UNMAPPED = ("SIGBUS", "unsafe memory access")
FOUND_FULL = "Only 0B free"  # what Cassandra then says as it starts again
FILL = (
    "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', 1048576))) "
    "FROM generate_series(1, 8)"
)
MEETS_IT_S = 120  # until a service has asked for more than there is


@contextmanager
def cramped(rig: Rig, trial: Trial, name: str, folder: Path, size_mb: int) -> Iterator[Disk]:
    """A service with its folder on a small disk, running, for the length of the block."""
    moved = ExitStack()
    with rig.stopped(name):
        disk = moved.enter_context(small_disk(trial, folder, size_mb))
    try:
        yield disk
    finally:
        with rig.stopped(name), moved:
            pass  # it moves back while nobody uses it


@contextmanager
def full(
    rig: Rig, trial: Trial, name: str, disk: Disk, press: Callable[[], None] | None = None
) -> Iterator[None]:
    """The disk is full for the length of the block; the service has met it.

    `press` asks the service for more, where the load alone is too little.
    """
    pid, since = rig.pid(name), rig.log_size(name)

    def met() -> bool | None:
        if press is not None:
            press()
        return (NO_SPACE in rig.log_since(name, since) or rig.pid(name) != pid) or None

    with disk.full() as ballast:
        rig.until(f"{name} meets the full disk", met, MEETS_IT_S)
        yield
        told = rig.log_since(name, since)
    reason = next((each for each in (NO_SPACE, *UNMAPPED, FOUND_FULL) if each in told), None)
    assert reason is not None, f"{name} ended for another reason"
    trial.happened(f"{name} {pid}: {reason}, beside {ballast >> 20} MB of ballast")


def write_wal(rig: Rig) -> None:
    """8 MB of WAL that no table sees; an error once PostgreSQL is down."""
    with suppress(psycopg2.Error):
        rig.sql(FILL, role=Role.POSTGRES_ADMIN)


def down(rig: Rig) -> bool:
    """Whether the metric of the watch says that PostgreSQL is down."""
    port = int(rig.pipeline.env["TIDEMARK_WATCH_METRICS_PORT"])
    return 'tidemark_alarm{alarm="postgres_down"} 1.0' in metrics_of(port)


@row("A8")
def test_a08_wal_disk_full(rig: Rig, trial: Trial) -> None:
    """PostgreSQL panics and goes on once there is room; nothing that it confirmed is lost."""
    rig.ensure_healthy()
    rig.sql("CHECKPOINT", role=Role.POSTGRES_ADMIN)  # WAL that nobody needs is removed
    folder = postgres.cluster(rig.stack) / "pg_wal"
    with (
        cramped(rig, trial, "postgres", folder, 96) as disk,
        rig.under_load(trial, tps=200),
    ):
        with full(rig, trial, "postgres", disk, press=lambda: write_wal(rig)):
            rig.until("the watch says so", lambda: down(rig) or None, ALARM_S)
            told = rig.pipeline.tidemark("status")  # which cannot read of alarms now
            assert (told.returncode, "postgres" in told.stdout) == (1, True), told.stdout
        rig.recover(trial, within_s=120)


@row("B4")
def test_b04_broker_log_dir_full(rig: Rig, trial: Trial) -> None:
    """The broker ends; the slot holds what it did not take, and the watch says so."""
    rig.ensure_healthy()
    near = {"TIDEMARK_WATCH_SLOT_RAISE_SHARE": "0.001"}  # 4 of 4,096 MB: WAL of half a minute
    with (
        cramped(rig, trial, "kafka", rig.stack.data("kafka"), 64) as disk,
        rig.restarted_with("watch", **near),
        rig.under_load(trial, tps=200),
    ):
        before = rig.retained_mb()
        with full(rig, trial, "kafka", disk):
            trial.note(rig.alarm("kafka_down", "task_failed", "connect_down"))
            trial.note(rig.alarm("slot", within_s=90))
            held = rig.retained_mb()
            assert held > before
        trial.note(f"{held:.0f} MB of WAL held by the slot")
        rig.recover(trial, within_s=120)


@row("C8")
def test_c08_cassandra_disk_full(rig: Rig, trial: Trial) -> None:
    """Cassandra ends itself (policy die); the sink waits and commits nothing unacknowledged."""
    rig.ensure_healthy()
    with (
        cramped(rig, trial, "cassandra", rig.stack.data("cassandra"), 256) as disk,
        rig.under_load(trial, tps=200),
    ):
        with full(rig, trial, "cassandra", disk):
            trial.note(rig.alarm("cassandra_down", "heartbeat_age"))
            committed = rig.committed()
            time.sleep(5)
            assert rig.committed() == committed, "commits went on without Cassandra"
        rig.recover(trial, within_s=120)
        assert not rig.beyond_acknowledged()
