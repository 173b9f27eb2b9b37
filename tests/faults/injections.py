"""Faults that may follow each other at random on a running pipeline: what the soak draws from.

Each one ends by itself, waits for nothing but its own end, and returns its evidence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from signal import SIGCONT, SIGSTOP

import psutil

from contracts.naming import Role, slot_name
from tests.faults.programs import wait_stopped
from tests.faults.rig import Rig

Inject = Callable[[Rig, Random], str]


@dataclass(frozen=True)
class Injection:
    """A fault of a row of the matrix ('' where none is about it)."""

    row: str
    name: str
    inject: Inject


def kill(name: str) -> Inject:
    """SIGKILL; the supervisor starts it again."""

    def inject(rig: Rig, _random: Random) -> str:
        victim = rig.kill(name)
        rig.wait_pid(name, other_than=victim, within_s=90)
        rig.wait_ready(name)
        return f"{name} {victim} killed"

    return inject


def freeze(name: str, least_s: float, most_s: float) -> Inject:
    """SIGSTOP, and after a while SIGCONT."""

    def inject(rig: Rig, random: Random) -> str:
        seconds = random.uniform(least_s, most_s)
        with rig.frozen(name) as pid:
            time.sleep(seconds)
        return f"{name} {pid} stopped for {seconds:.0f} s"

    return inject


def kill_together(first: str, second: str) -> Inject:
    """Two at once."""

    def inject(rig: Rig, _random: Random) -> str:
        victims = {name: rig.kill(name) for name in (first, second)}
        for name, victim in victims.items():
            rig.wait_pid(name, other_than=victim, within_s=90)
        for name in victims:
            rig.wait_ready(name)
        return f"killed together: {victims}"

    return inject


def freeze_walsender(rig: Rig, random: Random) -> str:
    """The backend that streams to Debezium."""
    pid = walsender(rig)
    process = psutil.Process(pid)
    process.send_signal(SIGSTOP)
    try:
        wait_stopped(pid)
        time.sleep(random.uniform(5, 25))
    finally:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGCONT)
    return f"walsender {pid} stopped"


def terminate_backends(rig: Rig, random: Random) -> str:
    """Every backend of ours, some times."""
    ended = 0
    for _ in range(random.randint(2, 5)):
        found = rig.sql(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE usename LIKE 'tidemark%%' AND pid <> pg_backend_pid()",
            role=Role.POSTGRES_ADMIN,
        )
        ended += int(found[0][0])
        time.sleep(2)
    return f"{ended} backends terminated"


def copy_then_kill_connect(rig: Rig, random: Random) -> str:
    """Many rows in one statement, and Connect dies while it reads them (rows A10, A11, A26)."""
    rows = random.randint(2000, 20_000)
    rig.sql(
        'INSERT INTO klines (venue, symbol, "interval", open_time, close_time, open, high, low, '
        "close, volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume, "
        "is_closed, as_of) SELECT 'fault', 'BULK', '1m', at, at + interval '59.999 s', 1, 1, 1, "
        "%s, 1, 1, 1, 1, 1, true, clock_timestamp() FROM (SELECT timestamptz '2026-01-01Z' "
        "+ n * interval '1 min' AS at FROM generate_series(1, %s) AS n) AS minutes "
        'ON CONFLICT (venue, symbol, "interval", open_time) '
        "DO UPDATE SET close = excluded.close, as_of = excluded.as_of",
        random.randint(1, 1_000_000),
        rows,
    )
    time.sleep(random.uniform(0, 1))
    return f"{rows} rows in one transaction, {kill('connect')(rig, random)}"


def sink_comes_and_goes(rig: Rig, random: Random) -> str:
    """A second member of the group, killed or ended."""
    with rig.second_sink() as member:
        time.sleep(random.uniform(4, 15))
        random.choice((member.kill, member.terminate))()
    return f"sink {member.pid} joined and left"


def failpoint(rig: Rig, random: Random) -> str:
    """The sink kills itself at a point that load leads it to."""
    point = random.choice(("after_poll", "mid_batch", "after_write", "before_commit"))
    folder = rig.stack.run / f"failpoint-{time.monotonic_ns()}"
    folder.mkdir()
    with rig.failpoint(f"{point}:kill:{random.randint(1, 60)}", folder) as armed:
        return f"sink {armed.wait()} killed itself at {point}"


def walsender(rig: Rig) -> int:
    """The backend that holds the slot."""

    def holder() -> int | None:
        found = rig.sql(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s",
            slot_name(rig.cdc.generation),
            role=Role.POSTGRES_ADMIN,
        )
        return found[0][0] if found else None

    return int(rig.until("somebody holds the slot", holder, 90))


INJECTIONS = (
    Injection("A1", "PostgreSQL killed", kill("postgres")),
    Injection("A3", "walsender frozen", freeze_walsender),
    Injection("A4", "backends terminated", terminate_backends),
    Injection("A11", "Connect killed in a large transaction", copy_then_kill_connect),
    Injection("B1", "Connect killed", kill("connect")),
    Injection("B2", "Connect frozen", freeze("connect", 5, 25)),
    Injection("B3", "Kafka killed", kill("kafka")),
    Injection("B3", "Kafka frozen", freeze("kafka", 5, 20)),
    Injection("C1", "sink killed at a failpoint", failpoint),
    Injection("C1", "sink killed", kill("sink")),
    Injection("C2", "sink frozen", freeze("sink", 5, 25)),
    Injection("C3", "a sink comes and goes", sink_comes_and_goes),
    Injection("C5", "Cassandra killed", kill("cassandra")),
    Injection("C5", "Cassandra frozen", freeze("cassandra", 5, 30)),
    Injection("", "ingest killed", kill("ingest")),
    Injection("", "watch killed", kill("watch")),
    Injection("", "exchange killed", kill("simulator")),
    Injection("", "Connect and sink killed", kill_together("connect", "sink")),
    Injection("", "Kafka and Cassandra killed", kill_together("kafka", "cassandra")),
)
