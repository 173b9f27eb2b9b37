"""The matrix with its results: for a terminal, and as docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from runtime.settings import PROJECT_ROOT
from tests.faults.matrix import ROWS, Row
from tests.faults.results import FAILED, NOT_INJECTABLE, PASSED, Case

DOCUMENT = PROJECT_ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- {part}: written by make -->", "<!-- end of {part} -->"
NOT_RUN = "has not run yet"
PIPED_WIDTH = 160
COUNTED = ("s", "recovery, s", "rows", "missing", "extra", "different", "stale")
HEAD = (
    *("row", "fault", "must hold", "result", *COUNTED),
    *("what it showed", "evidence", "commit"),
)


@dataclass(frozen=True)
class Line:
    """One row of the matrix with what its cases showed together."""

    row: Row
    cases: Sequence[Case]

    @property
    def status(self) -> str:
        """The worst of its cases, of which all must have run."""
        seen = {case.status for case in self.cases}
        if seen == {PASSED} and len(self.cases) < max(case.of for case in self.cases):
            return "partly run"
        return next((each for each in (FAILED, NOT_INJECTABLE, PASSED) if each in seen), "not run")

    @property
    def seconds(self) -> float:
        return sum(case.seconds for case in self.cases)

    @property
    def recovery(self) -> str:
        """The slowest recovery."""
        known = [case.recovery_s for case in self.cases if case.recovery_s is not None]
        return f"{max(known):.1f}" if known else ""

    def total(self, name: str) -> str:
        """Sum of a count over the cases; empty where no case has it."""
        known = [value for case in self.cases if (value := getattr(case, name)) is not None]
        return f"{sum(known):,}" if known else ""

    @property
    def remark(self) -> str:
        """Why it did not hold, or what it showed."""
        reasons = [case.reason for case in self.cases if case.reason]
        if not self.cases:
            return NOT_RUN
        return "; ".join(dict.fromkeys(reasons or [n for case in self.cases for n in case.notes]))

    @property
    def evidence(self) -> str:
        return "; ".join(dict.fromkeys(e for case in self.cases[:2] for e in case.evidence[:2]))

    @property
    def commits(self) -> str:
        return ", ".join(sorted({case.commit for case in self.cases}))

    @property
    def day(self) -> str:
        return max((case.at[:10] for case in self.cases), default="")


def lines(cases: Mapping[str, Case], rows: Iterable[str] = ROWS) -> list[Line]:
    """Every row in order, each with its cases."""
    return [
        Line(ROWS[name], [case for _, case in sorted(cases.items()) if case.row == name])
        for name in rows
    ]


def show(shown: Sequence[Line], title: str) -> None:
    """Print the table; without colour and narrower things where there is no terminal."""
    table = Table(title=title, title_justify="left")
    for name in ("row", "fault", "result"):
        table.add_column(name, no_wrap=name != "fault")
    for name in ("s", "O5 s", "rows", "miss", "extra", "diff", "back"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it showed", ratio=1)
    colour = {PASSED: "green", FAILED: "red", NOT_INJECTABLE: "yellow"}
    for line in shown:
        style = colour.get(line.status, "dim")
        table.add_row(
            line.row.id,
            line.row.fault,
            f"[{style}]{line.status}[/{style}]",
            f"{line.seconds:.0f}",
            line.recovery,
            *(line.total(n) for n in ("rows", "missing", "extra", "different", "resurrected")),
            line.remark[:300].replace("[", "\\["),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_WIDTH)
    console.print(table)


def markdown(shown: Sequence[Line]) -> str:
    """The table of docs/faults.md."""
    passed = sum(line.status == PASSED for line in shown)
    text = [
        f"{passed} of {len(shown)} rows hold.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"| {' | '.join('---:' if name in COUNTED else '---' for name in HEAD)} |",
    ]
    for line in shown:
        budget = f" ({line.row.budget})" if line.row.budget else ""
        cells = (
            line.row.id,
            f"{line.row.fault}: {line.row.injection}",
            line.row.invariant + budget,
            line.status,
            *(f"{line.seconds:.0f}" if line.cases else "", line.recovery),
            *(line.total(n) for n in ("rows", "missing", "extra", "different", "resurrected")),
            *(line.remark, line.evidence, f"{line.commits} {line.day}".strip()),
        )
        text.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(text) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())[:500]


def write(part: str, text: str) -> None:
    """Replace one generated part of docs/faults.md; the rest of it is a person's."""
    begin, end = BEGIN.format(part=part), END.format(part=part)
    whole = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    DOCUMENT.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
