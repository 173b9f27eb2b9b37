"""What the checks complain of, and what they hold for well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest

from cdc.errors import DeadLetterLost
from cdc.sink import metrics as sink_metrics
from ingest import metrics as ingest_metrics
from runtime.settings import SettingsError
from watch.checks import slot_complaint, stopped_complaint, streams_complaint
from watch.flow import Standstill
from watch.probes import Flow, Sink, Streams, exchange_of, sink_of, unapplied
from watch.settings import WatchSettings
from watch.store import Slot

START = datetime(2026, 1, 1, tzinfo=UTC)
GIGABYTE = 1 << 30


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> WatchSettings:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")
    return WatchSettings()


def slot(**changed: Any) -> Slot:
    well: dict[str, Any] = {
        "active": True,
        "wal_status": "reserved",
        "safe": 4 * GIGABYTE,
        "retained": 0,
        "behind": 0,
        "keep": 4 * GIGABYTE,
    }
    return Slot(**{**well, **changed})


def test_slot_that_keeps_little_is_well(settings: WatchSettings) -> None:
    """A quarter of the limit is not yet too much."""
    assert slot_complaint("s", slot(retained=GIGABYTE), settings, already=False) is None


def test_slot_beyond_its_share_is_a_complaint_until_it_is_half_of_it(
    settings: WatchSettings,
) -> None:
    """25 % raises, and only 12.5 % clears."""
    above, between = slot(retained=GIGABYTE + 1), slot(retained=GIGABYTE * 3 // 4)
    assert slot_complaint("s", above, settings, already=False) == "slot s retains 1024 MB of WAL"
    assert slot_complaint("s", between, settings, already=False) is None
    assert slot_complaint("s", between, settings, already=True) is not None


def test_slot_without_a_limit_has_one_of_ours(settings: WatchSettings) -> None:
    """Where PostgreSQL would keep everything, 4 GB are too much."""
    unlimited = slot(safe=None, keep=None, retained=4 * GIGABYTE + 1)
    assert slot_complaint("s", unlimited, settings, already=False) is not None


@pytest.mark.parametrize("status", ["extended", "unreserved", "lost"])
def test_slot_in_danger_is_a_complaint_whatever_it_keeps(
    settings: WatchSettings, status: str
) -> None:
    """PostgreSQL's own word goes before any number."""
    assert status in (slot_complaint("s", slot(wal_status=status), settings, already=False) or "")


def test_slot_that_is_missing_names_the_way_out(settings: WatchSettings) -> None:
    """The complaint holds the command that makes it."""
    assert "tidemark connector apply" in (slot_complaint("s", None, settings, already=False) or "")


def test_standstill_counts_from_the_last_move() -> None:
    """A number that moves is never still; one that stops is still since then."""
    still = Standstill()
    seen = [
        still.seconds(value, START + timedelta(seconds=second))
        for second, value in enumerate([7, 8, 8, 8, 9, 9])
    ]
    assert seen == [0, 0, 1, 2, 0, 1]


def test_standstill_that_had_a_reason_starts_anew() -> None:
    """An outage of Kafka is not held against the connector."""
    still = Standstill()
    still.seconds(7, START)
    still.forget()
    assert still.seconds(7, START + timedelta(hours=1)) == 0


def test_lag_is_what_cassandra_has_not_acknowledged() -> None:
    """Published positions count; a partition that has published none counts by its commits."""
    flow = Flow(
        ends={"a/0": 10, "a/1": 20, "b/0": 30},
        uncommitted={"a/0": 9, "a/1": 9, "b/0": 5},
        dead_letters=0,
        new_dead_letters=0,
        beats=0,
    )
    assert unapplied(flow, {"a/0": 10, "a/1": 17}) == {"a": 3, "b": 5}


def test_position_beyond_the_end_is_no_negative_lag() -> None:
    """The end was read before the position."""
    flow = Flow(
        ends={"a/0": 10}, uncommitted={"a/0": 0}, dead_letters=0, new_dead_letters=0, beats=0
    )
    assert unapplied(flow, {"a/0": 12}) == {"a": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"watch_heartbeat_raise_s": 5, "watch_heartbeat_clear_s": 6},
        {"watch_restart_first_s": 100, "watch_restart_limit_s": 60},
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    """The message names both settings."""
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")
    with pytest.raises(SettingsError) as refused:
        WatchSettings(**wrong)
    assert all(f"TIDEMARK_{name.upper()}" in str(refused.value) for name in wrong)


def test_halted_table_is_read_from_what_the_sink_exposes() -> None:
    """The sink's own gauge, in its own text, names the table and why until it is cleared."""
    assert sink_of("") == Sink(halted={})
    sink_metrics.HALTED.labels("prices", 'it was "truncated"').set(1)
    try:
        found = sink_of(generate_latest().decode())
        assert found == Sink(halted={"prices": 'it was "truncated"'})
    finally:
        sink_metrics.HALTED.clear()


def test_failing_polls_are_read_from_what_ingest_exposes() -> None:
    """Only endpoints with a poll that fails now are named."""
    ingest_metrics.FAILING_POLLS.labels("depth").set(3)
    ingest_metrics.FAILING_POLLS.labels("klines").set(0)
    try:
        assert exchange_of(generate_latest().decode()).failing == {"depth": 3}
    finally:
        ingest_metrics.FAILING_POLLS.clear()
    assert exchange_of("").failing == {}


def test_a_sink_that_stops_says_why_itself() -> None:
    """Code and message of the error, in one line that the alarm repeats."""
    lost = DeadLetterLost("a dead letter cannot be stored; do this")
    sink_metrics.STOPPED.labels(lost.name, str(lost)).set(1)
    try:
        found = sink_of(generate_latest().decode())
    finally:
        sink_metrics.STOPPED.clear()
    assert found.stopped == "dead_letter_lost: a dead letter cannot be stored; do this"
    assert stopped_complaint(None) is None
    assert found.stopped in (stopped_complaint(found.stopped) or "")


def test_what_ingest_says_of_streams_is_read_from_its_own_metrics() -> None:
    """By the names that it really exports; without streams there is nothing to read."""
    away = START + timedelta(hours=1)
    gauges = {
        ingest_metrics.STREAMS_WANTED: 9.0,
        ingest_metrics.STREAMS_LIVE: 7.0,
        ingest_metrics.BOOKS_LIVE: 2.0,
        ingest_metrics.STREAMS_AWAY_SINCE: away.timestamp(),
        ingest_metrics.STREAM_FALLBACK.labels("klines"): 2.0,
    }
    assert exchange_of("").streams is None
    try:
        for gauge, value in gauges.items():
            gauge.set(value)
        ingest_metrics.STREAM_FALLBACK.labels("trades").set(0)
        seen = exchange_of(generate_latest().decode()).streams
        assert seen == Streams(
            wanted=9, live=7, books=2, standing_in={"klines": 2}, away_since=away
        )
        assert streams_complaint(seen, away + timedelta(seconds=299), 300) is None
        assert "2 of 9 streams" in (streams_complaint(seen, away + timedelta(hours=1), 300) or "")
    finally:
        for gauge in gauges:
            gauge.set(0)
    assert exchange_of(generate_latest().decode()).streams is None
