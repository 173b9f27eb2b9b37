"""A measured figure beside its goal, for a person and for docs/benchmarks.md.

    python -m tests.benchmarks.figures stack [FILE]

writes such a part of the document anew from results that were kept, docs/benchmarks-stack.json by
default.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from runtime.settings import PROJECT_ROOT
from tests.benchmarks.document import Part, Results, absences, table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`goal` in the same unit; `at_least` says on which side of it the value should be."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def reached(self) -> bool:
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def value_text(self) -> str:
        return f"{self.value:,.{2 if abs(self.value) < 10 else 1}f} {self.unit}"

    @property
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.goal:,g} {self.unit}"


def say(figure: Figure) -> None:
    """One line while the rest is still being measured."""
    verdict = "" if figure.reached else "  (goal missed)"
    line = f"{figure.name}: {figure.value_text}  {figure.goal_text}{verdict}"
    sys.stderr.write(line.rstrip() + "\n")


def conditions() -> str:
    """When, at which commit and on what machine something is measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} at commit {commit} on {os.cpu_count()} cores, "
        f"{memory_gib:.0f} GiB, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}"
    )


def section(results: Results) -> str:
    """What a document says of figures that were measured, and of what could not be."""
    lines = [
        f"{results['conditions']}; the machine was shared with other work.",
        "",
        *table(
            ("figure", "measured", "goal", "how"),
            (_row(Figure(**each)) for each in results["figures"]),
        ),
    ]
    if failed := list(absences(results)):
        lines += ["", *failed]
    return "\n".join(lines) + "\n"


def _row(figure: Figure) -> tuple[str, ...]:
    verdict = "" if figure.reached else " — missed"
    return figure.name, figure.value_text, f"{figure.goal_text}{verdict}", figure.note


STACK, PAGE, STREAMS = (Part(name=name, section=section) for name in ("stack", "page", "streams"))

if __name__ == "__main__":
    named = sys.argv.pop(1)
    next(part for part in (STACK, PAGE, STREAMS) if part.name == named).publish_again()
