"""The sink beside its peers.

    python -m tests.benchmarks.sink [--contestants ours,barrier-default] [--rounds 5] [--write]

Results are kept after each window in .tidemark/bench/sink.json; `--write` makes docs of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from statistics import median

from tests.benchmarks.kit import chosen, concluded, options_of, record
from tests.benchmarks.sink import document
from tests.benchmarks.sink.contestants import BY_NAME, CONTESTANTS, Contestant
from tests.benchmarks.sink.log import prefilled
from tests.benchmarks.sink.referee import Referee, Window
from tests.benchmarks.stacks import done, say, stack_of
from tests.benchmarks.turns import take_turns
from tests.integration.conftest import cdc_settings

GENERATION = 60
SERVICES = ("postgres", "kafka", "cassandra")


def main() -> None:
    parser = options_of(__doc__, BY_NAME, rounds=5)
    parser.add_argument("--window", type=float, default=30.0, help="seconds, about")
    parser.add_argument("--events", type=int, default=1_600_000, help="in the log")
    options = parser.parse_args()
    contestants = chosen(parser, options.contestants, CONTESTANTS)
    rates = {each.name: [float(each.rate)] for each in contestants}
    with (
        concluded(document.PART, write=options.write) as results,
        stack_of(options.keep_stack, SERVICES) as stack,
    ):
        done(stack, "migrate")
        settings = cdc_settings(stack.env | {"TIDEMARK_GENERATION": str(GENERATION)})
        say("filling the log")
        log = prefilled(settings, options.events, stack.settings.state_dir / "log.json")
        referee = Referee(stack, log, options.window)

        def hold(contestant: Contestant, number: int) -> Iterator[Window]:
            known = rates[contestant.name]
            window = referee.hold(contestant, number, median(known[1:] or known))
            known.append(window.rows_per_s)
            yield window

        say("a window for nothing, so that Cassandra is warm")
        with suppress(Exception):
            referee.hold(contestants[0], 0, contestants[0].rate)
        turns = take_turns(contestants, options.rounds, hold, say)
        record(document.PART, results, turns, document.line)


if __name__ == "__main__":
    main()
