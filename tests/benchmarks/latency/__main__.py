"""How late a change is in Cassandra, with our settings of Debezium and with others.

    python -m tests.benchmarks.latency [--contestants ours,stock] [--rates 1000] [--rounds 5]
                                       [--window 60] [--warm 30] [--write]

Results are kept after each window in .tidemark/bench/latency.json; `--write` makes docs of them.
"""

from __future__ import annotations

import sys

from cdc.generation import current
from stack.settings import SERVICES
from tests.benchmarks.kit import chosen, concluded, options_of, record
from tests.benchmarks.latency import document
from tests.benchmarks.latency.referee import READY_S, Referee
from tests.benchmarks.running import running
from tests.benchmarks.stacks import done, say, stack_of
from tests.benchmarks.turns import take_turns
from tests.benchmarks.variants import VARIANTS
from tests.integration.conftest import cdc_settings

RATES = "100,1000,5000"


def main() -> None:
    parser = options_of(__doc__, (each.name for each in VARIANTS), rounds=5)
    parser.add_argument("--rates", default=RATES, help="changes a second, all told")
    parser.add_argument("--window", type=float, default=60.0, help="seconds at each rate")
    parser.add_argument("--warm", type=float, default=30.0, help="seconds of load before them")
    options = parser.parse_args()
    variants = chosen(parser, options.contestants, VARIANTS)
    rates = [int(rate) for rate in options.rates.split(",")]
    with (
        concluded(document.PART, write=options.write) as results,
        stack_of(options.keep_stack, SERVICES) as stack,
    ):
        done(stack, "migrate")
        done(stack, "connector", "apply")
        settings = current(cdc_settings(stack.env))
        command = [sys.executable, "-m", "cli.main", "sink"]
        with running(command, stack.process_env) as sink:
            sink.wait_for("the sink runs", READY_S)
            referee = Referee(stack, settings, sink, options.window)
            turns = take_turns(
                variants,
                options.rounds,
                lambda variant, number: referee.visit(variant, number, rates, options.warm),
                say,
            )
            record(document.PART, results, turns, document.line)


if __name__ == "__main__":
    main()
