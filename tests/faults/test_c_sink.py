"""Rows C: the sink killed at every point, frozen, rebalanced."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGTERM

import pytest
from confluent_kafka import Producer

from contracts.naming import topic_of
from runtime.failpoints import POINTS
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Trial

SEEDS = 3


def provoke(rig: Rig, point: str) -> None:
    """Make the sink pass points that ordinary load does not lead it to."""
    if point == "in_dead_letter":
        producer = Producer({"bootstrap.servers": rig.cdc.kafka_bootstrap})
        for number in range(10):
            topic = topic_of("instruments", rig.cdc.generation)
            producer.produce(topic, b'{"op": "c"', f"poison-{number}".encode(), 0)
        producer.flush(20)
    elif point == "at_shutdown":
        rig.kill("sink", SIGTERM)


@row("C1")
@pytest.mark.parametrize("point", POINTS)
def test_c01_sink_killed_at_a_failpoint(rig: Rig, trial: Trial, point: str, tmp_path: Path) -> None:
    """SIGKILL of itself at the point, three times at drawn passings: it goes on, all is there."""
    with rig.under_load(trial, tps=100):
        for _ in range(SEEDS):
            often = point not in ("in_dead_letter", "in_on_revoke", "at_shutdown")
            passing = trial.random.randint(1, 40) if often else 1
            with rig.failpoint(point, passing, tmp_path) as hits:
                victim = rig.wait_pid("sink")
                time.sleep(0 if often else 3)
                if point == "in_on_revoke":
                    with rig.second_sink():
                        fired(rig, hits)
                else:
                    provoke(rig, point)
                    fired(rig, hits)
                trial.happened(f"{hits.read_text().strip()} at passing {passing}")
                rig.wait_pid("sink", other_than=victim)
                rig.recover(trial, within_s=30)


def fired(rig: Rig, hits: Path) -> None:
    rig.until("the failpoint fires", lambda: (hits.exists() and hits.read_text()) or None, 60)
