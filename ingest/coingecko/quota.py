"""What a plan's calls carry: pure arithmetic over months of UTC.

A month of calls is spent by the schedule first. Asking again after a failure is allowed only from
what the schedule leaves over, so that a bad hour never costs the end of the month.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import msgspec

from ingest.errors import QuotaSpent, ScheduleTooHeavy

_DAY_S = 86_400
_LONGEST_MONTH_S = 31 * _DAY_S


class Plan(msgspec.Struct, frozen=True):
    """What was bought; the demo plan is 10,000 a month and about 30 a minute."""

    calls_a_month: int
    calls_a_minute: int


class Spent(msgspec.Struct, frozen=True):
    """Calls of a month ("2026-11") so far, and when the last one of all was made."""

    month: str = ""
    calls: int = 0
    last_at: datetime | None = None


def check(plan: Plan, every_s: float) -> None:
    """Refuse a schedule that the plan cannot carry, with the arithmetic; one call each time."""
    a_month, a_minute = math.ceil(_LONGEST_MONTH_S / every_s), 60 / every_s
    shortest_s = math.ceil(max(_LONGEST_MONTH_S / plan.calls_a_month, 60 / plan.calls_a_minute))
    remedy = (
        f"set TIDEMARK_COINGECKO_EVERY_S={shortest_s} or longer; if your plan has more calls, say "
        "so in TIDEMARK_COINGECKO_CALLS_A_MONTH and TIDEMARK_COINGECKO_CALLS_A_MINUTE"
    )
    if a_month > plan.calls_a_month:
        hours = plan.calls_a_month * every_s / 3600
        raise ScheduleTooHeavy(
            f"CoinGecko every {every_s:g} s needs {a_month} calls a month, the plan has "
            f"{plan.calls_a_month}:\n"
            f"  31 days × {_DAY_S} s ÷ {every_s:g} s = {a_month}\n"
            f"  {plan.calls_a_month} × {every_s:g} s = {hours:.1f} hours until all are spent\n"
            f"{remedy}"
        )
    if a_minute > plan.calls_a_minute:
        raise ScheduleTooHeavy(
            f"CoinGecko every {every_s:g} s needs {a_minute:g} calls a minute, the plan has "
            f"{plan.calls_a_minute}:\n  60 s ÷ {every_s:g} s = {a_minute:g}\n{remedy}"
        )


class Quota:
    """The calls of the current month. Times are given by the caller, aware."""

    def __init__(self, plan: Plan, every_s: float, spent: Spent) -> None:
        """`spent`: what is remembered of earlier processes."""
        self._plan = plan
        self._every_s = every_s
        self._spent = spent

    @property
    def spent(self) -> Spent:
        """To be remembered for the next process."""
        return self._spent

    def left(self, now: datetime) -> int:
        """Calls that this month still has."""
        return max(self._plan.calls_a_month - self._calls(now), 0)

    def forecast(self, now: datetime) -> int:
        """Calls that the schedule will have made at the end of this month, if nothing fails."""
        return self._calls(now) + self._scheduled(now)

    def may_ask_again(self, now: datetime) -> bool:
        """Whether one call beside the schedule leaves enough for the schedule."""
        return self.left(now) > self._scheduled(now)

    def take(self, now: datetime) -> None:
        """Count a call that is made now; QuotaSpent where the month has none left."""
        if self.left(now) == 0:
            raise QuotaSpent(self._plan.calls_a_month, next_month(now))
        self._spent = Spent(_month(now), self._calls(now) + 1, now)

    def wait_s(self, now: datetime) -> float:
        """Seconds until the next scheduled call; a restart does not make it earlier."""
        last = self._spent.last_at
        if last is None or last > now:  # a clock that was set back must not silence us
            return 0.0
        return max((last - now).total_seconds() + self._every_s, 0.0)

    def _calls(self, now: datetime) -> int:
        return self._spent.calls if self._spent.month == _month(now) else 0

    def _scheduled(self, now: datetime) -> int:
        left_s = (next_month(now) - now).total_seconds() - self.wait_s(now)
        return max(math.ceil(left_s / self._every_s), 0)


def next_month(now: datetime) -> datetime:
    """When the next month begins, UTC."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _month(now: datetime) -> str:
    return f"{now.astimezone(UTC):%Y-%m}"
