"""The ingest beside its peers: backfills with the exchange's limit and without, and upserts.

    python -m tests.benchmarks.ingest [--parts limited,free,upserts] [--rounds 5] [--write]

Results are kept after each window in .tidemark/bench/ingest.json; `--write` makes docs of them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.benchmarks.ingest import contestants as who
from tests.benchmarks.ingest import document
from tests.benchmarks.ingest.database import Database, captured
from tests.benchmarks.ingest.loading import MINUTE_S, Loading
from tests.benchmarks.ingest.upserting import Upserting
from tests.benchmarks.kit import chosen, concluded, options_of, record
from tests.benchmarks.stacks import say, stack_of
from tests.benchmarks.turns import take_turns
from tests.conftest import Stack, free_ports
from tests.integration.ingesting import Simulator

PARTS = ("limited", "free", "upserts")
Outcomes = Iterator[tuple[str, Any]]


def options() -> tuple[ArgumentParser, Namespace]:
    parser = options_of(__doc__, who.NAMES, rounds=5)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--limit", type=int, default=6000, help="weight a minute of the exchange")
    parser.add_argument("--minutes", type=int, default=2, help="whole ones, of a window under it")
    parser.add_argument("--limited-rounds", type=int, default=1, help="their pace is the limit's")
    parser.add_argument("--window", type=float, default=30.0, help="seconds, without a limit")
    parser.add_argument("--rows", type=int, default=100_000, help="of a pass of upserts")
    parser.add_argument("--chunk", type=int, default=8000, help="rows of a transaction of them")
    return parser, parser.parse_args()


def loaded(
    stack: Stack, database: Database, told: Namespace, loaders: list[who.Loader]
) -> Outcomes:
    """Windows of the loaders: first under the limit, then without."""
    exchange = Simulator(free_ports(1)[0])
    with exchange.running():
        for part, limit, window_s, rounds in (
            ("limited", told.limit, told.minutes * MINUTE_S, told.limited_rounds),
            ("free", 0, told.window, told.rounds),
        ):
            if part not in told.parts.split(","):
                continue
            holding = Loading(stack, database, exchange, limit, window_s)
            taking_part = [each for each in loaders if getattr(each, part)]
            hold = partial(_one, holding)
            yield from take_turns(taking_part, rounds, hold, say, part)


def _one(holding: Loading, loader: who.Loader, number: int) -> Iterator[Any]:
    yield holding.hold(loader, number)


def measured(stack: Stack, told: Namespace, takers: list[Any]) -> Outcomes:
    """All parts that are wanted."""
    with captured(stack) as database:
        loaders = [each for each in takers if isinstance(each, who.Loader)]
        if loaders and {"limited", "free"} & set(told.parts.split(",")):
            yield from loaded(stack, database, told, loaders)
        upserters = [each for each in takers if isinstance(each, who.Upserter)]
        if "upserts" in told.parts.split(","):
            upserting = Upserting(stack, database, told.rows, told.chunk)
            yield from take_turns(upserters, told.rounds, upserting.hold, say, "upserts")


def main() -> None:
    parser, told = options()
    if unknown := set(told.parts.split(",")) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}; there are {', '.join(PARTS)}")
    takers: list[Any] = chosen(parser, told.contestants, (*who.LOADERS, *who.UPSERTERS))
    with (
        concluded(document.PART, write=told.write) as results,
        stack_of(told.keep_stack, ("postgres",)) as stack,
    ):
        record(document.PART, results, measured(stack, told, takers), document.line)


if __name__ == "__main__":
    main()
