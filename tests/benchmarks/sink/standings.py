"""From windows to what they say of each contestant, beside our sink, and the goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.rounds import Goal, Spread, Told, ratio, spread
from tests.benchmarks.sink.contestants import OURS
from tests.benchmarks.sink.outlook import Costs


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A contestant's figures: rows/s, µs of CPU a row; `ratio`: our sink's rows/s ÷ its own."""

    name: str
    rows_per_s: Spread
    client_us: Spread
    cassandra_us: Spread
    ratio: Spread
    client_ratio: Spread


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
            ratio=ratio(rows_per_s, ours, rounds),
            client_ratio=ratio(client_us, ours, rounds),
        )
        for name, rounds in by_round.items()
    }


def costs(windows: Iterable[Told]) -> Costs | None:
    """What a row costs whom, medians of our sink's sound windows; None without any."""
    ours = [each for each in windows if each["contestant"] == OURS and not each["wrong"]]
    if not ours:
        return None
    kafka = [float(each["kafka_cpu_s"] / each["rows"] * 1e6) for each in ours]
    return Costs(
        sink=median(map(client_us, ours)),
        cassandra=median(map(cassandra_us, ours)),
        kafka=median(kafka),
    )


def goals(found: Mapping[str, Standing]) -> list[Goal]:
    """What the sink is held to; the same figures as in its issue."""
    return [
        # of the engine itself, and of what is left of it without its conversions
        *_faster(found, "connector-default", 5),
        *_faster(found, "connector-tuned", 3),
        *_thriftier(found, "connector-default", 0.25),
        *_thriftier(found, "connector-tuned", 0.25),
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
