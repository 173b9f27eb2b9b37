"""The slot guard, short: real PostgreSQL, watch and ingester; a slot that nobody reads fills up.

PostgreSQL is one of its own, with room for 64 MB of WAL; what fills it here are messages in the
WAL, as a bulk load would; the reader that comes back is `pg_replication_slot_advance`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cli.migrate import migrate_postgres
from contracts.naming import Role, slot_name
from contracts.shedding import shed
from runtime.settings import PROJECT_ROOT
from stack import launcher
from tests.conftest import Stack, discard, free_ports, fresh_environment, fresh_folder, settings_of
from tests.integration import scratch
from tests.integration.ingesting import Simulator, eventually, ingesting, settings_for
from watch.shedding import STEPS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

KEEP_MB = 64
SLOT = slot_name(1)
FILL = """
SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1048576)) FROM generate_series(1, %s)
"""
RETAINED = """
SELECT wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint >> 20
  FROM pg_replication_slots WHERE slot_name = %s
"""


@pytest.fixture(scope="module")
def cramped() -> Iterator[Stack]:
    """PostgreSQL alone, migrated, with a slot that nobody reads."""
    environment = fresh_environment(fresh_folder()) | {
        "TIDEMARK_POSTGRES_MAX_SLOT_WAL_KEEP_MB": str(KEEP_MB),
        "TIDEMARK_WATCH_PERIOD_S": "1",
        "TIDEMARK_WATCH_SHEDDING_CLEAR_S": "2",
        "TIDEMARK_INGEST_METRICS_PORT": "0",
    }
    made = Stack(settings_of(environment), environment)
    try:
        launcher.start_services(made.settings, lambda _line: None, names=("postgres",))
        migrate_postgres(made.settings, lambda _line: None)
        with closing(scratch.connect(made.settings, Role.POSTGRES_ADMIN)) as admin:
            scratch.fetch(admin, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", SLOT)
        yield made
    finally:
        discard(made, keep_logs=False)


@dataclass
class Slot:
    """The slot, through an administrator's connection."""

    admin: scratch.Connection

    def fill_to(self, share: float) -> None:
        """Write to the WAL until the slot retains that share of its limit."""
        missing = round(KEEP_MB * share) - self.retained_mb() + 1
        if missing > 0:
            scratch.fetch(self.admin, FILL, missing)

    def read(self) -> None:
        """What Debezium does when it is back."""
        scratch.fetch(
            self.admin, "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", SLOT
        )
        scratch.fetch(self.admin, "SELECT pg_log_standby_snapshot()")

    def retained_mb(self) -> int:
        status, retained = scratch.fetch(self.admin, RETAINED, SLOT)[0]
        assert status in {"reserved", "extended"}
        return int(retained)


@contextmanager
def watching(cramped: Stack) -> Iterator[None]:
    """The watch as a process; most of its checks find nobody."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "watch"],
        cwd=PROJECT_ROOT,
        env=cramped.process_env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def open_streams(owner: scratch.Connection) -> set[str]:
    rows = scratch.fetch(
        owner, "SELECT DISTINCT stream FROM gaps WHERE cause = 'shed' AND state = 'open'"
    )
    return {stream for (stream,) in rows}


def told(owner: scratch.Connection, kind: str) -> list[str]:
    """Messages of a kind of event, oldest first."""
    rows = scratch.fetch(owner, "SELECT message FROM events WHERE kind = %s ORDER BY at, id", kind)
    return [message for (message,) in rows]


def shedding_is(owner: scratch.Connection, level: int) -> bool:
    """Whether ingest leaves out exactly the streams of a level, each with its gap."""
    return open_streams(owner) == set(shed(level))


def read_and_clear(slot: Slot, owner: scratch.Connection) -> bool:
    """Read the slot once more; whether all flows again."""
    slot.read()
    return shedding_is(owner, 0)


def alarm_is_over(owner: scratch.Connection) -> bool:
    return any(message.startswith("shedding: over after") for message in told(owner, "alarm"))


def test_streams_go_as_the_slot_fills_and_come_back_when_it_is_read(
    cramped: Stack, tmp_path: Path
) -> None:
    """In order, told as events and as an alarm; the slot is never lost, and no trade is."""
    simulator = Simulator(free_ports(1)[0])
    with (
        closing(scratch.connect(cramped.settings)) as owner,
        closing(scratch.connect(cramped.settings, Role.POSTGRES_ADMIN)) as admin,
        simulator.running(),
        watching(cramped),
    ):
        simulator.reset(20_000)
        slot = Slot(admin)
        with ingesting(settings_for(cramped.settings, simulator, tmp_path)):
            eventually(lambda: scratch.value(owner, "SELECT count(*) FROM trades"))
            for level, step in enumerate(STEPS, start=1):
                slot.fill_to(step.raise_share + 0.02)
                eventually(partial(shedding_is, owner, level))
            assert slot.retained_mb() < KEEP_MB
            eventually(partial(read_and_clear, slot, owner), timeout_s=120)
            eventually(partial(alarm_is_over, owner))
        steps = [message.partition(":")[0] for message in told(owner, "shedding")]
        assert steps == [
            ", ".join(shed(level)) or "nothing is shed" for level in (1, 2, 3, 2, 1, 0)
        ]
        ends = "SELECT DISTINCT stream, state FROM gaps WHERE cause = 'shed' ORDER BY 1"
        assert scratch.fetch(owner, ends) == [
            ("depth", "unprovable"),
            ("prices", "unprovable"),
            ("trades", "repaired"),
        ]
        holes = (
            "SELECT count(*) FROM (SELECT trade_id - lag(trade_id) OVER (PARTITION BY symbol "
            "ORDER BY trade_id) AS step FROM trades) AS steps WHERE step > 1"
        )
        assert scratch.value(owner, holes) == 0
