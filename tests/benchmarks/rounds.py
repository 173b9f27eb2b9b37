"""What rounds of windows say: medians with their spread, ratios within a round, goals. Pure.

Ratios are taken within a round, so that a machine that slows for a while slows both sides; what
stands is the median over the rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Told = Mapping[str, Any]  # a window as JSON has it


@dataclass(frozen=True)
class Spread:
    """A median with the least and the most, over so many rounds."""

    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure that is to be reached, and what was."""

    text: str
    goal: float
    at_least: bool
    reached: Spread | None

    @property
    def met(self) -> bool | None:
        """None where it was not measured."""
        if self.reached is None:
            return None
        value = self.reached.median
        return value >= self.goal if self.at_least else value <= self.goal


def spread(values: Iterable[float]) -> Spread:
    found = sorted(values)
    return Spread(median(found), found[0], found[-1], len(found))


def ratio(
    figure: Callable[[Told], float], ours: Mapping[int, Told], theirs: Mapping[int, Told]
) -> Spread:
    """Ours ÷ theirs in each round that has both; of no round: not a number."""
    both = ((figure(ours[number]), figure(theirs[number])) for number in ours if number in theirs)
    return spread([mine / other for mine, other in both if other] or [math.nan])


def said(spread: Spread, form: str) -> str:
    """12.3 (11.9–12.8); a dash for what is no number."""
    if math.isnan(spread.median):
        return "–"
    return f"{spread.median:{form}} ({spread.least:{form}}–{spread.most:{form}})"


def goals_table(goals: Iterable[Goal], of: str = "ratio") -> list[str]:
    """The lines of a table of goals, with what was reached and what was missed."""
    return [f"| {of} | measured | goal |", "| --- | ---: | ---: |", *map(_goal, goals)]


def _goal(goal: Goal) -> str:
    sign = "≥" if goal.at_least else "≤"
    measured = "not measured" if goal.reached is None else said(goal.reached, ".2f")
    verdict = " — missed" if goal.met is False else ""
    return f"| {goal.text} | {measured} | {sign} {goal.goal:g}{verdict} |"
