"""`make test-model`: many histories from a seed, over all cores.

SEED= repeats a run, HISTORIES= says how many. `--history HEX` lives through one again, `--mutants`
measures how many histories it takes to find each wrong rule.
"""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random
from statistics import median

from tests.model.history import run
from tests.model.mutants import MUTANTS
from tests.model.search import MOST_HISTORIES, converge, first_difference

CHUNK = 500
MUTANT_SEEDS = range(1, 8)


def main() -> int:
    """Return 0 where every history converged, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--histories", type=int, default=int(os.environ.get("HISTORIES", "100000")))
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or secrets.randbits(32))
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--history", type=bytes.fromhex, metavar="HEX")
    parser.add_argument("--mutants", action="store_true")
    chosen = parser.parse_args()
    if chosen.history is not None:
        return _one(chosen.history)
    with ProcessPoolExecutor(chosen.processes) as pool:
        if chosen.mutants:
            return _mutants(pool)
        return _many(pool, chosen.seed, chosen.histories)


def _one(data: bytes) -> int:
    outcome = run(data)
    print(dict(outcome.seen))
    for key, (expected, found) in outcome.differences.items():
        print(f"key {key}: PostgreSQL {expected}, Cassandra {found}")
    return 1 if outcome.differences else 0


def _many(pool: ProcessPoolExecutor, seed: int, histories: int) -> int:
    print(f"{histories:,} histories, SEED={seed}")
    began, seen = time.monotonic(), Counter[str]()
    seeds = Random(seed)
    chunks = [
        pool.submit(converge, seeds.getrandbits(64), min(CHUNK, histories - start))
        for start in range(0, histories, CHUNK)
    ]
    for number, chunk in enumerate(chunks, 1):
        try:
            seen += chunk.result()
        except AssertionError as error:
            for waiting in chunks:
                waiting.cancel()
            print(f"\nCassandra differs after this history, SEED={seed}: {error}")
            return 1
        if number % 20 == 0 and sys.stdout.isatty():
            print(f"  {seen['histories']:,} after {time.monotonic() - began:.0f} s", flush=True)
    print(f"all equal after {time.monotonic() - began:.0f} s")
    for what, times in seen.most_common():
        print(f"  {times:>12,} {what}")
    return 0


def _mutants(pool: ProcessPoolExecutor) -> int:
    """Print a table: the median and the most of histories that it takes, over some seeds."""
    print("| mutant | median | most |\n| --- | --- | --- |")
    for name in MUTANTS:
        counts = list(pool.map(_find, [name] * len(MUTANT_SEEDS), MUTANT_SEEDS))
        known = [MOST_HISTORIES if count is None else count for count in counts]
        most = f"over {MOST_HISTORIES}" if None in counts else max(known)
        print(f"| {name} | {median(known)} | {most} |", flush=True)
    return 0


def _find(name: str, seed: int) -> int | None:
    return first_difference(MUTANTS[name], seed)


if __name__ == "__main__":
    sys.exit(main())
