"""What the watch wants shed: in order, quickly up, slowly down, and never more than the order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.shedding import ALL, NONE, ORDER, shed
from watch.shedding import STEPS, Level, Reading, Shedding

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIMIT = 1000 << 20


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(seconds: float, share: float, status: str = "reserved") -> Reading:
    return Reading(at=at(seconds), retained=round(LIMIT * share), limit=LIMIT, wal_status=status)


def shedding(level: int = NONE) -> Shedding:
    return Shedding(Level(level=level, since=START, reason="before"))


def levels(decided: Shedding, readings: list[Reading]) -> list[int]:
    return [decided.decide(each, each.at).level for each in readings]


def test_each_stream_has_its_step_and_a_dead_zone() -> None:
    """Limits rise with the level; what clears a step lies well below what raises it."""
    assert len(STEPS) == ALL == len(ORDER)
    assert all(step.clear_share <= step.raise_share - 0.2 for step in STEPS)
    for earlier, later in pairwise(STEPS):
        assert earlier.raise_share < later.raise_share
        assert earlier.clear_share < later.clear_share
        assert earlier.time_left_s > later.time_left_s


def test_order_ends_before_candles() -> None:
    """Depth, trades, prices; nothing else is ever shed."""
    assert [shed(level) for level in range(ALL + 1)] == [
        (),
        ("depth",),
        ("depth", "trades"),
        ("depth", "trades", "prices"),
    ]


@pytest.mark.parametrize(("share", "level"), [(0.39, 0), (0.40, 1), (0.60, 2), (0.75, 3), (1.2, 3)])
def test_share_of_the_limit_asks_for_its_level_a_step_a_round(share: float, level: int) -> None:
    """Each step shows its effect before the next, but a round later it goes on."""
    seen = levels(shedding(), [reading(5 * n, share) for n in range(5)])
    assert seen == [min(n, level) for n in range(1, 6)]


def test_near_limit_at_the_present_rate_raises_before_the_share_does() -> None:
    """1 % in five seconds: at 26 % the rest lasts six minutes, which asks for two steps."""
    decided = shedding()
    seen = levels(decided, [reading(5 * n, 0.20 + 0.01 * n) for n in range(12)])
    assert seen[:6] == [0] * 6
    assert max(seen) == 2
    assert "min at this rate" in decided.level.reason


def test_saw_tooth_of_a_slot_that_is_read_is_no_growth() -> None:
    """Up by 8 % in twenty seconds, and down again as Debezium confirms: nothing is shed."""
    saw = [reading(5 * n, 0.26 + 0.02 * (n % 5)) for n in range(60)]
    assert set(levels(shedding(), saw)) == {0}


def test_fast_growth_of_a_small_backlog_is_no_reason() -> None:
    """A bulk load while Debezium reads on: below a quarter of the limit no rate counts."""
    assert levels(shedding(), [reading(5 * n, 0.02 * n) for n in range(12)]) == [0] * 12


def test_slot_that_the_next_checkpoint_takes_sheds_all_at_once() -> None:
    assert levels(shedding(), [reading(0, 0.3, "unreserved")]) == [ALL]


@pytest.mark.parametrize("gone", [None, reading(5, 0.99, "lost")])
def test_slot_that_is_gone_has_nothing_to_save(gone: Reading | None) -> None:
    """At once, whatever was shed before."""
    assert shedding(ALL).decide(gone, at(5)).level == NONE


def test_it_clears_a_step_at_a_time_each_after_a_calm_minute() -> None:
    """From all to nothing takes three minutes, however empty the slot is."""
    decided = shedding(ALL)
    turned: dict[int, int] = {}
    for seconds in range(0, 300, 5):
        turned.setdefault(decided.decide(reading(seconds, 0.01), at(seconds)).level, seconds)
    assert turned == {3: 0, 2: 60, 1: 125, 0: 190}


def test_in_the_dead_zone_nothing_changes() -> None:
    """Between what clears a step and what raises the next one."""
    for level in range(1, ALL + 1):
        step = STEPS[level - 1]
        for share in (step.clear_share, (step.clear_share + step.raise_share) / 2):
            seen = levels(shedding(level), [reading(5 * n, share) for n in range(60)])
            assert set(seen) == {level}


def test_calm_that_is_broken_begins_anew() -> None:
    """A minute with one reading above the limit is no calm minute."""
    shares = [0.1] * 10 + [0.22] + [0.1] * 11
    assert set(levels(shedding(1), [reading(5 * n, s) for n, s in enumerate(shares)])) == {1}


def test_it_goes_on_where_an_earlier_watch_left_off() -> None:
    """A restarted watch neither clears at once nor forgets since when."""
    decided = shedding(2)
    assert decided.decide(reading(5, 0.5), at(5)) == Level(level=2, since=START, reason="before")


@given(st.lists(st.floats(min_value=0, max_value=1.1), min_size=1, max_size=200))
def test_a_round_changes_at_most_one_step_and_clears_only_after_its_patience(
    shares: list[float],
) -> None:
    """Whatever the slot does: a reserved slot moves the level by one, down not within a minute."""
    decided, last, turned = shedding(), NONE, START
    for number, share in enumerate(shares):
        now = at(5 * number)
        level = decided.decide(reading(5 * number, share), now).level
        assert abs(level - last) <= 1
        if level < last:
            assert now - turned >= timedelta(seconds=60)
        if level != last:
            turned = now
        last = level
