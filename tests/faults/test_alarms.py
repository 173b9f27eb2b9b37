"""Each named alarm, caused on the running pipeline: told everywhere within 30 s, and over again.

The alarms of the sink (dead letters, a halted table, a sink that stops) stand in
tests/integration/test_alarms_told.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from contracts.naming import Role
from tests.faults.rig import Rig
from tests.integration.alarm_witness import AlarmWitness
from tests.integration.receiver import Receiver

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

OVER_S = 180.0
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def witness(rig: Rig, request: pytest.FixtureRequest) -> Iterator[AlarmWitness]:
    """The pipeline's watch, with a webhook; healthy at first."""
    rig.ensure_healthy()
    file = rig.cdc.secret_path("webhook").with_name("webhook.url")
    with closing(Receiver()) as receiver:
        file.write_text(f"http://127.0.0.1:{receiver.port}/alarms")
        try:
            yield AlarmWitness(
                int(rig.pipeline.env["TIDEMARK_WATCH_METRICS_PORT"]),
                receiver,
                rig.sql,
                lambda: rig.pipeline.tidemark("status", "--json"),
                request.config.getoption("--patience"),
            )
        finally:
            file.unlink()


@contextmanager
def faulty_exchange(rig: Rig, **rule: object) -> Iterator[None]:
    """The simulated exchange with one rule of faults."""
    url = rig.pipeline.env["TIDEMARK_SIMULATOR_URL"]
    with httpx.Client(base_url=url, trust_env=False) as http:
        http.post("/_simulator/faults", json={"rules": [rule]}).raise_for_status()
        try:
            yield
        finally:
            http.delete("/_simulator/faults").raise_for_status()


def test_heartbeat_age_and_a_silent_sink(rig: Rig, witness: AlarmWitness) -> None:
    """A frozen sink writes nothing and does not answer."""
    witness.wait_quiet("sink_stopped", "heartbeat_age", within_s=OVER_S)
    with rig.frozen("sink"):
        began = time.monotonic()
        texts = witness.wait_told(began, "sink_stopped", "heartbeat_age")
        assert "sink does not answer" in texts["sink_stopped"]
        assert "the newest heartbeat in Cassandra is" in texts["heartbeat_age"]
    witness.wait_cleared("heartbeat_age", OVER_S)
    witness.wait_cleared("sink_stopped", OVER_S)


def test_task_failed(rig: Rig, witness: AlarmWitness) -> None:
    """A password that was changed behind its back; restored, the watch restarts it."""
    witness.wait_quiet("task_failed", within_s=OVER_S)
    secret = rig.cdc.secret(Role.CDC)
    rig.sql(f"ALTER ROLE {Role.CDC} PASSWORD 'changed'", role=Role.POSTGRES_ADMIN)
    try:
        began = time.monotonic()
        rig.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
            Role.CDC,
            role=Role.POSTGRES_ADMIN,
        )
        texts = witness.wait_told(began, "task_failed")
        assert "has FAILED" in texts["task_failed"]
    finally:
        rig.sql(f"ALTER ROLE {Role.CDC} PASSWORD %s", secret, role=Role.POSTGRES_ADMIN)
    witness.wait_cleared("task_failed", OVER_S)


def test_slot(rig: Rig, witness: AlarmWitness) -> None:
    """Debezium is frozen while WAL grows beyond what the slot may keep before it is an alarm.

    The share is made small, so that megabytes do instead of a gigabyte.
    """
    witness.wait_quiet("slot", within_s=OVER_S)
    with rig.restarted_with("watch", TIDEMARK_WATCH_SLOT_RAISE_SHARE="0.02"):  # of 4 GB
        rig.until("the watch looks", lambda: witness.metrics() or None, 60)
        with rig.frozen("connect"):
            rig.sql(
                "SELECT count(pg_logical_emit_message(false, 'fill', repeat('x', %s))) "
                "FROM generate_series(1, 120)",
                MEGABYTE,
                role=Role.POSTGRES_ADMIN,
            )
            began = time.monotonic()
            texts = witness.wait_told(began, "slot")
            assert "MB of WAL" in texts["slot"]
        witness.wait_cleared("slot", OVER_S)


def test_quarantine(rig: Rig, witness: AlarmWitness) -> None:
    """The exchange sends prices that are none."""
    witness.wait_quiet("quarantine", within_s=2 * OVER_S)
    began = time.monotonic()
    with faulty_exchange(
        rig,
        path="/api/v3/ticker/price",
        action={"do": "replace", "field": "price", "value": "-1", "row": "all"},
    ):
        texts = witness.wait_told(began, "quarantine")
        assert "rows failed validation within five minutes" in texts["quarantine"]


def test_exchange_ban(rig: Rig, witness: AlarmWitness) -> None:
    """418 with half a minute of silence; ingest goes on by itself."""
    witness.wait_quiet("exchange_ban", within_s=OVER_S)
    began = time.monotonic()
    with faulty_exchange(rig, count=1, action={"do": "limit", "status": 418, "retry_after_s": 30}):
        texts = witness.wait_told(began, "exchange_ban")
        assert "the exchange answered 418; silent until" in texts["exchange_ban"]
    witness.wait_cleared("exchange_ban", 2 * OVER_S)  # what was under way makes it longer
