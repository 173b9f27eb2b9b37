"""Latencies and alarms as the page derives them: the same as the watch does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdc import readings
from page import health
from page.rows import Event
from tests.page_rows import Recorded
from watch import alarms, latency

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def told(minutes_ago: int, severity: str, message: str, kind: str = health.ALARM) -> Event:
    return Event(NOON - timedelta(minutes=minutes_ago), kind, "", severity, message)


def test_latencies_are_those_of_the_watch() -> None:
    """Two programs that look at the same beats say the same: `tidemark status` and the page."""
    beats = Recorded(NOON).beats("ingest", NOON - timedelta(minutes=5), NOON)
    theirs = latency.stages(
        readings.Beat(
            source="ingest",
            beat_at=each.beat_at,
            committed_us=each.committed_us,
            captured_us=each.captured_us,
            produced_ms=each.produced_ms,
            received_us=each.received_us,
            visible_us=each.visible_us,
        )
        for each in beats
    )
    ours = [*health.latencies(beats), health.replication(beats)]
    assert [each.stage for each in ours if each] == [
        stage.name for stage in latency.STAGES if stage.name != "end_to_end"
    ]
    for each in ours:
        assert each is not None
        other = theirs[each.stage]
        assert (each.p50_ms, each.p99_ms, each.beats) == (other.p50_ms, other.p99_ms, other.count)


def test_stage_that_no_beat_has_passed_is_left_out() -> None:
    """While the sink stands there is no time of Cassandra, and none is invented."""
    (beat,) = Recorded(NOON).beats("ingest", NOON - timedelta(seconds=1), NOON)
    waiting = type(beat)(beat.beat_at, beat.committed_us, beat.captured_us, None, None, None)
    assert [each.stage for each in health.latencies([waiting])] == ["ingest", "debezium"]
    assert health.replication([waiting]) is None
    assert health.arrivals([waiting]) == []


def test_alarm_stands_until_it_is_told_to_be_over() -> None:
    """Newest first: what was cleared stands no more, what was raised again does."""
    standing = health.standing(
        [
            told(1, "info", "slot: over after 60 s"),
            told(2, "critical", "slot: it retains 2 GB"),
            told(3, "critical", "kafka_down: nobody answers: at 19092"),
            told(4, "info", "kafka_down: over after 5 s"),
            told(9, "warning", "quarantine: 120 rows"),
            told(0, "critical", "slot: not an alarm", kind="ban"),
        ]
    )
    assert [(each.name, each.severity, each.text) for each in standing] == [
        ("quarantine", "warning", "120 rows"),
        ("kafka_down", "critical", "nobody answers: at 19092"),
    ]


@pytest.mark.parametrize("alarm", alarms.ALARMS, ids=lambda alarm: alarm.name)
def test_words_of_every_alarm_are_understood(alarm: alarms.Alarm) -> None:
    """What the watch writes, raised and over, is what the page reads."""
    raised = alarms.Transition(alarm=alarm.name, severity=alarm.severity, text="why", at=NOON)
    over = alarms.Transition(alarm=alarm.name, severity="info", text="over after 3 s", at=NOON)
    first = told(2, raised.severity, raised.message, kind=alarms.KIND)
    last = told(1, over.severity, over.message, kind=alarms.KIND)
    (standing,) = health.standing([first])
    assert (standing.name, standing.text) == (alarm.name, "why")
    assert health.standing([last, first]) == []
