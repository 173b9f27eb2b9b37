"""What the kits share on their command lines and in their course: windows in turn, each kept.

A kit that is told to end (SIGTERM, SIGHUP, Ctrl-C) ends its contestants and its stack, as on any
other way out. What it has measured until then is kept, and its document's command can publish it.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from tests.benchmarks.document import Part, keep
from tests.benchmarks.figures import Figure, conditions
from tests.benchmarks.figures import say as tell
from tests.benchmarks.stacks import say
from tests.benchmarks.turns import C, Lost, reason

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
MEASURED = ("windows", "figures", "day")  # what a kit's results may hold


def options_of(what: str | None, names: Iterable[str], rounds: int) -> argparse.ArgumentParser:
    """Contestants, rounds, where the stack is, and whether the document is written."""
    parser = argparse.ArgumentParser(
        description=what, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ",".join(names)
    parser.add_argument("--contestants", default=known, help=f"of {known}")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{rounds} unless told")
    parser.add_argument("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.add_argument("--write", action="store_true", help="write the document's part")
    return parser


def chosen(parser: argparse.ArgumentParser, named: str, contestants: Sequence[C]) -> list[C]:
    """The contestants that the command line names, in their usual order."""
    wanted, known = named.split(","), [each.name for each in contestants]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"there is no contestant {unknown[0]!r}; there are {', '.join(known)}")
    return [each for each in contestants if each.name in wanted]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, or its terminal's end, leaves the block as SystemExit does: all in it is ended."""
    told = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if not told:  # a second one must not break off what ends the contestants
            told = True
            raise SystemExit(128 + number)

    # who has its own way with one, a block around this one or nohup, keeps it
    ours = [each for each in ENDINGS if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def concluded(part: Part, *, write: bool, **more: Any) -> Iterator[dict[str, Any]]:
    """Results to fill within a block, with `more` in them; behind it they are told and written.

    So it is also where the block fails: what was measured before stands. Who interrupts it finds
    the results kept, but the document as it was.
    """
    results: dict[str, Any] = {"conditions": conditions()} | more
    try:
        with ended_by_signals():
            yield results
    except Exception:
        if _measured(results):
            _conclude(part, results, write=write)
        raise
    except BaseException:
        if _measured(results):
            say(f"interrupted; what was measured is kept in {keep(part.name, results)}")
        raise
    _conclude(part, results, write=write)


def record(
    part: Part,
    results: dict[str, Any],
    outcomes: Iterable[tuple[str, Any]],
    line: Callable[[Any], str],
) -> None:
    """Keep each window, a dataclass, as it comes, or what became of a contestant's lost round."""
    results |= {"windows": [], "absent": {}, "lost": []}
    for contestant, outcome in outcomes:
        if isinstance(outcome, Lost):
            results["lost"].append({"contestant": contestant} | asdict(outcome))
            if outcome.leaves:
                results["absent"][contestant] = outcome.reason
            verdict = "LOST, and it leaves" if outcome.leaves else "LOST"
            say(f"round {outcome.round} {contestant}: {verdict}: {outcome.reason}")
        else:
            results["windows"].append(asdict(outcome))
            say(line(outcome))
        keep(part.name, results)


def record_figures(
    part: Part, results: dict[str, Any], measures: Iterable[tuple[str, Iterable[Figure]]]
) -> None:
    """Keep each figure as it comes; a measurement that fails is named, and the next one begins."""
    results |= {"figures": [], "absent": {}}
    known = list(measures)
    for number, (name, figures) in enumerate(known, 1):
        say(f"measuring, {number} of {len(known)}: {name}")
        try:
            for figure in figures:
                tell(figure)
                results["figures"].append(asdict(figure))
                keep(part.name, results)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            results["absent"][name] = reason(error)
            say(f"{name}: LOST: {results['absent'][name]}")
            keep(part.name, results)


def _measured(results: Mapping[str, Any]) -> bool:
    return any(results.get(name) for name in MEASURED)


def _conclude(part: Part, results: dict[str, Any], *, write: bool) -> None:
    say(part.section(results))
    if write and _measured(results):
        part.publish(keep(part.name, results))
    elif write:
        say("nothing was measured, so the document stays as it is")
