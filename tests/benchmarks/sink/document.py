"""The section of docs/benchmarks.md and its plot, written from the results alone.

    python -m tests.benchmarks.sink.document [FILE]

writes them anew from results that were kept, docs/benchmarks-sink.json by default.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.benchmarks.document import Part, Results, in_short, load_line
from tests.benchmarks.rounds import goals_table, said
from tests.benchmarks.sink import outlook
from tests.benchmarks.sink import standings as what
from tests.benchmarks.sink.contestants import BY_NAME, CONTESTANTS
from tests.benchmarks.sink.plot import draw
from tests.benchmarks.sink.referee import Window
from tests.benchmarks.sink.standings import Standing

PARTIES = "contestant, Cassandra and Kafka"


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
        f"{results['conditions']}. {load_line(results['windows'], PARTIES)}",
        "",
        "| contestant | rows/s | sink ÷ it | client, µs of CPU a row | Cassandra, µs a row | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        *(_row(results, each.name, found) for each in CONTESTANTS if _known(results, each.name)),
        "",
        *goals_table(what.goals(found)),
        *(("", outlook.told(costs)) if (costs := what.costs(results["windows"])) else ()),
    ]
    return "\n".join(lines) + "\n"


def _row(results: Results, name: str, found: Mapping[str, Standing]) -> str:
    figures = "– | – | – | –"
    if name in found:
        each = found[name]
        figures = (
            f"{said(each.rows_per_s, ',.0f')} | {said(each.ratio, '.2f')} | "
            f"{said(each.client_us, '.1f')} | {said(each.cassandra_us, '.1f')}"
        )
    return f"| **{name}**: {BY_NAME[name].title} | {figures} | {_notes(results, name)} |"


def _notes(results: Results, name: str) -> str:
    """How many rounds stand, and why others do not."""
    windows = [each for each in results["windows"] if each["contestant"] == name]
    wrong = [each["wrong"][0] for each in windows if each["wrong"]]
    sound = len(windows) - len(wrong)
    notes = [f"{sound} round{'' if sound == 1 else 's'}"]
    if wrong:
        notes.append(f"{len(wrong)} wrong: {in_short(wrong[0])}")
    lost = [each for each in results.get("lost", []) if each["contestant"] == name]
    if lost:
        notes.append(f"{len(lost)} lost")
    if name in results["absent"]:
        notes.append(in_short(results["absent"][name]))
    elif lost:
        notes.append(in_short(lost[-1]["reason"]))
    return "; ".join(notes)


def _known(results: Results, name: str) -> bool:
    seen = (*results["windows"], *results.get("lost", []))
    return name in results["absent"] or any(each["contestant"] == name for each in seen)


PART = Part(
    name="sink",
    section=section,
    caption="Rows a second and CPU a row",
    draw=lambda results: draw(what.standings(results["windows"])),
)

if __name__ == "__main__":
    PART.publish_again()
