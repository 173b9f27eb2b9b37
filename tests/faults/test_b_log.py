"""Rows B: Connect and the broker killed, frozen, starved, cut off."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from contracts.naming import Role, topic_of
from runtime.settings import PROJECT_ROOT
from stack import launcher
from stack.supervision import Supervisor
from stack.topology import process_environment
from tests.conftest import free_ports
from tests.faults import oracles
from tests.faults.injections import walsender
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial
from tests.integration.tcp_proxy import TcpProxy

BOUNCES = 12
CRASHES = 5
LARGE_ROWS = 40
LARGE_GAPS = """
INSERT INTO gaps (venue, symbol, stream, first_missing, last_missing, state, cause, detail,
                  detected_at, as_of)
SELECT 'fault', 'BIG', 'trades', n, n, 'open', 'fault', repeat(md5(n::text), 100000), now(), now()
FROM generate_series(1, %s) AS n"""
OUT_OF_MEMORY = "java.lang.OutOfMemoryError"


@row("B1")
def test_b01_connect_bounced(rig: Rig, trial: Trial) -> None:
    """Twelve kills at drawn moments, also while it starts; nothing is missing."""
    with rig.under_load(trial, tps=100):
        since = oracles.log_ends(rig.cdc)
        for number in range(BOUNCES):
            pid = rig.wait_pid("connect")
            trial.happened(f"SIGKILL of Connect, pid {rig.kill('connect')}")
            rig.wait_pid("connect", other_than=pid)
            if number < BOUNCES - 1:
                time.sleep(trial.random.uniform(1, 18))
        rig.wait_ready("connect")
        rig.recover(trial, within_s=60)
    seen, again = oracles.duplicates(rig.cdc, since)
    trial.note(f"{again:,} of {seen:,} events came twice ({rig.stack.connect_exactly_once})")
    assert rig.stack.connect_exactly_once != "enabled" or again == 0


@row("B2")
def test_b02_zombie_worker(rig: Rig, trial: Trial) -> None:
    """A frozen worker's place is taken by a second one; it wakes, and takes over again.

    The frozen one still holds the slot: the second waits until PostgreSQL lets it go. Without
    exactly-once nothing fences the zombie: where it and its peer store offsets across each other,
    the watch must see it and refuse to go on.
    """
    with rig.under_load(trial), second_worker(rig) as second:
        with rig.frozen("connect") as pid:
            time.sleep(20)  # beyond the group's session of 10 s
            owner = walsender(rig)
            trial.happened(f"Connect {pid} stopped for over 20 s; slot held by backend {owner}")
            rig.sql("SELECT pg_terminate_backend(%s)", owner, role=Role.POSTGRES_ADMIN)
            rig.until("the second worker streams", lambda: other_walsender(rig, owner), 90)
        rig.recover_or_resync(trial, within_s=90)
        second.terminate()
        second.wait(60)
        rig.recover_or_resync(trial, within_s=90)


def other_walsender(rig: Rig, than: int) -> int | None:
    now = walsender(rig)
    return now if now != than else None


@contextmanager
def second_worker(rig: Rig) -> Iterator[psutil.Popen]:
    """A second Connect worker of the same group, outside the supervisor."""
    program = launcher.MODULES["connect"].program(rig.stack)
    usual = rig.stack.run / "connect-distributed.properties"
    (port,) = free_ports(1)
    mine = usual.with_name("connect-second.properties")
    mine.write_text(usual.read_text() + f"\nlisteners=http://127.0.0.1:{port}\n")
    with (rig.stack.logs / "connect-second.log").open("ab") as log:
        process = psutil.Popen(
            [*program.command[:-1], str(mine)],
            cwd=PROJECT_ROOT,
            env=process_environment(rig.stack, program.environment),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.is_running():
            process.kill()
        process.wait(30)
        mine.unlink()


@row("B3")
def test_b03_broker_crashes(rig: Rig, trial: Trial) -> None:
    """Five kills of the only broker under load, at drawn moments."""
    with rig.under_load(trial, tps=100):
        for _ in range(CRASHES):
            pid = rig.kill("kafka")
            trial.happened(f"SIGKILL of Kafka, pid {pid}")
            rig.wait_pid("kafka", other_than=pid)
            rig.wait_ready("kafka")
            rig.recover(trial, within_s=60)
            time.sleep(trial.random.uniform(0, 4))


@row("B7")
def test_b07_partitions_added(rig: Rig, trial: Trial) -> None:
    """Two more partitions of a live topic: keys move to other lanes, their order stays."""
    topic = topic_of("instruments", rig.cdc.generation)
    admin = AdminClient({"bootstrap.servers": rig.cdc.kafka_bootstrap})
    with rig.under_load(trial, tps=150):
        before = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
        admin.create_partitions([NewPartitions(topic, before + 2)])[topic].result(30)
        rig.until("the new partitions are used", lambda: used(rig, topic, before), 60)
        trial.happened(f"{topic}: {before} partitions became {before + 2}, with events in all")
        rig.recover(trial, within_s=60)


def used(rig: Rig, topic: str, before: int) -> bool | None:
    ends = oracles.log_ends(rig.cdc)
    new = [end for (name, number), end in ends.items() if name == topic and number >= before]
    return (len(new) == 2 and min(new) > 0) or None


@row("B9")
def test_b09_network_between_connect_and_broker(rig: Rig, trial: Trial) -> None:
    """Answers take 500 ms; connections break; bytes come in crumbs."""
    with proxied_connect(rig) as proxy, rig.under_load(trial):
        proxy.latency_s = 0.5
        time.sleep(20)
        proxy.latency_s = 0
        assert proxy.delayed_bytes > 0
        trial.happened(f"{proxy.delayed_bytes:,} bytes passed with 500 ms")
        rig.recover(trial, within_s=60)
        for _ in range(5):
            proxy.reset()
            time.sleep(trial.random.uniform(1, 4))
        trial.happened(f"{proxy.resets} sockets were reset")
        assert proxy.resets > 0
        rig.recover(trial, within_s=60)
        proxy.slice_bytes = 64
        time.sleep(15)
        proxy.slice_bytes = 65_536
        trial.happened("bytes passed 64 at a time")
        rig.recover(trial, within_s=60)


@contextmanager
def proxied_connect(rig: Rig) -> Iterator[TcpProxy]:
    """Connect reaches the broker through a proxy: a listener of the broker's own names its port."""
    (inner,) = free_ports(1)
    with TcpProxy(inner) as proxy:
        kafka, connect = (
            rig.stack.run / name for name in ("kafka.properties", "connect-distributed.properties")
        )
        plain = dict(line.split("=", 1) for line in kafka.read_text().splitlines() if "=" in line)
        try:
            with kafka.open("a") as file:
                file.write(
                    f"\nlisteners={plain['listeners']},PROXIED://127.0.0.1:{inner}\n"
                    f"advertised.listeners={plain['advertised.listeners']},"
                    f"PROXIED://127.0.0.1:{proxy.port}\n"
                    "listener.security.protocol.map="
                    f"{plain['listener.security.protocol.map']},PROXIED:PLAINTEXT\n"
                )
            with connect.open("a") as file:
                file.write(f"\nbootstrap.servers=127.0.0.1:{proxy.port}\n")
            restart(rig, "kafka", "connect")
            yield proxy
        finally:
            for name in ("kafka", "connect"):
                launcher.MODULES[name].prepare(rig.stack)
            restart(rig, "kafka", "connect")


