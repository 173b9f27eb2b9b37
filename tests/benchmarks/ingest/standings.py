"""From windows to what they say of the ingest: medians with their spread, ratios, goals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.ingest.contestants import COPY, OURS
from tests.benchmarks.ingest.rows import PASSES
from tests.benchmarks.rounds import Goal, Spread, Told, ratio, spread

RIVAL = "execute_values"
WORKS = tuple(f"{table}, {name}" for table, names in PASSES.items() for name in names)
Rounds = Mapping[int, Told]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A contestant's figures: µs of CPU a row; `ratio`: ours ÷ it in rows/s."""

    rows_per_s: Spread
    client_us: Spread
    postgres_us: Spread
    ratio: Spread


def rounds_of(windows: Iterable[Told], part: str, work: str = "") -> dict[str, dict[int, Told]]:
    """Contestant → round → window of a part (of its work); wrong ones count for nothing."""
    found: dict[str, dict[int, Told]] = {}
    for window in windows:
        if (window["part"], window.get("work", "")) == (part, work) and not window["wrong"]:
            found.setdefault(window["contestant"], {})[window["round"]] = window
    return found


def rows_per_s(window: Told) -> float:
    return float(window["rows"] / window["seconds"])


def a_row(window: Told, name: str) -> float:
    """Of `client_cpu_s` and the like µs a row; of other amounts as much a row."""
    scale = 1e6 if name.endswith("_s") else 1
    return float(window[name] / max(1, window["rows"]) * scale)


def of_rounds(rounds: Rounds, name: str) -> Spread:
    """The same over rounds."""
    return spread(a_row(window, name) for window in rounds.values())


def standings(by_name: Mapping[str, Rounds], ours: str) -> dict[str, Standing]:
    """By contestant, beside ours."""
    return {
        name: Standing(
            rows_per_s=spread(map(rows_per_s, rounds.values())),
            client_us=of_rounds(rounds, "client_cpu_s"),
            postgres_us=of_rounds(rounds, "postgres_cpu_s"),
            ratio=ratio(rows_per_s, by_name.get(ours, {}), rounds),
        )
        for name, rounds in by_name.items()
    }


def shares(windows: Iterable[Told]) -> dict[str, Spread]:
    """Contestant → share of the exchange's limit."""
    found = rounds_of(windows, "limited")
    return {
        name: spread(window["share"] for window in rounds.values())
        for name, rounds in found.items()
    }


def goals(windows: Sequence[Told]) -> Iterator[Goal]:
    """What the ingest is held to; the same figures as in its issue."""
    share = shares(windows).get(OURS)
    yield Goal(text="backfill ÷ the exchange's limit", goal=0.95, at_least=True, reached=share)
    free = rounds_of(windows, "free").get(OURS)
    reached = spread(rows_per_s(window) / 1000 for window in free.values()) if free else None
    text = "backfill without a limit, thousand rows/s"
    yield Goal(text=text, goal=50, at_least=True, reached=reached)
    for work in WORKS:
        found = standings(rounds_of(windows, "upserts", work), COPY)
        both = {COPY, RIVAL} <= found.keys()
        yield Goal(
            text=f"rows/s, {COPY} ÷ {RIVAL}, {work}",
            goal=4,
            at_least=True,
            reached=found[RIVAL].ratio if both else None,
        )
