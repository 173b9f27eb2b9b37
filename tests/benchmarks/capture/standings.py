"""From windows to what they say of each contestant, beside our settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks.rounds import Spread, Told, ratio, spread
from tests.benchmarks.variants import OURS

FIGURES: dict[str, Callable[[Told], float]] = {
    "rows_per_s": lambda window: float(window["rows"] / window["seconds"]),
    "reader_us": lambda window: float(window["reader_cpu_s"] / window["rows"] * 1e6),
    "sender_us": lambda window: float(window["sender_cpu_s"] / max(1, window["sent"]) * 1e6),
}


@dataclass(frozen=True)
class Measured:
    """A figure over the rounds, and our settings' ÷ it within each of them."""

    value: Spread
    ours_over_it: Spread


def standings(windows: Iterable[Told], way: str) -> dict[str, dict[str, Measured]]:
    """Contestant → figure → what was measured, of one way of capturing.

    Rows a second; µs of CPU a row of the reader and, of a stream, of PostgreSQL's sending process.
    """
    by_round: dict[str, dict[int, Told]] = {}
    for window in windows:
        if window["way"] == way:
            by_round.setdefault(window["contestant"], {})[window["round"]] = window
    ours = by_round.get(OURS.name, {})
    names = [name for name in FIGURES if way == "stream" or name != "sender_us"]
    return {
        contestant: {
            name: Measured(
                spread(map(FIGURES[name], rounds.values())), ratio(FIGURES[name], ours, rounds)
            )
            for name in names
        }
        for contestant, rounds in by_round.items()
    }
