"""The load of a window: trades at a steady rate through ingest's own store, beats beside them.

    python -m tests.benchmarks.latency.load RATE SECONDS FIRST

RATE: trades a second. FIRST: the number of the first trade. Ingest's writer commits what waits as
soon as it can, so a second of a busy market is some twenty short transactions; so it is here.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.benchmarks.running import tell, wait_for_start
from tests.benchmarks.trades import batch

TRANSACTIONS = 20  # a second
BEATS = 10  # a second
SOURCE = "bench"  # of these beats


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a load was: rows written, over how long, and the most that a transaction began late."""

    rows: int
    seconds: float
    late_ms: float


def paced(
    write: Callable[[range], object],
    rate: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Pace:
    """Let `write` have the numbers of rows as they fall due; what is late is made up for."""
    began, written, late = clock(), 0, 0.0
    for number in range(round(seconds * TRANSACTIONS)):
        due = began + number / TRANSACTIONS
        sleep(max(0.0, due - clock()))
        if clock() - began >= seconds:
            break  # the database does not keep up
        late = max(late, clock() - due)
        upto = round((number + 1) * rate / TRANSACTIONS)
        write(range(written, upto))
        written = upto
    took = max(seconds, clock() - began)
    return Pace(rows=written, seconds=round(took, 3), late_ms=round(late * 1000, 1))


def beat(store: Store, ended: threading.Event) -> None:
    """Beat at irregular times, so that no clock of the pipeline's meets the beats in step."""
    drawn = random.Random(SOURCE)
    while not ended.wait(drawn.uniform(0.5, 1.5) / BEATS):
        store.beat(SOURCE)


def main() -> None:
    rate, seconds, first = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    store, ended = Store(PostgresEndpoint()), threading.Event()
    store.write(batch([first]))
    store.beat(SOURCE)  # and so both connections and both partitions are there
    beats = threading.Thread(target=beat, args=(store, ended), daemon=True)
    wait_for_start()
    beats.start()
    pace = paced(
        lambda numbers: store.write(batch(first + 1 + each for each in numbers)), rate, seconds
    )
    ended.set()
    beats.join()
    tell("ended", **asdict(pace))
    sys.stdin.readline()  # its CPU, and its backends', is read before it goes


if __name__ == "__main__":
    main()
