"""What a running verification costs the sink: its throughput without one, and beside one.

    TIDEMARK_ENV_FILE=… python -m tests.benchmarks.verify_cost --events 200000

Uses the rows of `verify_speed`, which must have run before. The sink carries the same trades from
Kafka again and again, in turn without a verification, beside one at the pace of the setting, and
beside one without rest; the verification is a process of the lowest priority, as the watch starts
it. In turn, so that a machine that is busy with other work slows each alike. A line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from uuid import uuid4

from cdc.settings import CdcSettings
from tests.benchmarks.sink_throughput import fill, run
from tests.benchmarks.verify_speed import environment

LOWEST_PRIORITY = 19


@contextmanager
def verifying(share: float) -> Iterator[None]:
    """A verification that begins anew when it has ended, for the length of a block; 0: none."""
    if not share:
        yield
        return
    arguments = ["--way", "digests", "--share", str(share), "--again"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.verify_speed", *arguments],
        stdout=subprocess.DEVNULL,
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
    try:
        yield
        assert process.poll() is None, "it ran all the while"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generation", type=int, default=98)
    options = parser.parse_args()
    os.environ |= environment()
    settings = CdcSettings(generation=options.generation)
    fill(settings, options.events)
    shares = (0.0, settings.verify_share, 1.0)
    speeds: dict[float, list[float]] = {share: [] for share in shares}
    for _ in range(options.rounds):
        for share in shares:
            with verifying(share):
                sink = settings.model_copy(
                    update={"sink_group": f"bench-{uuid4()}", "sink_metrics_port": 0}
                )
                speeds[share].append(run(sink, options.events)["rows_per_s"])
        best = {share: median(found) for share, found in speeds.items()}
        kept = {str(share): round(speed / best[0.0], 3) for share, speed in best.items()}
        print(json.dumps({"rows_per_s": speeds, "median_kept": kept}), flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main()
