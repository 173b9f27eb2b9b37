"""A variant's windows: a worker begun anew, warmed up, then a window at each rate.

The sink runs all the while; Debezium goes on in its slot and its topics, whatever its settings are.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdc import keyspace, readings
from cdc.connector.client import ConnectClient
from cdc.readings import Beat
from cdc.settings import CdcSettings
from contracts.naming import Role
from ingest.store import Store
from stack import processes
from tests.benchmarks.cpu import cpu_of, machine_s, others, since
from tests.benchmarks.latency.load import BEATS, SOURCE
from tests.benchmarks.latency.probe import PATIENCE_S, PROBES
from tests.benchmarks.latency.quantiles import Times, times, waterfall
from tests.benchmarks.running import Failed, Running, running
from tests.benchmarks.variants import Variant
from tests.benchmarks.worker import Worker
from tests.conftest import Stack
from tests.integration import scratch

WARM_RATE = 2000  # changes a second, before the windows
LEAD_S, TAIL_S = 4.0, 1.0  # of load before and after what is measured
READY_S = 120.0
CALM_S = 2.0  # a beat that takes no longer meets no backlog; stock settings take half a second
HELD = 0.98  # of the rate
BESIDE = BEATS + PROBES  # changes a second that are not the load's
MADE = "SELECT count(*) FROM heartbeat WHERE source = %s AND beat_at >= %s AND beat_at < %s"


@dataclass(kw_only=True)
class Window:
    """What one window showed; `cores`: CPU a second of each part.

    `rate`: changes a second that were wanted, all told; `rows_per_s` and `late_ms` are the load's.
    `doubt`: how much of the probe's times may be its looking. `load`: the average of a minute,
    before and after; `others`: how much of the machine's CPU went to none of the parts.
    """

    contestant: str
    round: int
    at: str
    rate: int
    seconds: float
    rows_per_s: float
    held: bool
    late_ms: float
    probe: Times
    doubt: Times
    probes_lost: int
    stages: dict[str, Times]
    beats_lost: int
    cores: dict[str, float]
    load: tuple[float, float]
    others: float


class Referee:
    """Holds windows on a stack whose connector is registered and whose sink runs."""

    def __init__(self, stack: Stack, settings: CdcSettings, sink: Running, window_s: float) -> None:
        self._stack = stack
        self._settings = settings
        self._sink = sink
        self._window_s = window_s
        self._worker = Worker(stack.settings)
        self._numbers = 0  # of trades until now
        with ConnectClient(settings) as connect:
            config = connect.config()
        assert config is not None, "the connector is registered"
        self._usual = config

    def visit(
        self, variant: Variant, number: int, rates: list[int], warm_s: float
    ) -> Iterator[Window]:
        """The variant's windows of a round, one a rate. Failed says why not."""
        self._worker.become(variant)
        with ConnectClient(self._settings) as connect:
            connect.apply(variant.connector(self._usual))
            connect.wait_running(READY_S)
        with self._load(WARM_RATE, warm_s) as load:
            load.wait_for("ready", READY_S)
            load.begin()
            load.wait_for("ended", warm_s + READY_S)
        for rate in rates:
            self._come_to_rest()
            yield self._window(variant, number, rate)

    def _come_to_rest(self) -> None:
        """Wait until a beat comes through at once, twice: nothing is before it."""
        calm, deadline = 0, time.monotonic() + READY_S
        with (
            closing(Store(self._settings)) as store,
            keyspace.session(self._settings, Role.READER) as session,
        ):
            while calm < 2:
                self._sink.check()
                if time.monotonic() > deadline:
                    raise Failed(f"what was written before is not through after {READY_S:.0f} s")
                began = _now()
                store.beat("calm")
                time.sleep(CALM_S)
                newest = readings.newest_beat(session, "calm", datetime.now(UTC))
                calm = calm + 1 if newest is not None and newest >= began else 0

    def _window(self, variant: Variant, number: int, rate: int) -> Window:
        with (
            self._load(max(1, rate - BESIDE), LEAD_S + self._window_s + TAIL_S) as load,
            self._process("probe", self._window_s, self._next(PROBES * self._window_s)) as probe,
        ):
            for process in (load, probe):
                process.wait_for("ready", READY_S)
            average = os.getloadavg()[0]
            load.begin()
            time.sleep(LEAD_S)
            start, before = _now(), self._spent(load, probe)
            probe.begin()
            looked = probe.wait_for("ended", self._window_s + PATIENCE_S + READY_S)
            end, spent = _now(), since(before, self._spent(load, probe))
            pace = load.wait_for("ended", self._window_s + READY_S)
        beats, made = self._beats(start, end)
        wall_s, machine = spent.pop("wall"), spent.pop("machine")
        try:
            return Window(
                contestant=variant.name,
                round=number,
                at=start.isoformat(timespec="seconds"),
                rate=rate,
                seconds=round(wall_s, 1),
                rows_per_s=round(pace["rows"] / pace["seconds"], 1),
                held=pace["rows"] >= HELD * (rate - BESIDE) * pace["seconds"],
                late_ms=pace["late_ms"],
                probe=times(looked["took_ms"]),
                doubt=times(looked["doubt_ms"]),
                probes_lost=looked["lost"],
                stages=waterfall(beats),
                beats_lost=made - len(beats),
                cores={name: round(used / wall_s, 3) for name, used in spent.items()},
                load=(round(average, 1), round(os.getloadavg()[0], 1)),
                others=others(machine, sum(spent.values()), wall_s),
            )
        except ValueError as error:
            raise Failed(f"no row of the window has arrived: {error}") from error

    def _load(self, rate: int, seconds: float) -> AbstractContextManager[Running]:
        return self._process("load", rate, seconds, self._next(rate * seconds))

    def _process(self, name: str, *arguments: float) -> AbstractContextManager[Running]:
        """A program of this kit for the length of a block."""
        command = [sys.executable, "-m", f"tests.benchmarks.latency.{name}"]
        return running([*command, *map(str, arguments)], self._stack.process_env)

    def _next(self, count: float) -> int:
        """The first of so many numbers of trades that nobody has; a few more lie between."""
        first = self._numbers
        self._numbers += 2 * round(count) + 2
        return first

    def _beats(self, start: datetime, end: datetime) -> tuple[list[Beat], int]:
        """The window's beats that have arrived, after some patience, and how many were made."""
        with closing(scratch.connect(self._settings, Role.READER)) as connection:
            made = int(scratch.value(connection, MADE, SOURCE, start, end))
        deadline = time.monotonic() + PATIENCE_S
        with keyspace.session(self._settings, Role.READER) as session:
            while True:
                found = readings.beats_since(session, SOURCE, start, end + timedelta(seconds=1))
                here = [each for each in found if each.beat_at < end and each.visible_us]
                if len(here) >= made or time.monotonic() > deadline:
                    return here, made
                time.sleep(0.5)

    def _spent(self, load: Running, probe: Running) -> dict[str, float]:
        """Seconds until now: of the clock, of the machine, of each part."""
        services = {name: self._worker.cpu_s(name) for name in ("connect", "kafka", "cassandra")}
        return services | {
            "postgres": cpu_of(processes.of_cluster(self._stack.settings)),
            "sink": self._sink.cpu_s(),
            "load and probe": load.cpu_s() + probe.cpu_s(),
            "wall": time.monotonic(),
            "machine": machine_s(),
        }


def _now() -> datetime:
    """As heartbeats have it: in whole milliseconds, on which both databases agree."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
