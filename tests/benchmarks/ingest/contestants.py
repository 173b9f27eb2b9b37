"""Who takes part, how each is started, and what all of them are to load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.backfill import SYMBOLS
from tests.benchmarks.sink import programs

OURS = "tidemark"
COPY = "tidemark-copy"
STORED = "python-binance-stored"
# 15 M candles: more than the limit lets through in five minutes
START, END = datetime(2021, 1, 2, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
INTERVAL = "1m"


def start_ours() -> list[str]:
    """The command that a person types."""
    span = ("--interval", INTERVAL, "--start", f"{START:%Y-%m-%d}", "--end", f"{END:%Y-%m-%d}")
    words = ("backfill", "klines", *SYMBOLS, *span, "--source", "rest", "--json")
    return [sys.executable, "-m", "cli.main", *words]


@dataclass(frozen=True, kw_only=True)
class Loader:
    """A way to load candles; `limited`, `free`: whether it is measured with a limit, without one.

    `stores`: whether its rows end in PostgreSQL; else in lists.
    """

    name: str
    title: str
    limited: bool = True
    free: bool = True
    stores: bool = False

    def command(self, job: Path) -> list[str]:
        if self.name == OURS:
            return start_ours()
        return [sys.executable, "-m", "tests.benchmarks.ingest.peers", str(job)]

    def variables(self) -> dict[str, str]:
        """What its process needs in its environment; Unavailable where that cannot be had."""
        if self.name == OURS:
            return {"TIDEMARK_WEIGHT_SHARE": "1"}  # nothing else asks the exchange
        return programs.with_packages() | {"NO_PROXY": "127.0.0.1"}


@dataclass(frozen=True, kw_only=True)
class Upserter:
    """A way to upsert rows; `needs`: what its process needs in its environment."""

    name: str
    title: str
    needs: Callable[[], dict[str, str]] = dict

    def command(self, job: Path) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.ingest.ways", str(job)]


LOADERS = (
    Loader(
        name=OURS,
        title="`tidemark backfill klines`: planned, checked, stored with its progress",
        stores=True,
    ),
    Loader(
        name="python-binance",
        title="`get_historical_klines`; without a limit `get_klines` in a loop, as that one sleeps",
    ),
    Loader(
        name="python-binance-async",
        title="`AsyncClient`, all symbols at once, otherwise the same",
    ),
    Loader(
        name="ccxt",
        title="`fetch_ohlcv` in a loop; six floats a candle; without a limit its throttle is off",
    ),
    Loader(
        name="ccxt-async",
        title="`async_support`, all symbols at once, otherwise the same",
    ),
    Loader(
        name=STORED,
        title="`get_klines`, each page stored by `execute_values`",
        limited=False,
        stores=True,
    ),
)

UPSERTERS = (
    Upserter(name=COPY, title="`Store.copy`, of backfills: COPY; where rows are there, of a twin"),
    Upserter(name="tidemark-json", title="`Store.write`, of polls and streams: one JSON parameter"),
    Upserter(name="execute_values", title="psycopg2 `execute_values`, pages of 1,000"),
    Upserter(name="insertmanyvalues", title="SQLAlchemy `insertmanyvalues`, pages of 1,000"),
    Upserter(
        name="asyncpg-executemany", title="asyncpg `executemany`", needs=programs.with_packages
    ),
    Upserter(
        name="asyncpg-copy",
        title="asyncpg, binary COPY into a temporary table, then INSERT … SELECT",
        needs=programs.with_packages,
    ),
)
NAMES = [each.name for each in (*LOADERS, *UPSERTERS)]
