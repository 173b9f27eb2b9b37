"""Alarms: raised after patience, cleared after patience, told once each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watch.alarms import ALARMS, Alarm, Alarms, Band, RaisedAlarm
from watch.settings import WatchSettings

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def patient() -> Alarms:
    return Alarms((Alarm(name="slot", severity="critical", raise_after_s=10, clear_after_s=30),))


def test_complaint_raises_only_after_it_has_held() -> None:
    """Nine seconds of trouble are no alarm, ten are, and it is told once."""
    alarms = patient()
    assert alarms.observe("slot", "too much WAL", at(0)) is None
    assert alarms.observe("slot", "too much WAL", at(9)) is None
    raised = alarms.observe("slot", "far too much WAL", at(10))
    assert raised is not None
    assert (raised.severity, raised.message) == ("critical", "slot: far too much WAL")
    assert alarms.observe("slot", "far too much WAL", at(11)) is None
    assert alarms.raised() == {"slot": "far too much WAL"}


def test_trouble_that_pauses_starts_anew() -> None:
    """A good moment in between resets the patience."""
    alarms = patient()
    alarms.observe("slot", "bad", at(0))
    alarms.observe("slot", None, at(5))
    assert alarms.observe("slot", "bad", at(11)) is None
    assert not alarms.is_raised("slot")


def test_dancing_value_neither_clears_nor_repeats() -> None:
    """Good for less than clear_after_s leaves the alarm raised, without further rows."""
    alarms = patient()
    alarms.observe("slot", "bad", at(0))
    alarms.observe("slot", "bad", at(10))
    turns = [
        alarms.observe("slot", "bad" if second % 20 == 0 else None, at(second))
        for second in range(11, 200)
    ]
    assert turns == [None] * len(turns)
    assert alarms.is_raised("slot")


def test_lasting_health_clears_and_says_how_long_it_took() -> None:
    """Thirty good seconds end the alarm with severity info."""
    alarms = patient()
    alarms.observe("slot", "bad", at(0))
    alarms.observe("slot", "bad", at(10))
    assert alarms.observe("slot", None, at(50)) is None
    cleared = alarms.observe("slot", None, at(80))
    assert cleared is not None
    assert (cleared.severity, cleared.message) == ("info", "slot: over after 70 s")
    assert alarms.raised() == {}


def test_alarm_of_an_earlier_process_is_taken_over_and_cleared() -> None:
    """A restarted watch does not raise again what stands, and ends what is over."""
    alarms = patient()
    alarms.resume(RaisedAlarm(name="slot", text="bad", since=at(-60)))
    assert alarms.observe("slot", "bad", at(0)) is None
    alarms.observe("slot", None, at(1))
    cleared = alarms.observe("slot", None, at(31))
    assert cleared is not None
    assert cleared.text == "over after 91 s"


def test_alarm_that_no_longer_exists_is_not_taken_over() -> None:
    """A name of an older version is ignored."""
    alarms = patient()
    alarms.resume(RaisedAlarm(name="an_old_name", text="bad", since=START))
    assert alarms.raised() == {}


@pytest.mark.parametrize(
    ("value", "already", "crossed"),
    [(15, False, False), (15.1, False, True), (10, True, True), (5, True, False)],
)
def test_band_has_a_dead_zone(value: float, *, already: bool, crossed: bool) -> None:
    """Between low and high a value stays what it was."""
    assert Band(15, 5).crossed(value, already=already) is crossed


def test_every_alarm_is_raised_within_thirty_seconds_of_its_trouble() -> None:
    """Patience and two periods together fit into the half minute that is promised."""
    period_s = WatchSettings.model_fields["watch_period_s"].default
    slow = [a.name for a in ALARMS if a.raise_after_s + 2 * period_s > 30]
    assert slow == []


def test_partitions_are_well_at_the_first_look_that_says_so() -> None:
    """They are looked at once an hour: an alarm that waited would stay an hour too long."""
    alarms = Alarms()
    alarms.observe("partitions", "none made ahead", at(0))
    cleared = alarms.observe("partitions", None, at(15))
    assert cleared is not None
    assert cleared.severity == "info"
    assert alarms.raised() == {}


def test_every_alarm_is_raised_well_within_half_a_minute() -> None:
    """Its patience, and the longest period of a check that looks for it."""
    longest_period_s = 10  # of the log, twice the usual
    late = [each.name for each in ALARMS if each.raise_after_s + longest_period_s > 30]
    assert late == []
