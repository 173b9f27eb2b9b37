"""Rows A5 to A7: the slot is lost, made again, advanced. All must stop; `resync` heals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg2

from cdc.connector.client import ConnectClient, ConnectorStatus
from contracts.naming import Role, slot_name
from stack import launcher
from tests.faults import oracles
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial

KEEP_MB = 64  # of WAL for the slot; the alarm is due at a quarter of it
STATUS = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
# 1 MB of WAL each, that no table sees
FILL = (
    "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', 1048576))) "
    "FROM generate_series(1, %s)"
)


@contextmanager
def little_wal_kept(rig: Rig) -> Iterator[None]:
    """PostgreSQL with room for 64 MB of a slot's WAL, beyond 32 MB as `extended`.

    It gives the slot up only once the walsender has ended, which may hang in its last send.
    """
    small = rig.stack.model_copy(update={"postgres_max_slot_wal_keep_mb": KEEP_MB})
    program = launcher.MODULES["postgres"].program(small)
    more = ("-c", "max_wal_size=32MB", "-c", "tcp_user_timeout=10s")
    program = replace(program, command=(*program.command, *more))
    with rig.program_instead("postgres", program):
        yield


def wal_status(rig: Rig) -> str:
    """What PostgreSQL says of the slot: reserved, extended, unreserved, lost."""
    return str(rig.sql(STATUS, slot_name(rig.cdc.generation), role=Role.POSTGRES_ADMIN)[0][0])


def lost(rig: Rig) -> bool | None:
    """Whether the slot is lost; where not, there is more WAL and a checkpoint after it."""
    rig.sql(FILL, 16, role=Role.POSTGRES_ADMIN)
    rig.sql("CHECKPOINT", role=Role.POSTGRES_ADMIN)
    return wal_status(rig) == "lost" or None


def refused(rig: Rig) -> ConnectorStatus:
    """Replication does not go on: the connector stands still, and its start is refused."""

    def still() -> ConnectorStatus | None:
        with ConnectClient(rig.cdc) as connect:
            status = connect.status()
        return status if status is not None and status.state == "STOPPED" else None

    status: ConnectorStatus = rig.until("the watch stops the connector", still, 60)
    applied = rig.pipeline.tidemark("connector", "apply")
    told = applied.stdout + applied.stderr
    assert applied.returncode == 1, f"a connector that must not run was started: {told}"
    assert "`tidemark resync`" in told, f"the refusal names no remedy: {told}"
    return status


@row("A5")
def test_a05_slot_lost(rig: Rig, trial: Trial) -> None:
    """Connect freezes until its WAL is gone: an alarm before, a refusal after, then a resync."""
    with little_wal_kept(rig), rig.under_load(trial, settle_s=240):
        with rig.frozen("connect") as pid:
            rig.sql(FILL, KEEP_MB // 3, role=Role.POSTGRES_ADMIN)
            trial.note(f"{rig.alarm('slot')}, at wal_status {wal_status(rig)}")
            assert wal_status(rig) in ("reserved", "extended"), "the alarm came too late"
            rig.until("the slot is lost", lambda: lost(rig), 120)
            trial.happened(f"Connect {pid} stopped until {slot_name(rig.cdc.generation)} was lost")
        trial.note(rig.alarm("replication_refused"))
        refused(rig)
        deleted = rig.sql(
            "DELETE FROM klines WHERE venue = 'fault' AND trade_count % 5 = 0 RETURNING symbol"
        )
        assert deleted, "no row was there to be deleted while no slot was"
        trial.note(f"{len(deleted)} rows deleted while no slot was there")
        rig.resync(trial)
        rig.recover(trial, within_s=120)


@row("A6")
def test_a06_slot_made_again(rig: Rig, trial: Trial) -> None:
    """A new slot of the old name, behind changes that no slot kept: not one event follows."""
    with rig.under_load(trial, settle_s=240):
        name = slot_name(rig.cdc.generation)
        with rig.stopped("connect"):
            drop(rig, name)
            time.sleep(5)  # changes of the load, which nothing keeps
            rig.sql(
                "SELECT pg_create_logical_replication_slot(%s, 'pgoutput', failover => true)",
                name,
                role=Role.POSTGRES_ADMIN,
            )
            ends = oracles.log_ends(rig.cdc)
            trial.happened(f"{name} was dropped and made again with 5 s of load in between")
        trial.note(rig.alarm("replication_refused", "task_failed"))
        refused(rig)
        written = sum(oracles.log_ends(rig.cdc).values()) - sum(ends.values())
        assert written == 0, f"{written} events were sent from behind the hole"
        rig.resync(trial)
        rig.recover(trial, within_s=120)


def drop(rig: Rig, name: str) -> None:
    """Drop the slot once the walsender that held it has ended."""

    def gone() -> bool | None:
        with suppress(psycopg2.errors.ObjectInUse):
            rig.sql("SELECT pg_drop_replication_slot(%s)", name, role=Role.POSTGRES_ADMIN)
            return True
        return None

    rig.until(f"slot {name} is free", gone, 40)


@row("A7")
def test_a07_slot_advanced(rig: Rig, trial: Trial) -> None:
    """Somebody moves the slot over changes that nobody read; Debezium would not notice."""
    with rig.under_load(trial, settle_s=240):
        name = slot_name(rig.cdc.generation)
        with rig.stopped("connect"):
            time.sleep(5)  # changes of the load, which the slot keeps
            ((before, after),) = rig.sql(
                "SELECT confirmed_flush_lsn, (pg_replication_slot_advance(slot_name, "
                "pg_current_wal_lsn())).end_lsn FROM pg_replication_slots WHERE slot_name = %s",
                name,
                role=Role.POSTGRES_ADMIN,
            )
            assert before != after, "there was nothing to skip"
            trial.happened(f"{name} was advanced from {before} to {after}, over 5 s of load")
        trial.note(rig.alarm("replication_refused"))
        refused(rig)
        rig.resync(trial)
        rig.recover(trial, within_s=120)
