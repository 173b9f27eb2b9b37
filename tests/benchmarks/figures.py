"""A measured figure beside its goal, for a person and for docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from runtime.settings import PROJECT_ROOT


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
    def goal_text(self) -> str:
        if self.goal is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.goal:,.0f} {self.unit}"


def say(figure: Figure) -> None:
    """One line while the rest is still being measured."""
    verdict = "" if figure.reached else "  (goal missed)"
    line = f"{figure.name}: {figure.value:,.1f} {figure.unit}  {figure.goal_text}{verdict}"
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


def as_markdown(figures: Iterable[Figure]) -> str:
    """The table, under the line that says where and when."""
    lines = [
        f"{conditions()}; the machine was shared with other work.",
        "",
        "| figure | measured | goal | how |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {each.name} | {each.value:,.1f} {each.unit} | "
            f"{each.goal_text}{'' if each.reached else ' — missed'} | {each.note} |"
            for each in figures
        ),
    ]
    return "\n".join(lines) + "\n"
