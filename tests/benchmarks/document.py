"""The parts of docs/benchmarks.md, each between its own markers, and the results behind each.

A kit keeps its results after each window below the project's state. When it writes its part, the
same results go beside the document, so that the part can be written again without measuring.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from runtime.settings import PROJECT_ROOT
from tests.benchmarks.rounds import Told

DOCUMENT = PROJECT_ROOT / "docs" / "benchmarks.md"
FOLDER = PROJECT_ROOT / ".tidemark" / "bench"

LONGEST = 160  # characters of a reason
_FOLDERS = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+")

Results = Mapping[str, Any]


def keep(name: str, results: Results) -> Path:
    """Keep what a kit has measured until now; the file."""
    kept = FOLDER / f"{name}.json"
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write_json(kept, results)
    return kept


@dataclass(frozen=True, kw_only=True)
class Part:
    """A kit's part: what its section says of the results, under the picture that `draw` makes."""

    name: str
    section: Callable[[Results], str]
    caption: str = ""
    draw: Callable[[Results], str] | None = None

    def publish(self, source: Path) -> None:
        """Write it from the results in a file; they and the picture go beside the document."""
        results = json.loads(source.read_text(encoding="utf-8"))
        if source != self.results:
            _write_json(self.results, results)
        said = self.section(results)
        if self.draw is not None:
            plot = self.results.with_suffix(".svg")
            plot.write_text(self.draw(results), encoding="utf-8")
            said = f"![{self.caption}]({plot.name})\n\n{said}"
        text = replaced(DOCUMENT.read_text(encoding="utf-8"), self.name, said)
        DOCUMENT.write_text(text, encoding="utf-8")

    def publish_again(self) -> None:
        """The same as a command: of the file that it names, else of what was published last."""
        self.publish(Path(sys.argv[1]) if len(sys.argv) > 1 else self.results)

    @property
    def results(self) -> Path:
        """The results beside the document."""
        return DOCUMENT.with_name(f"benchmarks-{self.name}.json")


def replaced(text: str, name: str, part: str) -> str:
    """A document's text with another part between a kit's markers."""
    begin, end = f"<!-- {name}: written by `make bench` -->", f"<!-- end of {name} -->"
    head, _, rest = text.partition(begin)
    within, _, tail = rest.partition(end)
    once = text.count(begin) == text.count(end) == rest.count(end) == 1
    if not once or "<!-- " in within:
        raise ValueError(f"the document has no one part, and nothing else, from {begin} to {end}")
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
    """Who could not take part, and which rounds were lost, and why, as lines of a list."""
    for name, reason in results.get("absent", {}).items():
        yield f"- **{name}** left: {in_short(reason)}"
    for lost in results.get("lost", []):
        if not lost["leaves"]:
            yield (
                f"- **{lost['contestant']}**, round {lost['round']}, lost: "
                f"{in_short(lost['reason'])}"
            )


def in_short(reason: str) -> str:
    """A reason as the document has it: within a table, without this machine's folders."""
    words = _FOLDERS.sub("…/", reason.replace("|", "/"))
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} …"


def _write_json(path: Path, results: Results) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
