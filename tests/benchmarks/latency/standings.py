"""From windows to what they say of each variant at each rate, and the goals. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.benchmarks.latency.quantiles import STAGES, WHOLE
from tests.benchmarks.rounds import Goal, Spread, Told, ratio, spread
from tests.benchmarks.variants import OURS, STOCK

WAYS = {"probe": "probe", "beats": "heartbeats"}  # how it was measured → as the document says it
GOAL_RATE = 1000  # changes a second
P50_MS, P99_MS, OF_STOCK = 40, 150, 0.2

Place = tuple[str, int]  # variant, rate
Figure = Callable[[Told], float]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Commit to visible over the rounds, ms; `most`: the longest of all."""

    p50: Spread
    p99: Spread
    most: float


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`held`: rounds in which the load kept its rate. `stages`: p50 and p99 of each, ms.

    `of_ours`: the probe's p50 ÷ that of our settings. `cores`: CPU a second of each part.
    """

    rounds: int
    held: int
    rows_per_s: Spread
    ways: dict[str, Latency]
    of_ours: Spread
    stages: dict[str, tuple[Spread, Spread]]
    cores: dict[str, Spread]
    doubt_ms: Spread
    lost: int


def figure(way: str, name: str) -> Figure:
    """A quantile of commit to visible, of a window: by the probe, or by heartbeats."""
    if way == "probe":
        return lambda window: float(window["probe"][name])
    return stage(WHOLE, name)


def stage(of: str, name: str) -> Figure:
    """A quantile of one stage, of a window."""
    return lambda window: float(window["stages"][of][name])


def by_place(windows: Iterable[Told]) -> dict[Place, dict[int, Told]]:
    """The windows of each variant at each rate, by round; rates ascend, variants as they came."""
    found: dict[Place, dict[int, Told]] = {}
    for window in sorted(windows, key=lambda each: each["rate"]):
        place = window["contestant"], window["rate"]
        found.setdefault(place, {})[window["round"]] = window
    return found


def standings(windows: Iterable[Told]) -> dict[Place, Standing]:
    """What stands of each."""
    places = by_place(windows)
    return {
        place: _standing(rounds, places.get((OURS.name, place[1]), {}))
        for place, rounds in places.items()
    }


def _standing(rounds: Mapping[int, Told], ours: Mapping[int, Told]) -> Standing:
    windows = list(rounds.values())

    def over(figure: Figure) -> Spread:
        return spread(map(figure, windows))

    return Standing(
        rounds=len(windows),
        held=sum(window["held"] for window in windows),
        rows_per_s=over(lambda window: window["rows_per_s"]),
        ways={
            way: Latency(
                p50=over(figure(way, "p50")),
                p99=over(figure(way, "p99")),
                most=over(figure(way, "most")).most,
            )
            for way in WAYS
        },
        of_ours=ratio(figure("probe", "p50"), rounds, ours),
        stages={each: (over(stage(each, "p50")), over(stage(each, "p99"))) for each in STAGES},
        cores={
            part: spread(window["cores"][part] for window in windows)
            for part in windows[0]["cores"]
        },
        doubt_ms=over(lambda window: window["doubt"]["p50"]),
        lost=sum(window["probes_lost"] + window["beats_lost"] for window in windows),
    )


def goals(windows: Iterable[Told]) -> list[Goal]:
    """What the latency is held to, by each way of measuring; the same figures as in its issue."""
    places = by_place(windows)
    ours = places.get((OURS.name, GOAL_RATE), {})
    stock = places.get((STOCK.name, GOAL_RATE), {})
    both = ours.keys() & stock.keys()
    found = []
    for way, by in WAYS.items():
        for name, most in (("p50", P50_MS), ("p99", P99_MS)):
            reached = spread(map(figure(way, name), ours.values())) if ours else None
            found.append(_at_most(f"{name} by {by}, ms", most, reached))
        reached = ratio(figure(way, "p50"), ours, stock) if both else None
        found.append(_at_most(f"p50 by {by}, ours ÷ stock", OF_STOCK, reached))
    return found


def _at_most(text: str, goal: float, reached: Spread | None) -> Goal:
    return Goal(text=text, goal=goal, at_least=False, reached=reached)
