"""Rows C: the sink killed at every point, frozen, rebalanced, replayed."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGTERM

import psutil
import pytest
from confluent_kafka import Producer

from cdc import keyspace
from contracts.naming import Role, topic_of
from tests.faults import oracles
from tests.faults.matrix import row
from tests.faults.programs import Failpoint, wait_stopped
from tests.faults.reconcile import COPIES
from tests.faults.rig import Rig
from tests.faults.trial import Trial

SEEDS = 3
LED_TO = ("after_poll", "mid_batch", "after_write", "before_commit")  # by load alone
POINTS = (*LED_TO, "in_dead_letter", "in_on_revoke", "at_shutdown")


@row("C1")
@pytest.mark.parametrize("point", POINTS)
def test_c01_sink_killed_at_a_failpoint(rig: Rig, trial: Trial, point: str, tmp_path: Path) -> None:
    """SIGKILL of itself at the point, three times at drawn passings: it goes on, all is there."""
    passings = [trial.random.randint(1, 40) if point in LED_TO else 1 for _ in range(SEEDS)]
    armed = f"{point}:kill:{','.join(map(str, passings))}"
    with rig.under_load(trial, tps=100), rig.failpoint(armed, tmp_path) as failpoint:
        for time_ in range(1, SEEDS + 1):
            provoke(rig, point, failpoint, time_)
            killed = failpoint.wait(time_)
        trial.happened(f"killed itself {SEEDS} times at {armed}")
        rig.wait_pid("sink", other_than=killed)
        rig.recover(trial, within_s=30)


def provoke(rig: Rig, point: str, failpoint: Failpoint, time_: int) -> None:
    """Make the sink pass points to which ordinary load does not lead it."""
    if point == "in_dead_letter":
        if time_ == 1:
            producer = Producer({"bootstrap.servers": rig.cdc.kafka_bootstrap})
            topic = topic_of("instruments", rig.cdc.generation)
            producer.produce(topic, b'{"op": "c"', b"poison", 0)
            assert producer.flush(20) == 0
    elif point == "at_shutdown":
        rig.wait_assigned()
        rig.kill("sink", SIGTERM)
    elif point == "in_on_revoke":
        rig.wait_assigned()
        with rig.second_sink():
            failpoint.wait(time_)


@row("C2")
def test_c02_zombie_sink(rig: Rig, trial: Trial, tmp_path: Path) -> None:
    """It freezes with events in hand, a peer applies newer ones, then it writes what it held."""
    with (
        rig.under_load(trial, tps=100),
        rig.second_sink(),
        rig.failpoint(f"after_poll:stop:{trial.random.randint(100, 300)}", tmp_path) as failpoint,
    ):
        zombie = failpoint.wait()
        try:
            wait_stopped(zombie)
            time.sleep(2)
            ends = oracles.log_ends(rig.cdc)
            time.sleep(rig.cdc.session_timeout_ms / 1000 + 10)
            after = rig.acknowledged()
        finally:
            psutil.Process(zombie).send_signal(SIGCONT)
        left = [each for each, end in ends.items() if after.get(each, 0) < end]
        assert left == [], "the peer did not take every partition over"
        trial.happened(f"sink {zombie} stopped after a poll; its peer went on with all partitions")
        rig.recover(trial, within_s=60)


@row("C3")
def test_c03_rebalance_storm(rig: Rig, trial: Trial) -> None:
    """Three more members come and go each five seconds, killed or ended, for two minutes."""
    with rig.under_load(trial, tps=100):
        joined = 0
        ends = time.monotonic() + 120
        with ExitStack() as all_:
            members: list[psutil.Popen] = []
            while time.monotonic() < ends:
                if len(members) < 3:
                    members.append(all_.enter_context(rig.second_sink()))
                    joined += 1
                else:
                    leaving = members.pop(0)
                    trial.random.choice((leaving.kill, leaving.terminate))()
                time.sleep(5)
        trial.happened(f"{joined} members joined and left")
        rig.recover(trial, within_s=60)


@row("C4")
def test_c04_full_replay_twice(rig: Rig, trial: Trial) -> None:
    """New groups of two members read everything from its beginning; no row changes."""
    with rig.under_load(trial):
        time.sleep(5)
    with rig.stopped("ingest"), rig.stopped("watch"):
        time.sleep(3)  # what is on its way arrives
        before = digests(rig)
        for number in range(2):
            group = f"fault-replay-{trial.seed}-{time.monotonic_ns()}"
            more = {"TIDEMARK_SINK_GROUP": group, "TIDEMARK_POLL_MESSAGES": ("2000", "300")[number]}
            ends = oracles.log_ends(rig.cdc)
            with rig.second_sink(**more), rig.second_sink(**more):
                rig.until("everything is read again", partial(replayed, rig, group, ends), 240)
            trial.happened(f"{sum(ends.values()):,} events read again by group {group}")
            assert digests(rig) == before
    trial.note(f"{len(before)} tables with the same digest after each replay")


def replayed(rig: Rig, group: str, ends: oracles.Offsets) -> bool | None:
    done = rig.acknowledged(group)
    return all(done.get(each, 0) >= end for each, end in ends.items()) or None


def digests(rig: Rig) -> dict[str, int]:
    """An order-independent digest of each table but that of heartbeats, which never stand still."""
    found: dict[str, int] = {}
    with keyspace.session(rig.cdc, Role.READER) as session:
        for copy in COPIES:
            if copy.source == "heartbeat":
                continue
            total = 0
            for each in session.execute(f"SELECT * FROM {copy.target}", timeout=60):
                whole = hashlib.blake2b(repr(each).encode(), digest_size=16).digest()
                total = (total + int.from_bytes(whole)) % (1 << 128)
            found[copy.target] = total
    return found
