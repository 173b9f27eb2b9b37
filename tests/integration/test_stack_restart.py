"""The end, crashes of the supervisor and reboots: nothing is left, nothing is lost.

These need a stack that may die, so they start one of their own; most of them PostgreSQL alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from stack import accounts, launcher, processes
from stack.services import postgres
from stack.settings import SERVICES
from stack.supervision import Supervisor
from tests.conftest import Stack, discard, fresh_environment, fresh_folder, settings_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def nothing(_line: str) -> None:
    pass


@pytest.fixture
def mortal() -> Iterator[Stack]:
    """A stack that has not started yet and that a test may ruin."""
    environment = fresh_environment(fresh_folder())
    made = Stack(settings_of(environment), environment)
    yield made
    discard(made, keep_logs=False)


def start_postgres(stack: Stack) -> None:
    launcher.start_services(stack.settings, nothing, ["postgres"])


def alive(those: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended and waits for its parent, or init, to notice."""
    return [p for p in those if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def ask(stack: Stack, statement: str) -> list[tuple[object, ...]]:
    login: dict[str, Any] = stack.settings.postgres_dsn("tidemark_owner")
    connection = psycopg2.connect(**login)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_down_leaves_no_process_and_up_finds_the_data(mortal: Stack) -> None:
    """All four services by the commands themselves, twice."""
    began = mortal.tidemark("up", "--services-only", "--json")
    assert began.returncode == 0, began.stderr
    ask(mortal, "CREATE TABLE kept AS SELECT 42 AS value")
    cluster_id = (mortal.settings.data("kafka") / "meta.properties").read_text()
    before = processes.belonging(mortal.settings)
    assert {state.name for state in launcher.states(mortal.settings) if state.running} >= set(
        SERVICES
    )
    ended = mortal.tidemark("down")
    assert ended.returncode == 0, ended.stderr
    assert alive(before) == []
    state_dir = str(mortal.settings.state_dir)
    named = [p.pid for p in psutil.process_iter(["cmdline"]) if state_dir in str(p.info["cmdline"])]
    assert named == []
    for port in mortal.settings.ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    again = mortal.tidemark("up", "--services-only")
    assert again.returncode == 0, again.stderr
    assert ask(mortal, "SELECT value FROM kept") == [(42,)]
    assert (mortal.settings.data("kafka") / "meta.properties").read_text() == cluster_id


def test_up_after_the_supervisor_was_killed_ends_the_orphans(mortal: Stack) -> None:
    """Its children live on without it; `up` ends them, starts anew, and no row is lost."""
    start_postgres(mortal)
    ask(mortal, "CREATE TABLE kept AS SELECT 1 AS value")
    orphans = processes.belonging(mortal.settings)
    supervisor = Supervisor(mortal.settings).pid()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    start_postgres(mortal)
    assert alive(orphans) == []
    assert ask(mortal, "SELECT value FROM kept") == [(1,)]


def test_up_after_a_reboot_ignores_what_pid_files_say(mortal: Stack) -> None:
    """After a power cut postmaster.pid and the socket remain, and the pid is somebody else's."""
    start_postgres(mortal)
    ask(mortal, "CREATE TABLE kept AS SELECT 2 AS value")
    for process in processes.belonging(mortal.settings):
        process.kill()
    psutil.wait_procs(processes.belonging(mortal.settings), timeout=10)
    user = accounts.postgres_user(mortal.settings.postgres_os_user)
    stranger = psutil.Popen(["sleep", "600"], **accounts.run_as(user))
    try:
        pid_file = postgres.cluster(mortal.settings) / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        start_postgres(mortal)
        assert ask(mortal, "SELECT value FROM kept") == [(2,)]
        assert stranger.is_running()
    finally:
        stranger.kill()
        stranger.wait()


def test_changed_setting_restarts_only_what_it_concerns(mortal: Stack) -> None:
    """Another database name makes that database; the same settings again change nothing."""
    start_postgres(mortal)
    first = Supervisor(mortal.settings).state("postgres").pid
    start_postgres(mortal)
    assert Supervisor(mortal.settings).state("postgres").pid == first
    other = mortal.settings.model_copy(update={"postgres_database": "other"})
    launcher.start_services(other, nothing, ["postgres"])
    assert Supervisor(mortal.settings).state("postgres").pid != first
    assert ask(Stack(other), "SELECT current_database()") == [("other",)]


def test_two_ups_at_once_take_turns(mortal: Stack) -> None:
    """The second waits for the first; both end well and one PostgreSQL runs."""
    results: list[BaseException | None] = []

    def up() -> None:
        try:
            with launcher.locked(mortal.settings, nothing):
                start_postgres(mortal)
            results.append(None)
        except BaseException as error:  # noqa: BLE001 - told by the assertion
            results.append(error)

    threads = [threading.Thread(target=up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [None, None]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL to another user")
def test_postgres_moves_where_its_user_cannot_reach_the_state_folder(mortal: Stack) -> None:
    """Below a folder of root alone, programs and data go elsewhere, said in a line."""
    mortal.settings.state_dir.chmod(0o700)
    said: list[str] = []
    launcher.start_services(mortal.settings, said.append, ["postgres"])
    elsewhere = postgres.moved(mortal.settings)
    assert elsewhere is not None
    assert any(str(elsewhere) in line for line in said)
    assert ask(mortal, "SELECT 1") == [(1,)]
    launcher.stop(mortal.settings, nothing)
    launcher.delete_data(mortal.settings)
    assert not elsewhere.exists()


def test_taken_port_stops_up_before_anything_starts(mortal: Stack) -> None:
    """One clear line, exit code 1, no process."""
    with socket.create_server(("127.0.0.1", mortal.settings.kafka_port)):
        refused = mortal.tidemark("up", "--services-only")
    assert refused.returncode == 1
    assert f"port {mortal.settings.kafka_port} of kafka is taken" in refused.stderr
    assert processes.belonging(mortal.settings) == []


def test_stale_stamp_stops_up_where_maven_is_missing(mortal: Stack, tmp_path: Path) -> None:
    """A stamp of another recipe is not trusted, and without Maven there is a clear error."""
    shutil.copy(mortal.settings.artifacts / "stamp", tmp_path / "stamp")
    (tmp_path / "stamp").write_text("0" * 64)
    refused = mortal.tidemark("up", TIDEMARK_ARTIFACTS_DIR=str(tmp_path), PATH="/nonexistent")
    assert refused.returncode == 1
    assert "Maven" in refused.stderr
