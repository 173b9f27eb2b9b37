"""An independent look: a row is committed in PostgreSQL, and Cassandra is read until it is there.

    python -m tests.benchmarks.latency.probe SECONDS FIRST

FIRST: the number of the first row. The clock runs from the moment before COMMIT is sent to the
answer that has the row, so it is never less than the truth; how much more it may be is told with
it: since the look before, which came back empty, had begun.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from cdc import keyspace
from cdc.settings import CdcSettings
from contracts.naming import Role
from ingest import queries, upserts
from tests.benchmarks.running import tell, wait_for_start
from tests.benchmarks.trades import trade

PROBES = 5  # a second
SYMBOL = "PROBE"  # a partition of its own
LOOK_S = 0.001  # between the beginnings of two looks, at first
SHARE = 0.02  # of the time waited: who waits long looks less often, and burdens Cassandra less
PATIENCE_S = 30.0

LOOK = (
    "SELECT trade_id FROM trades_by_hour "
    "WHERE venue = ? AND symbol = ? AND hour = ? AND traded_at = ? AND trade_id = ?"
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One row: commit to visible, how much of it may be the looking's, and whether it came."""

    took_ms: float
    doubt_ms: float
    found: bool


def watch(
    commit: Callable[[], object],
    look: Callable[[], bool],
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Seen:
    """Commit, then look until it is there, or until patience ends."""
    began = empty = clock()
    commit()
    while True:
        asked = clock()
        found = look()
        now = clock()
        if found or now - began > PATIENCE_S:
            took, doubt = (round((now - since) * 1000, 3) for since in (began, empty))
            return Seen(took_ms=took, doubt_ms=doubt, found=found)
        empty = asked
        sleep(max(0.0, asked + max(LOOK_S, (asked - began) * SHARE) - now))


class Probe:
    """Connections to both ends. Its rows are trades of a symbol of their own."""

    def __init__(self, settings: CdcSettings) -> None:
        dsn: dict[str, Any] = settings.postgres_dsn(Role.INGEST)
        self._connection = psycopg2.connect(**dsn)
        self._session = keyspace.connect(settings, Role.READER)
        self._look = self._session.prepare(LOOK)
        today = datetime.now(UTC).date()
        with self._connection, self._connection.cursor() as cursor:
            for day in (today, today + timedelta(days=1)):
                cursor.execute(queries.ENSURE_PARTITION, {"table": "trades", "day": day})

    def once(self, number: int) -> Seen:
        """Write the row of that number and watch for it."""
        now = datetime.now(UTC)
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        row = trade(number, at, SYMBOL)
        with self._connection.cursor() as cursor:
            cursor.execute(upserts.from_json("trades"), {"rows": upserts.as_json([row])})
        hour = at.replace(minute=0, second=0, microsecond=0)
        key = self._look.bind((row.venue, row.symbol, hour, at, row.trade_id))
        return watch(self._connection.commit, lambda: self._session.execute(key).one() is not None)

    def close(self) -> None:
        self._connection.close()
        self._session.cluster.shutdown()


def main() -> None:
    seconds, first = float(sys.argv[1]), int(sys.argv[2])
    probe, drawn = Probe(CdcSettings()), random.Random(first)
    wait_for_start()
    end, seen = time.monotonic() + seconds, list[Seen]()
    due = time.monotonic()
    while (now := time.monotonic()) < end:
        # at irregular times, so that no clock of the pipeline's meets the probes in step
        due = max(now, due + drawn.uniform(0.5, 1.5) / PROBES)
        time.sleep(due - now)
        seen.append(probe.once(first + len(seen)))
    tell(
        "ended",
        took_ms=[each.took_ms for each in seen],
        doubt_ms=[each.doubt_ms for each in seen],
        lost=sum(not each.found for each in seen),
    )
    sys.stdin.readline()  # its CPU, and its backend's, is read before it goes
    probe.close()


if __name__ == "__main__":
    main()
