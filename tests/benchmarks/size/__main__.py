"""A day of trades through the whole pipeline: time, disk, memory, every panel's query, the page.

    python -m tests.benchmarks.size [--rows 10000000] [--runs 100] [--unproved] [--write]

Results are kept after each step in .tidemark/bench/size.json, of the page in page.json beside it;
`--write` makes docs of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdc.routes import routes_of
from stack.settings import SERVICES
from tests.benchmarks import page_speed
from tests.benchmarks.document import keep
from tests.benchmarks.figures import PAGE
from tests.benchmarks.kit import concluded, record_figures
from tests.benchmarks.size import disk, document, questions
from tests.benchmarks.size.day import Day, start
from tests.benchmarks.stacks import say, stack_of
from tests.benchmarks.turns import reason
from tests.conftest import Stack

TABLES = [route.table for route in routes_of("trades")]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="trades of the day, about")
    parser.add_argument("--runs", type=int, default=100, help="of each query")
    parser.add_argument("--visits", type=int, default=10, help="of each view of the page")
    parser.add_argument("--seconds", type=float, default=40.0, help="that each view is watched")
    parser.add_argument("--unproved", action="store_true", help="leave the verification out")
    parser.add_argument("--short-past", action="store_true", help="to try the kit out")
    parser.add_argument("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.add_argument("--write", action="store_true", help="write the document's part")
    return parser.parse_args()


def measured(stack: Stack, told: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The steps, each with its name; the first is what the others are about."""
    day = Day(stack, told.rows, short_past=told.short_past)
    yield "day", day.passage
    yield "disk", lambda: sizes(stack, day)
    yield "questions", lambda: [asdict(each) for each in questions.measure(day.settings, told.runs)]
    if not told.unproved:
        yield "proved", day.proved


def take(stack: Stack, told: argparse.Namespace, results: dict[str, Any]) -> None:
    """Keep what each step finds, or why it found nothing; without a day there is nothing to do."""
    steps = list(measured(stack, told))
    for number, (name, step) in enumerate(steps, 1):
        say(f"measuring, {number} of {len(steps)} before the page: {name}")
        try:
            results[name] = step()
        except Exception as error:
            if name == "day":
                raise
            results["absent"][name] = reason(error)
            say(f"{name}: LOST: {results['absent'][name]}")
        if name == "day":
            say(document.line(results[name]))
        keep(document.PART.name, results)


def sizes(stack: Stack, day: Day) -> dict[str, disk.Sizes]:
    """What lies where; of Cassandra before and after all of it is flushed and compacted."""
    settings, name = stack.settings, day.settings.cassandra_keyspace
    before = disk.of_cassandra(settings, name)
    disk.settle(settings, day.settings, TABLES)
    return {
        "postgres": disk.of_postgres(settings, "trades"),
        "kafka": disk.of_kafka(settings, day.settings.generation),
        "before": before,
        "after": disk.of_cassandra(settings, name),
    }


def main() -> None:
    told = options()
    with (
        concluded(PAGE, write=told.write) as of_page,
        concluded(document.PART, write=told.write, rows=told.rows, absent={}) as results,
        stack_of(told.keep_stack, SERVICES) as stack,
    ):
        market = start(stack, told.rows)
        take(market, told, results)
        found = page_speed.measures(told.visits, told.seconds, market.process_env)
        record_figures(PAGE, of_page, found)


if __name__ == "__main__":
    main()
