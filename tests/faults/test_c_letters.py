"""Rows C: poison in the log, letters that cannot be stored, events of another schema."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer

from cdc.topics import Topics
from contracts.naming import topic_of
from tests.conftest import free_ports
from tests.faults.matrix import row
from tests.faults.rig import Rig, metrics_of
from tests.faults.trial import Counts, Trial
from tests.integration.conftest import Replica
from tests.integration.sinking import CraftedLog, Event, instrument_change

EACH = 200
LSN = 80_000


@pytest.fixture
def log(replica: Replica) -> CraftedLog:
    """An empty log of a generation of its own."""
    return CraftedLog.begin(replica)


def poison(trial: Trial, number: int) -> list[Event]:
    """One event of each kind that can never be applied."""
    good = instrument_change("c", f"BAD{number}", lsn=LSN + 8 * number, tx=1_000_000 + number)
    assert good.value is not None
    return [
        replace(good, value=b"{not json " + trial.random.randbytes(20)),
        replace(good, value=good.value[: trial.random.randrange(1, len(good.value))]),
        _changed(good, ["after", "tick_size"], {"wrong": "type"}),
        _changed(_changed(good, ["source", "lsn"], None), ["source", "sequence"], None),
        _changed(good, ["op"], "x"),
        replace(good, key=None),
        replace(good, value=trial.random.randbytes(5_000_000)),
    ]


def _changed(event: Event, path: list[str], value: Any) -> Event:
    whole = json.loads(event.value or b"")
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return replace(event, value=json.dumps(whole).encode())


@row("C10")
def test_c10_poison(log: CraftedLog, trial: Trial) -> None:
    """Each becomes a letter with its cause and its exact bytes; every good event is applied."""
    bad = [event for number in range(EACH) for event in poison(trial, number)]
    good = [
        instrument_change("c", f"GOOD{number}", lsn=LSN * 10 + 8 * number, tx=2_000_000 + number)
        for number in range(len(bad))
    ]
    mixed = bad + good
    trial.random.shuffle(mixed)
    mixed = [replace(event, partition=trial.random.randrange(4)) for event in mixed]
    log.produce(mixed)
    with log.sink():
        log.wait_applied(250)
    trial.happened(f"{len(bad)} events that can never be applied, {EACH} of them of 5 MB")
    letters = log.dead_letters(len(bad), timeout_s=120)
    place = {offset: event.value for offset, event in offsets(mixed).items()}
    for letter in letters:
        says = {name: value.decode() for name, value in letter.headers()}
        where = int(says["partition"]), int(says["offset"])
        assert letter.value() == place[where], "the bytes are not those of the event"
        assert says["cause"]
        assert says["topic"] == topic_of("instruments", log.settings.generation)
    written = {each.symbol for each in log.rows("instruments") if each.symbol[:3] in ("GOO", "BAD")}
    wanted = {f"GOOD{number}" for number in range(len(good))}
    trial.note(f"{len(letters)} letters, {len(written)} good rows")
    trial.prove(Counts(len(wanted), len(wanted - written), len(written - wanted)))


def offsets(events: list[Event]) -> dict[tuple[int, int], Event]:
    """(partition, offset) of events that were produced into an empty topic."""
    ends: dict[int, int] = {}
    found = {}
    for event in events:
        at = ends.get(event.partition, 0)
        found[event.partition, at] = event
        ends[event.partition] = at + 1
    return found


@row("C11")
def test_c11_dead_letter_topic_gone(rig: Rig, trial: Trial) -> None:
    """The sink stops rather than pass the event; once the topic is back, the letter is there."""
    topic = topic_of("instruments", rig.cdc.generation)
    with rig.under_load(trial):
        rig.delete_topic(rig.cdc.dead_letter_topic)
        log = rig.log_size("sink")
        producer = Producer({"bootstrap.servers": rig.cdc.kafka_bootstrap})
        producer.produce(topic, b"{no letter can be sent", b"poison", 0)
        assert producer.flush(20) == 0
        told = "a dead letter cannot be stored"
        rig.until("the sink stops", lambda: told in rig.log_since("sink", log) or None, 90)
        trial.happened(f"{rig.cdc.dead_letter_topic} was deleted; the sink said: {told}")
        held = rig.committed()[topic, 0]
        trial.note(rig.alarm("sink_stopped"))
        assert rig.committed()[topic, 0] == held, "the poison was passed without a letter"
        made = rig.pipeline.tidemark("connector", "apply")
        assert made.returncode == 0, made.stderr
        rig.recover(trial, within_s=90)
    with Topics(rig.cdc) as topics:
        letters = sum(topics.end_offsets([rig.cdc.dead_letter_topic]).values())
    trial.note(f"{letters} letter in the new topic")
    assert letters >= 1


@row("C12")
def test_c12_schema_drift(log: CraftedLog, trial: Trial) -> None:
    """A field too many changes nothing; one too few is never taken for NULL."""
    more = _changed(
        instrument_change("c", "MORE", lsn=LSN, tx=1), ["after", "brand_new"], {"deep": [1]}
    )
    less = _changed(
        instrument_change("u", "LESS", lsn=LSN + 16, tx=3), ["after", "tick_size"], None
    )
    whole = instrument_change("c", "LESS", lsn=LSN + 8, tx=2)
    log.produce([more, whole])
    log.apply()
    log.produce([less])
    before = drifted(log)
    assert set(before) == {"MORE", "LESS"}
    with log.sink(TIDEMARK_SINK_METRICS_PORT=str(port := free_ports(1)[0])):
        judged = judgement(port)
    trial.happened("one event with an unknown field, one without tick_size")
    trial.note(f"the event without a field: {judged}")
    after = drifted(log)
    trial.prove(Counts(len(before), different=sum(before[name] != after[name] for name in before)))


def drifted(log: CraftedLog) -> dict[str, Any]:
    """The two rows, by symbol."""
    return {
        each.symbol: each for each in log.rows("instruments") if each.symbol in ("MORE", "LESS")
    }


def judgement(port: int) -> str:
    """What became of the one odd event, by the sink's metrics: a dead letter or a halted table."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = metrics_of(port)
        if re.search(r'tidemark_sink_dead_letters_total\{.*table="instruments"\} 1\.0', text):
            return "a dead letter"
        if re.search(r'tidemark_sink_halted_table\{.*table="instruments".*\} 1\.0', text):
            return "its table halted"
        time.sleep(0.5)
    return pytest.fail("the event without a field was neither set aside nor did its table halt")
