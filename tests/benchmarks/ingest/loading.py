"""Windows of the loaders: what the exchange's log and the database say of a span of time.

Each starts, comes to its pace, and is ended after the window, so neither its start nor its end is
in the clock. With a limit a window is whole minutes of the clock, as the exchange counts them.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks import cpu, trees
from tests.benchmarks.backfill import SYMBOLS
from tests.benchmarks.ingest import contestants, journal
from tests.benchmarks.ingest.contestants import OURS, Loader
from tests.benchmarks.ingest.database import Database
from tests.benchmarks.running import Failed, Running, running
from tests.conftest import Stack
from tests.integration.ingesting import Simulator

READY_S = 120.0
RUN_IN_S = 5.0
MINUTE_S = 60


@dataclass(kw_only=True)
class Window:
    """What one window showed. CPU in seconds; `share`: of the exchange's limit, 0 without one.

    `rows`: candles of pages that were answered; of a loader of ours, candles that were committed.
    """

    part: str
    contestant: str
    round: int
    at: str
    seconds: float
    pages: int
    refused: int
    share: float
    rows: int
    client_cpu_s: float
    postgres_cpu_s: float
    exchange_cpu_s: float
    load: tuple[float, float]
    others: float
    wrong: list[str]


class Loading:
    """Holds windows beside one exchange; `limit`: its weight a minute, 0: none."""

    def __init__(
        self, stack: Stack, database: Database, exchange: Simulator, limit: int, window_s: float
    ) -> None:
        self._stack = stack
        self._database = database
        self._exchange = exchange
        self._limit = limit
        self._window_s = window_s
        self._exchange_pid = _pid_of_exchange()

    def hold(self, loader: Loader, number: int) -> Window:
        """Hold a window; Failed says why it could not be."""
        self._database.anew()
        self._exchange.reset(self._limit)
        command = loader.command(self._job(loader))
        environment = self._stack.process_env | self._variables() | loader.variables()
        with running(command, environment) as process:
            self._wait_for_pages(process)
            self._come_to_pace()
            window = self._measured(loader, number, process)
        if loader.name == OURS:
            rows, said = self._database.held()
            window.wrong += [] if rows == said else [f"{rows} candles, and progress says {said}"]
        return window

    def _measured(self, loader: Loader, number: int, process: Running) -> Window:
        load = os.getloadavg()[0]
        began, first = time.time(), self._moment(process)
        time.sleep(max(0.0, began + self._window_s - time.time()))
        ended, last = time.time(), self._moment(process)
        process.check()
        spent = cpu.since(first, last)
        seconds = ended - began
        asked = journal.asked(self._exchange.log(), began * 1000, ended * 1000)
        known = spent["client"] + spent["postgres"] + spent["exchange"]
        return Window(
            part="limited" if self._limit else "free",
            contestant=loader.name,
            round=number,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            pages=asked.pages,
            refused=asked.refused,
            share=round(asked.share(self._limit, seconds), 4),
            rows=round(spent["rows"]) if loader.name == OURS else asked.rows,
            client_cpu_s=round(spent["client"], 2),
            postgres_cpu_s=round(spent["postgres"], 2),
            exchange_cpu_s=round(spent["exchange"], 2),
            load=(round(load, 1), round(os.getloadavg()[0], 1)),
            others=cpu.others(spent["machine"], known, seconds),
            wrong=[] if asked.pages else ["no page was answered"],
        )

    def _moment(self, process: Running) -> dict[str, float]:
        return {
            "client": process.cpu_s(),
            "postgres": self._database.cpu_s(),
            "exchange": trees.cpu_s(self._exchange_pid),
            "machine": cpu.machine_s(),
            "rows": self._database.brought(),
        }

    def _wait_for_pages(self, process: Running) -> None:
        """Until the first whole page was asked for: it has started, and knows what it wants."""
        deadline = time.monotonic() + READY_S
        while not any(map(journal.is_page, self._exchange.log("/api/v3/klines"))):
            process.check()
            if time.monotonic() > deadline:
                raise Failed(f"it asks for no candles within {READY_S:.0f} s")
            time.sleep(0.2)

    def _come_to_pace(self) -> None:
        time.sleep(RUN_IN_S)
        if self._limit:
            time.sleep(MINUTE_S - time.time() % MINUTE_S)

    def _variables(self) -> dict[str, str]:
        return self._database.variables | {
            "TIDEMARK_EXCHANGE": "simulator",
            "TIDEMARK_SIMULATOR_URL": self._exchange.url,
        }

    def _job(self, loader: Loader) -> Path:
        job: dict[str, Any] = {
            "way": loader.name,
            "url": self._exchange.url,
            "limited": bool(self._limit),
            "symbols": SYMBOLS,
            "start_ms": round(contestants.START.timestamp() * 1000),
            "end_ms": round(contestants.END.timestamp() * 1000),
        }
        told = self._stack.settings.state_dir / f"{loader.name}.job.json"
        told.write_text(json.dumps(job), encoding="utf-8")
        return told


def _pid_of_exchange() -> int:
    """The simulated exchange that this process has started."""
    started = {each.pid: each.as_dict(["cmdline"]) for each in psutil.Process().children()}
    (found,) = [pid for pid, told in started.items() if "simulate" in (told["cmdline"] or ())]
    return found
