"""The part of docs/benchmarks.md on capture, written from the results alone.

    python -m tests.benchmarks.capture.document [FILE]

writes it anew from results that were kept, docs/benchmarks-capture.json by default.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.capture.contestants import CONTESTANTS
from tests.benchmarks.capture.referee import Window
from tests.benchmarks.capture.standings import FIGURES, Measured, standings
from tests.benchmarks.document import Part, Results, absences, load_line, table
from tests.benchmarks.rounds import said

PARTIES = "reader, walsender and Kafka"
HEADS = {
    "rows_per_s": "rows/s",
    "reader_us": "reader, µs of CPU a row",
    "sender_us": "walsender, µs of CPU a row",
}
FORMS = {"rows_per_s": ",.0f", "reader_us": ".1f", "sender_us": ".2f"}


def line(window: Window) -> str:
    """A window, for a person who waits."""
    told = vars(window)
    rate, reader, sender = (figure(told) for figure in FIGURES.values())
    return (
        f"round {window.round} {window.way} {window.contestant}: {rate:,.0f} rows/s in "
        f"{window.seconds:.1f} s; CPU a row {reader:.1f} µs + walsender {sender:.2f} µs; "
        f"{window.repeated} came twice; load {window.load[0]}, others {window.others:.0%}"
    )


def section(results: Results) -> str:
    """What docs/benchmarks.md says of capture."""
    windows = results["windows"]
    present = {window["contestant"] for window in windows}
    lines = [
        f"{results['conditions']}. {load_line(windows, PARTIES)}",
        "",
        *(f"- **{each.name}**: {each.title}" for each in CONTESTANTS if each.name in present),
        *absences(results),
        "",
        "Changes out of the WAL:",
        "",
        *_figures(results, "stream"),
        "",
        "The initial snapshot:",
        "",
        *_figures(results, "snapshot"),
    ]
    return "\n".join(lines) + "\n"


def _figures(results: Results, way: str) -> list[str]:
    found = standings(results["windows"], way)
    if not found:
        return ["Not measured."]
    names = list(next(iter(found.values())))
    heads = ("contestant", *(head for name in names for head in (HEADS[name], "ours ÷ it")), "")
    return table(
        heads,
        (
            (contestant, *_cells(measured), _notes(results, way, contestant))
            for contestant, measured in found.items()
        ),
    )


def _cells(measured: dict[str, Measured]) -> Iterator[str]:
    for name, each in measured.items():
        yield said(each.value, FORMS[name])
        yield said(each.ours_over_it, ".2f")


def _notes(results: Results, way: str, contestant: str) -> str:
    """How many rounds stand, and whether rows came twice."""
    windows = [
        each
        for each in results["windows"]
        if (each["way"], each["contestant"]) == (way, contestant)
    ]
    repeated = sum(each["repeated"] for each in windows)
    return f"{len(windows)} rounds" + (f"; {repeated:,} rows came twice" if repeated else "")


PART = Part(name="capture", section=section)

if __name__ == "__main__":
    PART.publish_again()
