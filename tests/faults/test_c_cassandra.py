"""Rows C: Cassandra dead, frozen, deaf, slow, denying; clocks that leap; wide partitions."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc import keyspace
from contracts.naming import Role
from tests.faults.clocks import false_clock
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial
from tests.integration.tcp_proxy import TcpProxy


@row("C5")
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_c05_cassandra_killed_or_frozen(rig: Rig, trial: Trial, fault: str) -> None:
    """Nothing is committed meanwhile; the sink lives on, and so does everything behind it."""
    with rig.under_load(trial):
        sink = rig.pid("sink")
        if fault == "killed":
            pid = rig.kill("cassandra")
            rig.wait_pid("cassandra", other_than=pid)
            trial.happened(f"SIGKILL of Cassandra, pid {pid}")
            rig.wait_ready("cassandra")
        else:
            with rig.frozen("cassandra") as pid:
                time.sleep(5)
                early = rig.committed()
                time.sleep(25)
                assert rig.committed() == early, "offsets moved while nothing was acknowledged"
            trial.happened(f"Cassandra, pid {pid}, was stopped for 30 s")
        rig.recover(trial, within_s=60)
        assert rig.pid("sink") == sink, "the sink did not outlive it"
        rig.close()  # a session of before may still take Cassandra for gone
        assert rig.beyond_acknowledged() == {}


@row("C6")
def test_c06_replies_lost(rig: Rig, trial: Trial) -> None:
    """Cassandra applies, nobody hears it: written again at the same timestamps."""
    with TcpProxy(rig.cdc.cassandra_port) as proxy, through(rig, proxy), rig.under_load(trial):
        proxy.lose_replies = True
        time.sleep(15)
        proxy.lose_replies = False
        assert proxy.lost_bytes > 0
        trial.happened(f"{proxy.lost_bytes:,} bytes of replies were lost")
        rig.recover(trial, within_s=60)


@row("C7")
def test_c07_slow_cassandra(rig: Rig, trial: Trial) -> None:
    """500 ms and 64 KB/s: the sink reads no more than it can hold."""
    with TcpProxy(rig.cdc.cassandra_port) as proxy, through(rig, proxy), rig.under_load(trial):
        proxy.latency_s, proxy.bytes_per_s = 0.5, 64 * 1024
        time.sleep(45)
        rss_mb = rig.rss_mb("sink")
        proxy.latency_s, proxy.bytes_per_s = 0, 0
        trial.happened(f"{proxy.delayed_bytes:,} bytes passed at 64 KB/s and 500 ms")
        trial.note(f"the sink held {rss_mb:.0f} MB")
        assert rss_mb < 512
        rig.recover(trial, within_s=60)


def through(rig: Rig, proxy: TcpProxy) -> Any:
    """A sink that reaches Cassandra through the proxy, and gives an answer up after a second."""
    return rig.restarted_with(
        "sink",
        TIDEMARK_CASSANDRA_PORT=str(proxy.port),
        TIDEMARK_REQUEST_TIMEOUT_MS="5000",
    )


@row("C9")
@pytest.mark.parametrize("leap_s", [-86_400, 3600])
@pytest.mark.parametrize("name", ["sink", "cassandra"])
def test_c09_clock_leap(rig: Rig, trial: Trial, name: str, leap_s: int) -> None:
    """No clock decides which write wins."""
    with rig.under_load(trial):
        with false_clock(rig, trial, name, leap_s):
            rig.recover(trial, within_s=60)
            time.sleep(5)
        rig.recover(trial, within_s=60)


@row("C13")
def test_c13_hot_symbol(rig: Rig, trial: Trial) -> None:
    """Ten times the market's trades, all of one pair, for a bucket's hour: its partition."""
    trades = 10 * 50 // 10 * 3600  # 50 a second of ten pairs; one pair with ten times its share
    with rig.under_load(trial, settle_s=300):
        insert_trades(rig, f"hot-{trial.seed}", trades)
        trial.happened(f"{trades:,} trades of one pair within an hour")
        rig.recover(trial, within_s=120)
    pid = rig.kill("cassandra")  # what the commit log holds is in SSTables after the start
    rig.wait_pid("cassandra", other_than=pid)
    rig.wait_ready("cassandra")
    found = rig.cql(
        "SELECT mebibytes FROM system_views.max_partition_size "
        "WHERE keyspace_name = ? AND table_name = 'trades_by_hour'",
        rig.cdc.cassandra_keyspace,
    )
    mib = found[0].mebibytes
    trial.note(f"largest partition of trades_by_hour: {mib} MiB")
    assert 0 < mib <= 100


@row("C14")
def test_c14_deletes_in_one_partition(rig: Rig, trial: Trial) -> None:
    """100,000 deletes in one partition: it stays readable."""
    venue = f"tomb-{trial.seed}"
    with rig.under_load(trial, settle_s=300):
        hour = insert_trades(rig, venue, 100_000)
        rig.sql("DELETE FROM trades WHERE venue = %s", venue)
        trial.happened("100,000 trades of one partition were inserted and deleted")
        rig.recover(trial, within_s=120)
    took = []
    with keyspace.session(rig.cdc, Role.READER) as session:
        query = session.prepare(
            "SELECT * FROM trades_by_hour WHERE venue = ? AND symbol = 'HOT' AND hour = ?"
        )
        for _ in range(100):
            began = time.monotonic()
            assert list(session.execute(query, (venue, hour))) == []
            took.append(time.monotonic() - began)
    p99_ms = sorted(took)[98] * 1000
    trial.note(f"reading the whole partition: p99 {p99_ms:.0f} ms")
    assert p99_ms < 1000


def insert_trades(rig: Rig, venue: str, count: int) -> datetime:
    """So many trades of one pair in the current hour, 5,000 a transaction; the hour."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    rig.sql("DELETE FROM trades WHERE venue = %s", venue)
    for first in range(0, count, 5000):
        rig.sql(
            "INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity,"
            " quote_quantity, notional_usd, is_buyer_maker, is_best_match) "
            "SELECT %s, 'HOT', n, at, (extract(epoch FROM at) * 1000000)::bigint, "
            "67000.123456, 0.5, 33500.06, 33500.06, true, true "
            "FROM generate_series(%s, %s) AS n, "
            "LATERAL (SELECT %s + n * interval '19 ms' AS at) AS moment",
            venue,
            first,
            min(first + 5000, count) - 1,
            hour,
        )
    return hour


@row("C15")
def test_c15_cassandra_password_rotated(rig: Rig, trial: Trial) -> None:
    """The sink stops with an alarm and commits nothing; `tidemark migrate` heals it."""
    with rig.under_load(trial):
        rig.cql(f"ALTER ROLE {Role.SINK} WITH PASSWORD = 'rotated'")
        try:
            time.sleep(3)  # Cassandra's caches of credentials
            rig.kill("sink")
            log = rig.log_size("sink")
            rig.until("denied", lambda: "denie" in rig.log_since("sink", log) or None, 60)
            trial.happened("the sink's password was changed behind its back; its login was denied")
            early = rig.committed()
            trial.note(rig.alarm("sink_stopped"))
            assert rig.committed() == early
        finally:
            healed = rig.pipeline.tidemark("migrate")
        assert healed.returncode == 0, healed.stderr
        rig.recover(trial, within_s=60)
