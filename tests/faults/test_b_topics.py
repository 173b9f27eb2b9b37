"""Rows B: what Connect and the sink remember, or what they read, is gone from Kafka."""

from __future__ import annotations

import re
import time

import pytest

from contracts.naming import topic_of
from tests.conftest import free_ports
from tests.faults import oracles
from tests.faults.matrix import row
from tests.faults.rig import Rig, metrics_of
from tests.faults.trial import Counts, Trial
from tests.integration.conftest import Replica
from tests.integration.sinking import CraftedLog, instrument_change

OFFSETS = "tidemark.connect.offsets"


@row("B5")
def test_b05_connect_offsets_deleted(rig: Rig, trial: Trial) -> None:
    """Connect would begin anew without a word: it is stopped, or its second snapshot refused."""
    with rig.under_load(trial, settle_s=240):
        with rig.stopped("connect"):
            rig.delete_topic(OFFSETS)
            trial.happened(f"{OFFSETS} was deleted while Connect was down")
        trial.note(rig.alarm("replication_refused", "table_halted", "task_failed"))
        rig.resync(trial)
        rig.recover(trial, within_s=120)


@row("B6")
def test_b06_data_topic_deleted(rig: Rig, trial: Trial) -> None:
    """Nothing makes it anew behind our back without an alarm; `resync` heals."""
    topic = topic_of("gaps", rig.cdc.generation)
    with rig.under_load(trial, settle_s=240):
        rig.delete_topic(topic)
        trial.happened(f"{topic} was deleted under load")
        names = ("task_failed", "connector_stuck", "heartbeat_age", "sink_stopped", "table_halted")
        trial.note(rig.alarm(*names))
        rig.resync(trial)
        rig.recover(trial, within_s=120)
    partitions = {key for key in oracles.log_ends(rig.cdc) if key[0].endswith(".gaps")}
    assert len(partitions) == rig.cdc.topic_partitions


@pytest.fixture
def log(replica: Replica) -> CraftedLog:
    """An empty log of a generation of its own."""
    return CraftedLog.begin(replica)


@row("B8")
def test_b08_retention_passes_the_sink(log: CraftedLog, trial: Trial) -> None:
    """Kafka dropped what was never applied: the sink stops and says so, and skips nothing."""
    topic = topic_of("instruments", log.settings.generation)
    log.produce(instrument_change("c", f"A{n}", lsn=80_000 + 8 * n, tx=100 + n) for n in range(100))
    log.apply()
    log.produce(instrument_change("c", f"B{n}", lsn=90_000 + 8 * n, tx=300 + n) for n in range(200))
    log.drop_before(topic, 0, 200)
    trial.happened(f"{topic}[0] lost its events up to 200; 100 of them were never applied")
    (port,) = free_ports(1)
    with log.sink(TIDEMARK_SINK_METRICS_PORT=str(port)) as process:
        told = ""
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            found = re.search(r"tidemark_sink_stopped\{(.*)\} 1\.0", metrics_of(port))
            told = found[1] if found else told
            time.sleep(0.2)
        assert process.poll() not in (None, 0), "the sink went on"
    assert told, "no metric said why the sink stopped"
    trial.note(f"it ended with {process.returncode} and showed {told}"[:200])
    written = {each.symbol for each in log.rows("instruments")}
    before = {f"A{n}" for n in range(100)}
    trial.prove(Counts(len(before), len(before - written), len(written - before)))
