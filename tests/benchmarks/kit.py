"""What the kits share on their command lines and in their course: windows in turn, each kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.document import Part, Results, keep
from tests.benchmarks.figures import conditions
from tests.benchmarks.rounds import C
from tests.benchmarks.stacks import say


def options_of(what: str | None, names: Iterable[str], rounds: int) -> argparse.ArgumentParser:
    """Contestants, rounds, where the stack is, and whether the document is written."""
    parser = argparse.ArgumentParser(description=what)
    known = ",".join(names)
    parser.add_argument("--contestants", default=known, help=f"of {known}")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.add_argument("--write", action="store_true", help="write the document's part")
    return parser


def chosen(parser: argparse.ArgumentParser, named: str, contestants: Sequence[C]) -> list[C]:
    """The contestants that the command line names, in their usual order."""
    wanted, known = named.split(","), [each.name for each in contestants]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"there is no contestant {unknown[0]!r}; there are {', '.join(known)}")
    return [each for each in contestants if each.name in wanted]


def record(
    part: Part, outcomes: Iterable[tuple[str, Any]], line: Callable[[Any], str]
) -> dict[str, Any]:
    """Keep each window, a dataclass, as it comes, or why a contestant is left out (str)."""
    results: dict[str, Any] = {"conditions": conditions(), "windows": [], "absent": {}}
    for contestant, outcome in outcomes:
        if isinstance(outcome, str):
            results["absent"][contestant] = outcome
            say(f"{contestant}: left out: {outcome}")
        else:
            results["windows"].append(asdict(outcome))
            say(line(outcome))
        keep(part.name, results)
    return results


def conclude(part: Part, results: Results, *, write: bool) -> None:
    """Say what the document says, and write it there if that is wanted."""
    say(part.section(results))
    if write:
        part.publish(keep(part.name, results))
