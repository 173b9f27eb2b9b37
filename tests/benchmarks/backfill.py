"""Candles a second from the simulated exchange into PostgreSQL, its weight limit lifted.

The symbols run side by side, so the whole command is measured, its start and its plan included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.clone import Clone
from tests.benchmarks.figures import Figure

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT", "BNBUSDT", "SOLUSDT")
GOAL = 20_000
# (name, start, end, programs that are stopped meanwhile)
RUNS = (
    ("backfill, while everything runs", "2026-01-01", "2026-03-01", ()),
    (
        "backfill, replication stopped",
        "2026-03-01",
        "2026-05-01",
        ("ingest", "sink", "connect", "watch"),
    ),
)


def measure(clone: Clone) -> Iterator[Figure]:
    """Two months of five symbols: with the whole pipeline at work beside it, and alone."""
    for name, start, end, stopped in RUNS:
        for program in stopped:
            clone.halt(program)
        started = time.monotonic()
        done = clone.tidemark(
            "backfill", "klines", *SYMBOLS, "--interval", "1m", "--start", start, "--end", end
        )
        rows = sum(outcome["stored"] for outcome in done)
        seconds = time.monotonic() - started
        yield Figure(
            name=name,
            value=rows / seconds,
            unit="klines/s",
            goal=GOAL,
            at_least=True,
            note=f"{rows:,} candles of {len(SYMBOLS)} symbols in {seconds:.1f} s",
        )
    clone.make("up")
