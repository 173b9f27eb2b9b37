"""Rows A: PostgreSQL killed, stopped, frozen; its backends ended; its rights taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from signal import SIGCONT, SIGSTOP

import psutil
import pytest

from cdc.connector.client import ConnectClient, ConnectorStatus
from contracts.naming import PUBLICATION, Role
from stack.services import postgres
from tests.faults import oracles
from tests.faults.injections import walsender
from tests.faults.matrix import row
from tests.faults.programs import wait_stopped
from tests.faults.rig import Rig
from tests.faults.trial import Trial

ROUNDS = 30
BACKENDS = "FROM pg_stat_activity WHERE usename LIKE 'tidemark%%' AND pid <> pg_backend_pid()"


def connector(rig: Rig) -> ConnectorStatus:
    """What Connect says of the connector and its task."""
    with ConnectClient(rig.cdc) as connect:
        status = connect.status()
    assert status is not None, "there is no connector"
    return status


@row("A1")
def test_a01_postgres_crash(rig: Rig, trial: Trial) -> None:
    """SIGKILL of the postmaster under 500 transactions a second; nobody lends a hand."""
    with rig.under_load(trial, tps=500):
        connect, since = rig.pid("connect"), oracles.log_ends(rig.cdc)
        log = rig.log_size("postgres")
        pid = rig.kill("postgres")
        rig.wait_pid("postgres", other_than=pid)
        trial.happened(f"SIGKILL of PostgreSQL, pid {pid}")
        rig.recover(trial, within_s=60)
        assert "was not properly shut down" in rig.log_since("postgres", log)
        assert rig.pid("connect") == connect, "Connect did not outlive it"
        rig.until("the task runs", lambda: connector(rig).running or None, 30)
    seen, again = oracles.duplicates(rig.cdc, since)
    trial.note(f"{again:,} of {seen:,} events came twice ({rig.stack.connect_exactly_once})")
    assert rig.stack.connect_exactly_once != "enabled" or again == 0


@row("A2")
def test_a02_postgres_fast_stop(rig: Rig, trial: Trial) -> None:
    """The signal of `pg_ctl stop -m fast`; down for a minute. The walsender must not hold it up."""
    with rig.under_load(trial):
        log, began = rig.log_size("postgres"), time.monotonic()
        with rig.stopped("postgres"):
            took = time.monotonic() - began
            told = rig.log_since("postgres", log)
            assert "received fast shutdown request" in told
            assert "database system is shut down" in told, "it was killed"
            trial.happened(f"a fast shutdown took {took:.1f} s, and the log says that it was one")
            assert took <= 30
            time.sleep(60)
        rig.recover(trial, within_s=60)


@row("A3")
def test_a03_walsender_frozen(rig: Rig, trial: Trial) -> None:
    """The backend that streams stands still for 90 s; its connection is open and mute."""
    with rig.under_load(trial):
        with frozen_backend(pid := walsender(rig)):
            time.sleep(90)
            assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
            trial.happened(f"walsender {pid} stopped for 90 s")
        rig.recover(trial, within_s=60)
        now = walsender(rig)
        trial.note("the same walsender went on" if now == pid else f"walsender {now} took over")


@contextmanager
def frozen_backend(pid: int) -> Iterator[None]:
    """SIGSTOP one backend of PostgreSQL for the length of the block."""
    backend = psutil.Process(pid)
    backend.send_signal(SIGSTOP)
    try:
        wait_stopped(pid)
        yield
    finally:
        backend.send_signal(SIGCONT)


@row("A4")
def test_a04_backends_flap(rig: Rig, trial: Trial) -> None:
    """Every backend of ours is ended each two seconds, thirty times; no connection leaks."""
    with rig.under_load(trial):
        base, ended = backends(rig), 0
        for _ in range(ROUNDS):
            ended += int(
                rig.sql(
                    f"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) {BACKENDS}",
                    role=Role.POSTGRES_ADMIN,
                )[0][0]
            )
            time.sleep(2)
        trial.happened(f"{ended} backends were terminated in {ROUNDS} rounds")
        assert ended >= ROUNDS
        rig.recover(trial, within_s=120)
        rig.until("no more backends than before", lambda: backends(rig) <= base + 3 or None, 60)
        trial.note(f"{base} backends before, {backends(rig)} after")


def backends(rig: Rig) -> int:
    """Connections of our roles, this one not counted."""
    return int(rig.sql(f"SELECT count(*) {BACKENDS}", role=Role.POSTGRES_ADMIN)[0][0])


@row("A28")
def test_a28_publication_loses_a_table(rig: Rig, trial: Trial) -> None:
    """Its changes are not sent: an alarm while the others flow; put back, and repaired."""
    table = "gaps"
    with rig.under_load(trial):
        rig.sql(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE {table}")
        try:
            trial.note(rig.alarm("replication_refused"))
            told = rig.pipeline.tidemark("connector", "apply")
            assert (told.returncode, f"lacks {table}" in told.stderr) == (0, True)
            time.sleep(5)
            assert connector(rig).running, "the other tables do not flow"
        finally:
            rig.sql(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {table}")
        rig.recover(trial, within_s=60)
        repair(rig, trial, table)


def repair(rig: Rig, trial: Trial, table: str) -> None:
    """The remedy of the runbook; it must find what was not sent."""
    found = rig.pipeline.tidemark("verify", table, "--json")
    assert found.returncode == 1, f"nothing of {table} was lost: {found.stdout[-1000:]}"
    trial.happened(f"rows of {table} were changed while the publication lacked it: they differ")
    healed = rig.pipeline.tidemark("verify", table, "--repair", timeout_s=300)
    trial.note(f"verify --repair ended with {healed.returncode}")


@contextmanager
def rotated_password(rig: Rig) -> Iterator[None]:
    """The connector's role has another password than the connector."""
    secret = rig.cdc.secret(Role.CDC)
    change = f"ALTER ROLE {Role.CDC} PASSWORD %s"
    rig.sql(change, f"not {secret}", role=Role.POSTGRES_ADMIN)
    try:
        yield
    finally:
        rig.sql(change, secret, role=Role.POSTGRES_ADMIN)


