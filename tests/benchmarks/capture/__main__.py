"""How fast changes leave PostgreSQL: Debezium beside its slot.

    python -m tests.benchmarks.capture [--contestants ours,raw-1] [--rounds 5] [--rows 300000]
                                       [--write]

Results are kept after each window in .tidemark/bench/capture.json; `--write` makes docs of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from tests.benchmarks.capture import document
from tests.benchmarks.capture.captor import Captor
from tests.benchmarks.capture.contestants import CONTESTANTS, Contestant
from tests.benchmarks.capture.referee import Referee, Window
from tests.benchmarks.kit import chosen, concluded, options_of, record
from tests.benchmarks.stacks import say, stack_of
from tests.benchmarks.turns import Lost, take_turns
from tests.integration import scratch
from tests.integration.conftest import Replica

SERVICES = ("postgres", "kafka", "connect")


def outcomes(
    referee: Referee, replica: Replica, contestants: Sequence[Contestant], rounds: int
) -> Iterator[tuple[str, Window | Lost]]:
    """Snapshots of a table of so many rows first, then as many rows out of the WAL each time."""
    variants = [each for each in contestants if each.variant is not None]
    yield from take_turns(variants, rounds, referee.snapshot, say, "snapshot")
    replica.next_generation()
    yield from take_turns(contestants, rounds, referee.stream, say, "stream")


def main() -> None:
    parser = options_of(__doc__, (each.name for each in CONTESTANTS), rounds=5)
    parser.add_argument("--rows", type=int, default=300_000, help="of a window")
    options = parser.parse_args()
    contestants = chosen(parser, options.contestants, CONTESTANTS)
    with (
        concluded(document.PART, write=options.write) as results,
        ExitStack() as cleanup,
    ):
        stack = cleanup.enter_context(stack_of(options.keep_stack, SERVICES))
        database = cleanup.enter_context(scratch.migrated_database(stack.settings))
        replica = Replica(stack, {"TIDEMARK_POSTGRES_DATABASE": database.postgres_database})
        replica.next_generation()
        cleanup.callback(replica.end)
        captor = Captor(replica)
        cleanup.callback(captor.close)
        referee = Referee(stack, replica, captor, options.rows)
        say("filling the table")
        referee.lay()
        turns = outcomes(referee, replica, contestants, options.rounds)
        record(document.PART, results, turns, document.line)


if __name__ == "__main__":
    main()
