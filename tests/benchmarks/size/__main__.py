"""A day of trades through the whole pipeline: time, disk, memory, and every panel's query on it.

    python -m tests.benchmarks.size [--rows 10000000] [--runs 100] [--unproved] [--write]

Results are kept after each step in .tidemark/bench/size.json; `--write` makes docs of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdc.routes import routes_of
from stack.settings import SERVICES
from tests.benchmarks.document import keep
from tests.benchmarks.figures import conditions
from tests.benchmarks.kit import conclude
from tests.benchmarks.size import disk, document, questions
from tests.benchmarks.size.day import Day, start
from tests.benchmarks.stacks import say, stack_of
from tests.conftest import Stack

TABLES = [route.table for route in routes_of("trades")]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="trades of the day, about")
    parser.add_argument("--runs", type=int, default=100, help="of each query")
    parser.add_argument("--unproved", action="store_true", help="leave the verification out")
    parser.add_argument("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.add_argument("--write", action="store_true", help="write the document's part")
    return parser.parse_args()


def measured(stack: Stack, told: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Each result with its name, as it comes."""
    day = Day(stack)
    day.prepare()
    passage = day.go().as_told()
    say(document.line(passage))
    yield "day", passage
    yield "disk", sizes(stack, day)
    yield "questions", [asdict(each) for each in questions.measure(day.settings, told.runs)]
    if not told.unproved:
        yield "proved", day.proved()


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
    results: dict[str, Any] = {"conditions": conditions(), "rows": told.rows}
    with stack_of(told.keep_stack, SERVICES) as stack:
        for name, found in measured(start(stack, told.rows), told):
            results[name] = found
            say(f"measured: {name}")
            keep(document.PART.name, results)
    conclude(document.PART, results, write=told.write)


if __name__ == "__main__":
    main()
