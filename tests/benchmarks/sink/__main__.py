"""The sink beside its peers.

    python -m tests.benchmarks.sink [--contestants ours,barrier-default] [--rounds 5] [--write]

Results are kept after each window in .tidemark/bench/sink.json; `--write` makes docs of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from stack import launcher
from tests.benchmarks.figures import conditions
from tests.benchmarks.sink import document, programs
from tests.benchmarks.sink.contestants import BY_NAME, CONTESTANTS, Contestant
from tests.benchmarks.sink.log import prefilled
from tests.benchmarks.sink.referee import Referee, Window
from tests.benchmarks.sink.running import Failed
from tests.conftest import Stack, discard, fresh_environment, fresh_folder, kept_stack, settings_of
from tests.integration.conftest import cdc_settings

GENERATION = 60
SERVICES = ("postgres", "kafka", "cassandra")
RESULTS = programs.FOLDER / "sink.json"


@contextmanager
def stack_of(folder: Path | None) -> Iterator[Stack]:
    """A migrated stack without Connect: of its own, or below a folder where it stays."""
    if folder is not None:
        stack = kept_stack(folder.resolve())
    else:
        environment = fresh_environment(fresh_folder())
        stack = Stack(settings_of(environment), environment)
    try:
        launcher.start_services(stack.settings, say, SERVICES)
        done = stack.tidemark("migrate")
        assert done.returncode == 0, done.stderr
        yield stack
    finally:
        if folder is None:
            discard(stack, keep_logs=False)


def take_turns(
    referee: Referee, contestants: list[Contestant], rounds: int
) -> Iterator[tuple[Contestant, Window | str]]:
    """Windows in turn, each round beginning with another contestant; or why one leaves."""
    rates = {each.name: [float(each.rate)] for each in contestants}
    left = list(contestants)
    for number in range(rounds):
        first = number % max(1, len(left))
        for contestant in left[first:] + left[:first]:
            rate = median(rates[contestant.name][1:] or rates[contestant.name])
            try:
                window = referee.hold(contestant, number + 1, rate)
            except (Failed, programs.Unavailable) as reason:
                left.remove(contestant)
                yield contestant, str(reason)
            else:
                rates[contestant.name].append(window.rows_per_s)
                yield contestant, window


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ",".join(BY_NAME)
    parser.add_argument("--contestants", default=names, help=f"of {names}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=30.0, help="seconds, about")
    parser.add_argument("--events", type=int, default=1_600_000, help="in the log")
    parser.add_argument("--keep-stack", type=Path, help="use and leave the stack below this folder")
    parser.add_argument("--write", action="store_true", help="write the document and its plot")
    options = parser.parse_args()
    wanted = options.contestants.split(",")
    if unknown := [name for name in wanted if name not in BY_NAME]:
        parser.error(f"there is no contestant {unknown[0]!r}; there are {names}")
    chosen = [each for each in CONTESTANTS if each.name in wanted]
    results: dict[str, Any] = {"conditions": conditions(), "windows": [], "absent": {}}
    with stack_of(options.keep_stack) as stack:
        settings = cdc_settings(stack.env | {"TIDEMARK_GENERATION": str(GENERATION)})
        say("filling the log")
        log = prefilled(settings, options.events, stack.settings.state_dir / "log.json")
        referee = Referee(stack, log, options.window)
        with suppress(Failed, programs.Unavailable):  # for nothing: so that Cassandra is warm
            referee.hold(chosen[0], 0, chosen[0].rate)
        for contestant, outcome in take_turns(referee, chosen, options.rounds):
            if isinstance(outcome, str):
                results["absent"][contestant.name] = outcome
                say(f"{contestant.name}: left out: {outcome}")
            else:
                results["windows"].append(asdict(outcome))
                say(document.line(outcome))
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    say(document.section(results))
    if options.write:
        document.write(RESULTS)


if __name__ == "__main__":
    main()
