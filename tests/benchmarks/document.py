"""The parts of docs/benchmarks.md, each between its own markers, and the results behind each.

A kit keeps its results after each window below the project's state. When it writes its part, the
same results go beside the document, so that the part can be written again without measuring.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from runtime.settings import PROJECT_ROOT
from tests.benchmarks.rounds import Told

DOCUMENT = PROJECT_ROOT / "docs" / "benchmarks.md"
FOLDER = PROJECT_ROOT / ".tidemark" / "bench"

Results = Mapping[str, Any]


def keep(name: str, results: Results) -> Path:
    """Keep what a kit has measured until now; the file."""
    kept = FOLDER / f"{name}.json"
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write_json(kept, results)
    return kept


def published(name: str) -> Path:
    """The results beside the document."""
    return DOCUMENT.with_name(f"benchmarks-{name}.json")


def publish(name: str, render: Callable[[Results], str], source: Path) -> None:
    """Write a kit's part of the document from results in a file, and keep them beside it."""
    results = json.loads(source.read_text(encoding="utf-8"))
    if source != published(name):
        _write_json(published(name), results)
    text = replaced(DOCUMENT.read_text(encoding="utf-8"), name, render(results))
    DOCUMENT.write_text(text, encoding="utf-8")


def publish_again(name: str, render: Callable[[Results], str]) -> None:
    """The same as a command: of the file that it names, else of the results beside the document."""
    publish(name, render, Path(sys.argv[1]) if len(sys.argv) > 1 else published(name))


def replaced(text: str, name: str, part: str) -> str:
    """A document's text with another part between a kit's markers."""
    begin, end = f"<!-- {name}: written by `make bench` -->", f"<!-- end of {name} -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the document has no part between {begin} and {end}")
    return f"{head}{begin}\n\n{part}\n{end}{tail}"


def load_line(windows: Sequence[Told], those: str) -> str:
    """What else the machine did; `those`: whose CPU is not counted among the others'."""
    if not windows:
        return "No window was held."
    loads = [window["load"][0] for window in windows]
    others = [window["others"] for window in windows]
    return (
        f"Before the {len(windows)} windows the load average was {median(loads):.1f} (at most "
        f"{max(loads):.1f}); of the machine's CPU, what is none of {those} "
        f"took {median(others):.0%} (at most {max(others):.0%}). Medians, with least and most."
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; figures stand right, from the second column on."""
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)]


def absences(results: Results) -> Iterator[str]:
    """Who could not take part, and why, as lines of a list."""
    for name, reason in results["absent"].items():
        yield f"- **{name}** left: {reason}"


def _write_json(path: Path, results: Results) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