@contextmanager
def rejected_by_hba(rig: Rig) -> Iterator[None]:
    """PostgreSQL turns the connector's role away, whatever its password."""
    path = postgres.home(rig.stack) / "pg_hba.conf"
    usual = path.read_text()
    reload_ = "SELECT pg_reload_conf()"
    path.write_text(f"host all {Role.CDC} 127.0.0.1/32 reject\n{usual}")
    try:
        rig.sql(reload_, role=Role.POSTGRES_ADMIN)
        yield
    finally:
        path.write_text(usual)
        rig.sql(reload_, role=Role.POSTGRES_ADMIN)


Denial = Callable[[Rig], AbstractContextManager[None]]


@row("A29")
@pytest.mark.parametrize("denied", [rotated_password, rejected_by_hba], ids=lambda f: f.__name__)
def test_a29_role_denied(rig: Rig, trial: Trial, denied: Denial) -> None:
    """The task fails though the connector runs; once the role may log in, the watch restarts it."""
    with rig.under_load(trial):
        with denied(rig):
            rig.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                Role.CDC,
                role=Role.POSTGRES_ADMIN,
            )
            trial.note(rig.alarm("task_failed"))
            status = rig.until("a failed task", lambda: failed_alone(connector(rig)), 60)
            trial.happened(f"the connector is RUNNING, its task FAILED: {status.failure[:150]}")
        rig.recover(trial, within_s=120)


def failed_alone(status: ConnectorStatus) -> ConnectorStatus | None:
    """A status that shows the trap: a task that failed below a connector that runs."""
    return status if status.state == "RUNNING" and status.failed else None
