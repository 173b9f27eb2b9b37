"""What a plan's calls carry, over months, restarts and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.coingecko.calls import CallBook
from ingest.coingecko.quota import Plan, Quota, Spent, check, next_month
from ingest.errors import QuotaSpent, ScheduleTooHeavy

DEMO = Plan(10_000, 30)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def test_the_demo_plan_carries_a_call_each_five_minutes() -> None:
    """8,928 calls in the longest month."""
    check(DEMO, 300)


def test_a_schedule_that_is_too_heavy_is_refused_with_the_arithmetic() -> None:
    """Each 15 s spends the month in 42 hours; the message says so, and what would fit."""
    with pytest.raises(ScheduleTooHeavy) as caught:
        check(DEMO, 15)
    said = str(caught.value)
    assert "needs 178560 calls a month, the plan has 10000" in said
    assert "31 days × 86400 s ÷ 15 s = 178560" in said
    assert "10000 × 15 s = 41.7 hours until all are spent" in said
    assert "TIDEMARK_COINGECKO_EVERY_S=268 or longer" in said


def test_the_limit_of_a_minute_counts_too() -> None:
    """A plan of many calls a month may still have few a minute."""
    with pytest.raises(ScheduleTooHeavy, match=r"60 s ÷ 1 s = 60\n.*EVERY_S=2 or longer"):
        check(Plan(10_000_000, 30), 1)
    check(Plan(10_000_000, 30), 2)


@given(st.integers(1, 10**7), st.integers(1, 1000), st.integers(1, 86_400))
def test_the_interval_that_a_refusal_names_is_the_shortest_that_fits(
    a_month: int, a_minute: int, every_s: int
) -> None:
    """One second less is refused again."""
    plan = Plan(a_month, a_minute)
    try:
        check(plan, every_s)
    except ScheduleTooHeavy as error:
        named = int(str(error).partition("EVERY_S=")[2].split()[0])
        assert named > every_s
        check(plan, named)
        with pytest.raises(ScheduleTooHeavy):
            check(plan, named - 1)


@pytest.mark.parametrize("every_s", [268, 300, 3600])
def test_a_schedule_that_fits_never_meets_the_end_of_the_month(every_s: int) -> None:
    """Played through two months: at the end of each, some calls are left."""
    quota, now = Quota(DEMO, every_s, Spent()), NOVEMBER
    lowest = DEMO.calls_a_month
    while now < DECEMBER + timedelta(days=31):
        assert quota.wait_s(now) == 0
        quota.take(now)
        lowest = min(lowest, quota.left(now))
        now += timedelta(seconds=quota.wait_s(now))
    assert lowest > 0
    assert abs(quota.spent.calls - 31 * 86_400 / every_s) < 1


def test_the_forecast_is_what_the_month_will_have_cost() -> None:
    """At its beginning, in its middle, and with a machine that was off."""
    quota = Quota(DEMO, 300, Spent())
    assert quota.forecast(NOVEMBER) == 8640
    quota.take(NOVEMBER)
    assert quota.forecast(NOVEMBER) == 8640
    middle = NOVEMBER + timedelta(days=15)
    assert quota.forecast(middle) == 1 + 4320


def test_asking_again_costs_only_what_the_schedule_leaves() -> None:
    """Spare calls are spent by failures, those of the schedule never."""
    now = NOVEMBER
    quota = Quota(DEMO, 300, Spent("2026-11", 0, None))
    retries = 0
    while quota.may_ask_again(now):
        quota.take(now)
        retries += 1
    assert retries == DEMO.calls_a_month - 8640 + 1  # the last one was the scheduled one itself
    assert quota.forecast(now) == DEMO.calls_a_month


def test_a_month_that_is_spent_is_waited_out() -> None:
    """The error says until when; the next month begins with all calls."""
    quota = Quota(Plan(2, 30), 300, Spent("2026-11", 2, NOVEMBER))
    with pytest.raises(QuotaSpent, match="all 2 calls of this month") as caught:
        quota.take(NOVEMBER + timedelta(days=3))
    assert caught.value.until == DECEMBER
    quota.take(DECEMBER)
    assert quota.left(DECEMBER) == 1


def test_a_restart_neither_forgets_nor_asks_early(tmp_path: Path) -> None:
    """A crash loop costs no calls: the last one is remembered with its time."""
    quota = Quota(DEMO, 300, CallBook(tmp_path, "v").read())
    quota.take(NOVEMBER)
    CallBook(tmp_path, "v").write(quota.spent)
    again = Quota(DEMO, 300, CallBook(tmp_path, "v").read())
    assert again.left(NOVEMBER) == 9_999
    assert again.wait_s(NOVEMBER + timedelta(seconds=60)) == 240
    assert Quota(DEMO, 300, CallBook(tmp_path, "other").read()).left(NOVEMBER) == 10_000


@pytest.mark.parametrize("text", ["", "{", '{"month":1}', "\xff"])
def test_a_broken_note_begins_the_count_anew(tmp_path: Path, text: str) -> None:
    """Better a count that is too low than an ingester that does not start."""
    (tmp_path / "calls-v.json").write_text(text, encoding="latin-1")
    assert CallBook(tmp_path, "v").read() == Spent()


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    """A last call in the future is no reason to wait for it."""
    quota = Quota(DEMO, 300, Spent("2026-11", 1, DECEMBER))
    assert quota.wait_s(NOVEMBER) == 0


@given(st.integers(0, 20 * 366 * 86_400))
def test_the_next_month_is_the_first_moment_of_another(seconds: int) -> None:
    """Leap years and Decembers included."""
    now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    then = next_month(now)
    assert (then.day, then.hour, then.minute, then.second, then.microsecond) == (1, 0, 0, 0, 0)
    before = then - timedelta(microseconds=1)
    assert (before.year, before.month) == (now.year, now.month)
