"""The stack lives through kills, a second `up`, and the end of everything."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import psycopg2
import pytest

from stack import launcher, processes
from stack.settings import SERVICES, StackSettings
from tests.conftest import Stack

pytestmark = pytest.mark.integration
RECOVERY_S = 240.0  # Cassandra holds the keyspaces of every test before, and replays its log


def until(look: Callable[[], bool], what: str, seconds: float = RECOVERY_S) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if look():
            return
        time.sleep(0.2)
    pytest.fail(f"waited {seconds} s until {what}")


def pids(settings: StackSettings) -> dict[str, int | None]:
    return {state.name: state.pid for state in launcher.states(settings)}


@pytest.mark.parametrize("name", SERVICES)
def test_killed_service_comes_back_by_itself(stack: Stack, name: str) -> None:
    """After kill -9 of a service supervisor starts it anew, and it answers."""
    victim = launcher.kill(stack.settings, name, signal.SIGKILL)
    until(lambda: pids(stack.settings)[name] not in (victim, None), f"{name} has a new pid")
    launcher.wait_ready(stack.settings, name, RECOVERY_S)
    others = {other for other in SERVICES if other != name}
    running = {state.name for state in launcher.states(stack.settings) if state.running}
    assert others <= running


def test_every_listening_socket_is_on_loopback(stack: Stack) -> None:
    """No process of the stack listens where another machine could reach it."""
    listening = [
        connection.laddr
        for process in processes.belonging(stack.settings)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    ports = {address.port for address in listening}
    assert set(stack.settings.ports.values()) <= ports
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_second_up_leaves_everything_as_it_is(stack: Stack) -> None:
    """`up` on a running stack starts nothing anew."""
    before = pids(stack.settings)
    done = stack.tidemark("up", "--services-only")
    assert done.returncode == 0, done.stderr
    assert pids(stack.settings) == before


def test_passwords_are_demanded_and_stand_nowhere_else(stack: Stack) -> None:
    """A wrong password is refused; no password is in a command line, environment or log."""
    login: dict[str, Any] = stack.settings.postgres_dsn("tidemark_owner")
    psycopg2.connect(**login).close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**{**login, "password": "wrong"})
    canaries = [path.read_text() for path in stack.settings.secrets.glob("*.password")]
    assert len(canaries) > 6
    seen = [path.read_text(errors="replace") for path in stack.settings.logs.glob("*.log")]
    seen += [path.read_text() for path in stack.settings.run.rglob("*.conf")]
    for process in processes.belonging(stack.settings):
        seen += process.cmdline()
        seen += process.environ().values()
    assert [canary for canary in canaries if any(canary in text for text in seen)] == []


def test_physical_replication_is_refused(stack: Stack) -> None:
    """A base backup over the network, even by the role that replicates, finds no line in pg_hba."""
    login: dict[str, Any] = stack.settings.postgres_dsn("tidemark_cdc")
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg2.connect(**login, replication="true")