def restart(rig: Rig, *names: str) -> None:
    supervisor = Supervisor(rig.stack)
    for name in names:
        supervisor.halt(name)
        supervisor.launch(name)
        rig.wait_ready(name)


@row("B10")
def test_b10_connect_out_of_memory(rig: Rig, trial: Trial) -> None:
    """A heap that cannot hold a large transaction: it ends, the supervisor starts it again."""
    small = rig.stack.model_copy(update={"connect_heap_mb": 128})
    with rig.under_load(trial, settle_s=240):
        log = rig.log_size("connect")
        with (
            large_gaps(rig),
            rig.program_instead("connect", launcher.MODULES["connect"].program(small)) as first,
        ):
            rig.sql(LARGE_GAPS, LARGE_ROWS)
            rig.until(
                "Connect runs out of memory",
                lambda: OUT_OF_MEMORY in rig.log_since("connect", log) or None,
                120,
            )
            rig.wait_pid("connect", other_than=first)
            trial.happened(
                f"a heap of 128 MB, {LARGE_ROWS:,} rows of 3.2 MB: {OUT_OF_MEMORY}, started again"
            )
        rig.recover(trial, within_s=120)


@contextmanager
def large_gaps(rig: Rig) -> Iterator[None]:
    """They are gone after the block: whoever compares all rows need not read them."""
    try:
        yield
    finally:
        rig.sql("DELETE FROM gaps WHERE symbol = 'BIG'")
