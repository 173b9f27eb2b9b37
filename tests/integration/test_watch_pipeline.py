"""The watch and `status` on a running pipeline: a failed task comes back, and all of it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier

from cdc import keyspace
from cdc.connector.client import ConnectClient
from cdc.settings import CdcSettings
from contracts.naming import Role
from ingest.tables import PARTITIONED_BY
from tests.conftest import Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def eventually(true: Callable[[], bool], within_s: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


@contextmanager
def session(pipeline: Pipeline, role: str) -> Iterator[Any]:
    """A cursor of a role, each statement a transaction."""
    dsn: dict[str, Any] = pipeline.settings.postgres_dsn(role)
    connection = psycopg2.connect(**dsn)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def set_password(pipeline: Pipeline, role: str, password: str) -> None:
    with session(pipeline, Role.POSTGRES_ADMIN) as cursor:
        cursor.execute(SQL("ALTER ROLE {} PASSWORD %s").format(Identifier(role)), (password,))


def alarms_since(pipeline: Pipeline, since: datetime, name: str) -> list[str]:
    """Severities of an alarm's rows in `events`, oldest first."""
    with session(pipeline, Role.WATCH) as cursor:
        cursor.execute(
            "SELECT severity FROM events WHERE kind = 'alarm' AND at >= %s AND message LIKE %s "
            "ORDER BY at, id",
            (since, f"{name}: %"),
        )
        return [severity for (severity,) in cursor.fetchall()]


@pytest.fixture
def cdc(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> CdcSettings:
    for name, value in pipeline.env.items():
        monkeypatch.setenv(name, value)
    return CdcSettings()


def test_status_of_a_flowing_pipeline_is_healthy(pipeline: Pipeline) -> None:
    """Exit 0, no finding; each stage has a latency, both sides have rows, beats are young."""
    answers = []

    def healthy() -> bool:
        answers.append(pipeline.tidemark("status", "--json"))
        return answers[-1].returncode == 0 and listed(answers[-1].stdout) > 400

    assert eventually(healthy, within_s=120), answers[-1].stdout
    seen = json.loads(answers[-1].stdout)["snapshot"]
    assert seen["connect"]["tasks"][0]["state"] == "RUNNING"
    assert seen["exchange"]["venue"] == "simulator"
    assert max(seen["cassandra"]["heartbeats"]["ages_s"].values()) < 15
    assert set(seen["cassandra"]["heartbeats"]["stages"]) == {
        *("ingest", "debezium", "kafka", "fetch", "cassandra"),
        *("replication", "end_to_end"),
    }
    assert seen["postgres"]["rows"]["instruments"]["rows"] > 400


def listed(told: str) -> int:
    """Instruments in Cassandra, as far as the time allowed to count them."""
    rows: dict[str, Any] = json.loads(told)["snapshot"]["cassandra"]["rows"]
    return int(rows["instruments"]["rows"])


def test_partitions_of_the_coming_days_are_there(pipeline: Pipeline) -> None:
    """The watch made them at its start, for today and two days more."""
    days = [datetime.now(UTC).date() + timedelta(days=ahead) for ahead in range(3)]
    wanted = [f"public.{table}_p{day:%Y%m%d}" for table in PARTITIONED_BY for day in days]

    def missing() -> list[str]:
        with session(pipeline, Role.WATCH) as cursor:
            cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL",
                (wanted,),
            )
            return [name for (name,) in cursor.fetchall()]

    assert eventually(lambda: missing() == [], within_s=30), missing()


def test_failed_task_is_told_and_restarted_once_its_cause_is_gone(
    pipeline: Pipeline, cdc: CdcSettings
) -> None:
    """A refused password fails the task: alarm and exit 1 within 30 s; restored, it comes back."""
    began = datetime.now(UTC)
    with ConnectClient(cdc) as connect:
        set_password(pipeline, Role.CDC, "somebody changed it")
        try:
            with session(pipeline, Role.POSTGRES_ADMIN) as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                    (Role.CDC,),
                )
            # a task may hang over its ended connections until the watch, after 60 s, restarts it
            assert eventually(lambda: bool((s := connect.status()) and s.failed), within_s=180)
            assert eventually(
                lambda: "critical" in alarms_since(pipeline, began, "task_failed"), within_s=30
            )
            status = pipeline.tidemark("status")
            assert status.returncode == 1
            assert "has FAILED" in status.stdout
        finally:
            set_password(pipeline, Role.CDC, pipeline.settings.secret(Role.CDC))
        assert eventually(lambda: bool((s := connect.status()) and s.running), within_s=120)
    assert eventually(
        lambda: alarms_since(pipeline, began, "task_failed")[-1:] == ["info"], within_s=60
    )
    arrived = "SELECT message FROM events_by_day WHERE venue = 'tidemark' AND day = %s"
    day = began.replace(hour=0, minute=0, second=0, microsecond=0)
    with keyspace.session(cdc, Role.READER) as cassandra:
        assert eventually(
            lambda: any(
                row.message.startswith("task_failed: over")
                for row in cassandra.execute(arrived, (day,))
            ),
            within_s=60,
        )
