"""The section of docs/benchmarks.md and its plot, written from the results alone.

    python -m tests.benchmarks.sink.document [FILE]

writes them anew from results that were kept, docs/benchmarks-sink.json by default.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from runtime.settings import PROJECT_ROOT
from tests.benchmarks.sink import standings as what
from tests.benchmarks.sink.contestants import BY_NAME, CONTESTANTS
from tests.benchmarks.sink.plot import draw
from tests.benchmarks.sink.referee import Window
from tests.benchmarks.sink.standings import Goal, Spread, Standing

DOCUMENT = PROJECT_ROOT / "docs" / "benchmarks.md"
RESULTS = PROJECT_ROOT / "docs" / "benchmarks-sink.json"
PLOT = PROJECT_ROOT / "docs" / "benchmarks-sink.svg"
BEGIN, END = "<!-- sink: written by `make bench` -->", "<!-- end of sink -->"

Results = Mapping[str, Any]


def line(window: Window) -> str:
    """A window, for a person who waits."""
    told = vars(window)
    verdict = "sound" if not window.wrong else f"WRONG: {window.wrong[0]}"
    return (
        f"round {window.round} {window.contestant}: {window.rows_per_s:,.0f} rows/s in "
        f"{window.seconds:.0f} s, CPU a row {what.client_us(told):.1f} µs + Cassandra "
        f"{what.cassandra_us(told):.1f} µs, load {window.load[0]}, others "
        f"{window.others:.0%}; {verdict}"
    )


def section(results: Results) -> str:
    """What docs/benchmarks.md says of the sink and its peers."""
    found = what.standings(results["windows"])
    lines = [
        f"{results['conditions']}. {_load(results['windows'])}",
        "",
        "| contestant | rows/s | sink ÷ it | client, µs of CPU a row | Cassandra, µs a row | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *(_row(results, each.name, found) for each in CONTESTANTS if _known(results, each.name)),
        "",
        "| ratio | measured | goal |",
        "| --- | ---: | ---: |",
        *map(_goal, what.goals(found)),
    ]
    return "\n".join(lines) + "\n"


def write(source: Path) -> None:
    """Keep the results beside the document; write its section and its plot."""
    results = json.loads(source.read_text(encoding="utf-8"))
    if source != RESULTS:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PLOT.write_text(draw(what.standings(results["windows"])), encoding="utf-8")
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    picture = f"![Rows a second and CPU a row]({PLOT.name})"
    body = f"{BEGIN}\n\n{picture}\n\n{section(results)}\n{END}"
    DOCUMENT.write_text(f"{head}{body}{tail}", encoding="utf-8")


def _load(windows: Sequence[what.Told]) -> str:
    if not windows:
        return "No window was held."
    loads = [window["load"][0] for window in windows]
    others = [window["others"] for window in windows]
    return (
        f"Before the {len(windows)} windows the load average was {median(loads):.1f} (at most "
        f"{max(loads):.1f}); of the machine's CPU, what is none of contestant, Cassandra and Kafka "
        f"took {median(others):.0%} (at most {max(others):.0%}). Medians, with least and most."
    )


def _row(results: Results, name: str, found: Mapping[str, Standing]) -> str:
    figures = "– | – | – | –"
    if name in found:
        each = found[name]
        figures = (
            f"{_said(each.rows_per_s, ',.0f')} | {_said(each.ratio, '.2f')} | "
            f"{_said(each.client_us, '.1f')} | {_said(each.cassandra_us, '.1f')}"
        )
    return f"| **{name}**: {BY_NAME[name].title} | {figures} | {_notes(results, name)} |"


def _notes(results: Results, name: str) -> str:
    """How many rounds stand, and why others do not."""
    windows = [each for each in results["windows"] if each["contestant"] == name]
    wrong = [each["wrong"][0] for each in windows if each["wrong"]]
    notes = [f"{len(windows) - len(wrong)} rounds"]
    if wrong:
        notes.append(f"{len(wrong)} wrong: {wrong[0]}")
    if name in results["absent"]:
        notes.append(results["absent"][name].replace("|", "/"))
    return "; ".join(notes)


def _known(results: Results, name: str) -> bool:
    return name in results["absent"] or any(
        each["contestant"] == name for each in results["windows"]
    )


def _goal(goal: Goal) -> str:
    sign = "≥" if goal.at_least else "≤"
    measured = "not measured" if goal.reached is None else _said(goal.reached, ".2f")
    verdict = " — missed" if goal.met is False else ""
    return f"| {goal.text} | {measured} | {sign} {goal.goal:g}{verdict} |"


def _said(spread: Spread, form: str) -> str:
    """12.3 (11.9–12.8)."""
    return f"{spread.median:{form}} ({spread.least:{form}}–{spread.most:{form}})"


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
