"""Rows A: the first snapshot, cut by a kill, and never taken twice.

Each needs a generation that begins, so they run on a replication of their own, watch included.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from signal import SIGKILL

from cdc import state
from cdc.connector.client import ConnectClient
from contracts.naming import Role
from runtime.settings import PROJECT_ROOT
from stack import launcher
from tests.faults.matrix import row
from tests.faults.reconcile import reconcile
from tests.faults.trial import Trial
from tests.integration.conftest import Replica
from tests.integration.topic_log import count_events, read_log
from tests.integration.witnesses import until

CANDLES = 60_000
FILL = """
INSERT INTO klines (venue, symbol, "interval", open_time, close_time, open, high, low, close,
                    volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume,
                    is_closed, as_of)
SELECT 'snapshot', 'S' || n %% 10, '1m', at, at + interval '59.999 s', 1, 2, 0.5, n, 3, 4, n, 1, 1,
       true, %s
FROM generate_series(1, %s) AS n, LATERAL (SELECT timestamptz '2026-01-01Z' + n * interval '1 min'
                                           AS at) AS minutes"""
UPSERT = """
INSERT INTO instruments VALUES ('snapshot', %s, 'B', 'Q', %s, 1, 1, 0, clock_timestamp())
ON CONFLICT (venue, symbol) DO UPDATE SET status = excluded.status"""


@contextmanager
def watching(replica: Replica) -> Iterator[None]:
    """The watch of this replication, which notes the snapshot's end and sweeps its ghosts."""
    variables = {"TIDEMARK_WATCH_VERIFY_PERIOD_S": "0", "TIDEMARK_WATCH_METRICS_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "watch"],
        cwd=PROJECT_ROOT,
        env=replica.stack.process_env | replica.variables | variables,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def swept(replica: Replica) -> bool | None:
    """Whether the generation's snapshot is complete, applied, and rid of ghosts."""
    session = replica.sessions.of(replica.settings, Role.READER)
    known = state.recall(session).get(replica.settings.generation)
    return (known is not None and known.swept) or None


def running(replica: Replica) -> bool | None:
    with ConnectClient(replica.settings) as connect:
        status = connect.status() if connect.ready() else None
    return (status is not None and status.running) or None


@row("A14")
def test_a14_connect_killed_in_its_snapshot(replica: Replica, trial: Trial) -> None:
    """Half of it is in the log; rows are deleted and changed before the next attempt."""
    replica.sql(FILL, datetime.now(UTC), CANDLES)
    with replica.sink(), watching(replica):
        sent = kill_at_half(replica)
        gone = replica.sql(
            "DELETE FROM klines WHERE trade_count %% 7 = %s RETURNING trade_count",
            trial.random.randrange(7),
        )
        replica.sql("UPDATE klines SET close = close + 1 WHERE trade_count % 5 = 1")
        trial.happened(f"SIGKILL of Connect with {sent:,} of {CANDLES:,} candles in the log")
        until("the next attempt", lambda: running(replica), 120)
        until("the sweep", lambda: swept(replica), 180)
        counts = reconcile(replica.settings)
    read = Counter(
        event.envelope.after["trade_count"]
        for events in read_log(replica.settings, ["klines"]).values()
        for event in events
        if event.envelope.op == "r" and event.envelope.after
    )
    ghosts = {number for (number,) in gone} & read.keys()
    trial.note(
        f"{sum(read.values()):,} candles were read in two attempts; {len(ghosts):,} of the first "
        "were deleted before the second"
    )
    assert ghosts, "nothing of the first attempt was deleted before the second"
    assert max(read.values()) > 1, "the snapshot was not begun anew"
    trial.prove(counts)


def kill_at_half(replica: Replica) -> int:
    """Start the connector and kill Connect in the midst of the candles; how many were sent."""
    stack = replica.stack.settings
    with ThreadPoolExecutor(1) as background:
        applied: Future[subprocess.CompletedProcess[str]] = background.submit(
            replica.tidemark, "connector", "apply"
        )
        until("topics", lambda: topics_exist(replica), 60)
        with closing(count_events(replica.settings, ["klines"])) as counts:
            deadline = time.monotonic() + 120
            while (sent := next(counts)) < CANDLES // 2:
                assert time.monotonic() < deadline, f"{sent} candles after two minutes"
                time.sleep(0.02)
            launcher.kill(stack, "connect", SIGKILL)
            sent = next(counts)
    del applied  # it may have lost Connect under its hands; the connector is registered
    assert sent < CANDLES, "the snapshot was over before the kill"
    return sent


def topics_exist(replica: Replica) -> bool | None:
    session = replica.sessions.of(replica.settings, Role.READER)
    begun = replica.settings.generation in state.recall(session)
    return begun or None  # topics are made before it is remembered


@row("A15")
def test_a15_no_snapshot_on_restart(replica: Replica, trial: Trial) -> None:
    """The connector's role may not read a row any more: a restart streams on and reads none."""
    replica.next_generation()
    replica.sql(UPSERT, "BEFORE", "before")
    with replica.sink(), watching(replica):
        applied = replica.tidemark("connector", "apply")
        assert applied.returncode == 0, applied.stderr
        until("the sweep", lambda: swept(replica), 120)
        tables = ", ".join(
            name for (name,) in replica.sql("SELECT tablename FROM pg_publication_tables")
        )
        snapshot = snapshot_events(replica)
        assert snapshot > 0
        replica.sql(f"REVOKE SELECT ON {tables} FROM {Role.CDC}")
        try:
            assert not may_read(replica)
            launcher.kill(replica.stack.settings, "connect", SIGKILL)
            launcher.wait_ready(replica.stack.settings, "connect")
            until("the task runs", lambda: running(replica), 90)
            replica.sql(UPSERT, "AFTER", "after")
            until("a later change", lambda: arrived(replica, "AFTER"), 60)
            time.sleep(10)
            assert running(replica), "the task did not stay RUNNING"
            assert not may_read(replica)
            trial.happened("Connect was killed and came back while its role could not SELECT")
        finally:
            replica.sql(f"GRANT SELECT ON {tables} TO {Role.CDC}")
        again = snapshot_events(replica) - snapshot
        trial.note(f"{snapshot} rows in the snapshot, {again} read after the restart")
        assert again == 0
        trial.prove(reconcile(replica.settings))


def may_read(replica: Replica) -> bool:
    """Whether the connector's role may SELECT."""
    asked = "SELECT has_table_privilege(%s, 'instruments', 'SELECT')"
    return bool(replica.sql(asked, str(Role.CDC))[0][0])


def arrived(replica: Replica, symbol: str) -> bool | None:
    rows = replica.cql(
        "SELECT symbol FROM instruments WHERE venue = 'snapshot' AND symbol = ?", symbol
    )
    return bool(rows) or None


def snapshot_events(replica: Replica) -> int:
    """How many rows of every table were read rather than streamed."""
    tables = [name for (name,) in replica.sql("SELECT tablename FROM pg_publication_tables")]
    log = read_log(replica.settings, tables)
    return sum(each.envelope.op == "r" for events in log.values() for each in events)
