"""From windows to what they say: medians with their spread, ratios to our sink, goals. Pure.

Ratios are taken within a round, so that a machine that slows for a while slows both sides; what
stands is the median over the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks.sink.contestants import OURS

Told = Mapping[str, Any]  # a Window as JSON has it


@dataclass(frozen=True)
class Spread:
    """A median with the least and the most, over so many rounds."""

    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A contestant's figures: rows/s, µs of CPU a row; `ratio`: our sink's rows/s ÷ its own."""

    name: str
    rows_per_s: Spread
    client_us: Spread
    cassandra_us: Spread
    ratio: Spread
    client_ratio: Spread


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A ratio (or µs a row) that is to be reached, and what was."""

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


def rows_per_s(window: Told) -> float:
    return float(window["rows"] / window["seconds"])


def client_us(window: Told) -> float:
    return float(window["client_cpu_s"] / window["rows"] * 1e6)


def cassandra_us(window: Told) -> float:
    return float(window["cassandra_cpu_s"] / window["rows"] * 1e6)


def standings(windows: Iterable[Told]) -> dict[str, Standing]:
    """By contestant, in the order of their first windows; wrong ones count for nothing."""
    by_round: dict[str, dict[int, Told]] = {}
    for window in windows:
        if not window["wrong"]:
            by_round.setdefault(window["contestant"], {})[window["round"]] = window
    ours = by_round.get(OURS, {})
    return {
        name: Standing(
            name=name,
            rows_per_s=spread(map(rows_per_s, rounds.values())),
            client_us=spread(map(client_us, rounds.values())),
            cassandra_us=spread(map(cassandra_us, rounds.values())),
            ratio=_ratio(rows_per_s, ours, rounds),
            client_ratio=_ratio(client_us, ours, rounds),
        )
        for name, rounds in by_round.items()
    }


def _ratio(
    figure: Callable[[Told], float], ours: Mapping[int, Told], theirs: Mapping[int, Told]
) -> Spread:
    """Ours ÷ theirs in each round that has both; of no round: not a number."""
    found = [
        figure(ours[number]) / figure(window) for number, window in theirs.items() if number in ours
    ]
    return spread(found or [float("nan")])


def goals(found: Mapping[str, Standing]) -> list[Goal]:
    """What the sink is held to; the same figures as in its issue."""
    return [
        *_faster(found, "barrier-default", 5),
        *_faster(found, "barrier-tuned", 3),
        *_thriftier(found, "barrier-default", 0.25),
        *_thriftier(found, "barrier-tuned", 0.25),
        *_faster(found, "ceiling-rows", 2.5),
        *_faster(found, "ceiling-batches", 0.6),
        *_faster(found, "concurrent", 12),
        Goal(
            text="CPU of the sink, µs a row",
            goal=13,
            at_least=False,
            reached=found[OURS].client_us if OURS in found else None,
        ),
    ]


def _faster(found: Mapping[str, Standing], name: str, goal: float) -> Iterable[Goal]:
    reached = found[name].ratio if {name, OURS} <= found.keys() else None
    yield Goal(text=f"rows/s, sink ÷ {name}", goal=goal, at_least=True, reached=reached)


def _thriftier(found: Mapping[str, Standing], name: str, goal: float) -> Iterable[Goal]:
    reached = found[name].client_ratio if {name, OURS} <= found.keys() else None
    text = f"CPU of the client a row, sink ÷ {name}"
    yield Goal(text=text, goal=goal, at_least=False, reached=reached)
