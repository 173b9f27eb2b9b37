"""The connector on a real Connect: registered once, its secrets hidden, its dangers refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from cdc.connector import preflight
from cdc.connector.client import ConnectClient
from contracts.naming import Role, slot_name
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration


def _apply(replica: Replica, **variables: str) -> str:
    done = replica.tidemark("connector", "apply", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _refused(replica: Replica) -> str:
    """The one line with which `apply` refuses."""
    done = replica.tidemark("connector", "apply")
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def _stop(replica: Replica) -> None:
    """Stop the connector and wait until its slot is free."""
    with ConnectClient(replica.settings) as connect:
        connect.stop()
    for _ in range(100):
        rows = replica.sql(
            "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active",
            slot_name(replica.settings.generation),
        )
        if not rows:
            return
        time.sleep(0.1)
    raise AssertionError("the slot stays in use")


@pytest.fixture
def running(replica: Replica) -> Replica:
    """A generation whose connector runs and has stored offsets."""
    replica.next_generation()
    _apply(replica)
    with ConnectClient(replica.settings) as connect:
        for _ in range(100):
            stored = connect.offsets()
            if stored is not None and stored.lsn_commit is not None:
                return replica
            time.sleep(0.1)
    raise AssertionError("no offset was stored")


def test_applying_twice_changes_nothing(replica: Replica) -> None:
    """`up` applies at each start: it must not restart what runs."""
    replica.next_generation()
    assert "created, RUNNING" in _apply(replica)
    assert "unchanged, RUNNING" in _apply(replica)
    assert "updated, RUNNING" in _apply(replica, TIDEMARK_TOPIC_RETENTION_DAYS="8")


def test_the_password_is_nowhere_to_be_read_over_rest(running: Replica) -> None:
    """Connect's REST has no login: what it shows, everybody on the machine sees."""
    settings = running.settings
    with ConnectClient(settings) as connect:
        paths = (
            "/connectors?expand=info&expand=status",
            f"/connectors/{connect.name}/config",
            f"/connectors/{connect.name}/tasks",
            f"/connectors/{connect.name}/offsets",
        )
        seen = "".join(httpx.get(settings.connect_url + path).text for path in paths)
    assert "tidemark_cdc.password}" in seen
    assert settings.secret(Role.CDC) not in seen


def test_a_password_that_stops_working_shows_with_its_reason(replica: Replica) -> None:
    """The task has FAILED though the connector says RUNNING; the right password heals it."""
    replica.next_generation()
    right = replica.settings.secret_path(Role.CDC)
    folder = right.parent / "connect" / "rotating"  # Connect may read nothing outside it
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    secret: Path = folder / right.name
    secret.write_text(right.read_text())
    _apply(replica, TIDEMARK_CONNECT_SECRETS_DIR=str(folder))
    secret.write_text("wrong")
    with ConnectClient(replica.settings) as connect:
        url = f"{replica.settings.connect_url}/connectors/{connect.name}/restart?includeTasks=true"
    httpx.post(url).raise_for_status()
    for _ in range(60):
        shown = replica.tidemark("connector", "status", "--json")
        if "FAILED" in shown.stdout:
            break
        time.sleep(0.5)
    status = json.loads(shown.stdout)
    assert (shown.returncode, status["running"]) == (1, False)
    assert "password authentication failed" in status["tasks"][0]["reason"]
    secret.write_text(right.read_text())
    assert replica.tidemark("connector", "restart").returncode == 0
    with ConnectClient(replica.settings) as connect:
        assert connect.wait_running(30).running


def test_an_advanced_slot_is_refused_and_the_remedy_works(running: Replica) -> None:
    """Debezium does not notice: it would go on behind rows that it never read."""
    _stop(running)
    running.sql("INSERT INTO heartbeat (source) VALUES ('test')")
    running.sql(
        "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())",
        slot_name(running.settings.generation),
        role=Role.POSTGRES_ADMIN,
    )
    line, generation = _refused(running), running.settings.generation
    assert "was advanced to" in line
    assert f"`tidemark resync` takes a new snapshot, in generation {generation + 1}" in line
    with ConnectClient(running.settings) as connect:
        status = connect.status()
    assert status is not None
    assert status.state == "STOPPED"
    running.next_generation()
    assert "created, RUNNING" in _apply(running)


def test_a_dropped_slot_is_refused(running: Replica) -> None:
    _stop(running)
    running.drop_slot()
    assert "is gone, and with it the changes since" in _refused(running)


def test_lost_offsets_are_refused(running: Replica) -> None:
    """A second snapshot in the generation would lose against what was streamed before."""
    _stop(running)
    with ConnectClient(running.settings) as connect:
        url = f"{running.settings.connect_url}/connectors/{connect.name}/offsets"
    httpx.delete(url, timeout=30).raise_for_status()
    assert "stored offsets are gone" in _refused(running)


def test_another_cluster_is_refused(running: Replica) -> None:
    """Its positions start low: every write would silently lose against the old ones."""
    running.cql(
        "UPDATE cdc_state SET system_identifier = '1' WHERE generation = ?",
        running.settings.generation,
    )
    assert "another PostgreSQL cluster" in _refused(running)


def test_a_publication_that_lost_a_table_stops_nothing_that_runs(running: Replica) -> None:
    """`up` applies: all other tables would stand still. A new connector would not begin whole."""
    running.sql("ALTER PUBLICATION tidemark DROP TABLE trades")
    try:
        assert preflight.check(running.settings) == []  # so the sink starts
        done = running.tidemark("connector", "apply")
        assert (done.returncode, "unchanged, RUNNING" in done.stdout) == (0, True), done.stderr
        assert "lacks trades" in done.stderr
        assert "`tidemark verify trades --repair`" in done.stderr
        running.next_generation()
        assert "lacks trades" in _refused(running)
    finally:
        running.sql("ALTER PUBLICATION tidemark ADD TABLE trades")
