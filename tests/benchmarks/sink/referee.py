"""One window of one contestant: empty tables, the clock, everybody's CPU, then the count.

The clock runs from the contestant's first poll (its first write, where rows come from memory) to
the last acknowledged write: with the log, to the moment at which the offsets of all of it are
committed. Who reads the log is judged from outside, by what Kafka has.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from confluent_kafka import Consumer, TopicPartition

from cdc import keyspace
from contracts.naming import Role
from tests.benchmarks.cpu import cpu_s, machine_s, others
from tests.benchmarks.running import Failed, Together, together
from tests.benchmarks.sink import tables
from tests.benchmarks.sink.contestants import Contestant
from tests.benchmarks.sink.jobs import job
from tests.benchmarks.sink.log import STEP, PrefilledLog
from tests.conftest import Stack

PATIENCE, LEAST_S = 10, 60.0  # windows, seconds: a contestant that takes longer has failed
READY_S = 300.0
LOOK_S = 0.1  # between two looks at what is committed
REST_S = 60.0  # at most, for Cassandra to come to rest before a window
AT_REST = 0.1  # of a core
MEMORY_EVENTS = 200_000  # at most, that a contestant holds decoded


@dataclass(kw_only=True)
class Window:
    """What one window showed. CPU in seconds; `load`: the average of a minute, before and after.

    `others`: how much of the machine's CPU went to none of contestant, Cassandra and Kafka.
    """

    contestant: str
    round: int
    at: str
    events: int
    passes: int
    rows: int
    seconds: float
    client_cpu_s: float
    cassandra_cpu_s: float
    kafka_cpu_s: float
    load: tuple[float, float]
    others: float
    wrong: list[str]

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds


@dataclass(frozen=True)
class _Moment:
    """Everybody's CPU until now, seconds."""

    at: float
    client: float
    cassandra: float
    kafka: float
    machine: float

    def since(self, earlier: _Moment) -> _Moment:
        mine, theirs = asdict(self), asdict(earlier)
        return _Moment(**{name: mine[name] - theirs[name] for name in mine})


class Referee:
    """Holds windows on a running stack that has the log."""

    def __init__(self, stack: Stack, log: PrefilledLog, window_s: float) -> None:
        self._stack = stack
        self._log = log
        self._window_s = window_s
        self._folder = stack.settings.state_dir
        self._cassandra = _service(self._folder, "CassandraDaemon")
        self._kafka = _service(self._folder, "kafka.Kafka")

    def hold(self, contestant: Contestant, number: int, rate: float) -> Window:
        """Hold a window; `rate` (rows/s) says how much of the log it gets. Failed says why."""
        most = self._log.events if contestant.way == "log" else MEMORY_EVENTS
        wanted = min(most, self._log.events, round(rate * self._window_s))
        events = max(STEP, wanted - wanted % STEP)
        group = f"bench-{contestant.name}-{uuid4().hex[:8]}"
        told = self._folder / f"{contestant.name}.job.json"
        told.write_text(
            json.dumps(
                job(
                    self._log,
                    group,
                    events,
                    self._window_s,
                    contestant.options,
                    filter(contestant.fills, tables.ROUTES),
                )
            ),
            encoding="utf-8",
        )
        command, environment = self._start_of(contestant, told, group)
        with self._group(group, events) as consumer:
            self._prepare()
            with together(command, environment, contestant.processes) as process:
                if contestant.waits:
                    process.wait_for("ready", READY_S)
                    self._prepare()  # it may have written to warm up
                    process.begin()
                load = os.getloadavg()[0]
                spent, passes = self._clock(contestant, process, consumer)
        return self._window(contestant, number, events, passes, spent, load)

    def _start_of(
        self, contestant: Contestant, told: Path, group: str
    ) -> tuple[list[str], dict[str, str]]:
        variables = {
            "TIDEMARK_GENERATION": str(self._log.settings.generation),
            "TIDEMARK_SINK_GROUP": group,
            # nothing captures these events, so nobody needs to be asked about a connector
            "TIDEMARK_PREFLIGHT_PATIENCE_S": "0",
            "TIDEMARK_CONNECT_URL": "http://127.0.0.1:9",
        }
        environment = self._stack.process_env | variables | contestant.variables()
        return contestant.command(told), environment

    def _prepare(self) -> None:
        """Empty the tables and wait until Cassandra has nothing left to do."""
        with keyspace.session(self._log.settings, Role.OWNER) as session:
            tables.empty(session, self._log.settings)
        deadline = time.monotonic() + REST_S
        while time.monotonic() < deadline:
            before = cpu_s(self._cassandra)
            time.sleep(1.0)
            if cpu_s(self._cassandra) - before < AT_REST:
                break

    @contextmanager
    def _group(self, group: str, events: int) -> Iterator[Consumer]:
        """A new group whose commits say where the window's part of the log begins."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._log.settings.kafka_bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
            }
        )
        try:
            starts = self._log.starts(events)
            consumer.commit(offsets=_positions(starts), asynchronous=False)
            yield consumer
        finally:
            consumer.close()

    def _clock(
        self, contestant: Contestant, process: Together, consumer: Consumer
    ) -> tuple[_Moment, int]:
        """What the window took, and in how many passes."""
        process.wait_for(contestant.began, READY_S)
        began = self._moment(process)
        if contestant.way == "memory":
            passes = int(process.wait_for("ended", self._patience_s)["passes"])
            return self._moment(process).since(began), passes
        deadline = time.monotonic() + self._patience_s
        while not self._committed(consumer):
            process.check()
            if time.monotonic() > deadline:
                raise Failed(f"the log is not carried within {self._patience_s:.0f} s")
            time.sleep(LOOK_S)
        return self._moment(process).since(began), 1

    @property
    def _patience_s(self) -> float:
        return max(LEAST_S, PATIENCE * self._window_s)

    def _committed(self, consumer: Consumer) -> bool:
        """Whether all is: the sink commits the beginning of the last transaction, not its end."""
        ends = {(each.topic, each.partition): each.offset for each in _positions(self._log.ends)}
        found = consumer.committed([TopicPartition(*key) for key in ends], timeout=10)
        return all(each.offset >= ends[each.topic, each.partition] - 1 for each in found)

    def _moment(self, process: Together) -> _Moment:
        cassandra, kafka = cpu_s(self._cassandra), cpu_s(self._kafka)
        return _Moment(time.monotonic(), process.cpu_s(), cassandra, kafka, machine_s())

    def _window(
        self,
        contestant: Contestant,
        number: int,
        events: int,
        passes: int,
        spent: _Moment,
        load: float,
    ) -> Window:
        filled = {route.table for route in tables.ROUTES if contestant.fills(route)}
        expected = {
            table: sums for table, sums in self._log.expected(events).items() if table in filled
        }
        with keyspace.session(self._log.settings, Role.READER) as session:
            found = tables.held(session, self._log.settings)
        known = spent.client + spent.cassandra + spent.kafka
        return Window(
            contestant=contestant.name,
            round=number,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            events=events,
            passes=passes,
            rows=tables.rows_of(found),
            seconds=round(spent.at, 3),
            client_cpu_s=round(spent.client, 2),
            cassandra_cpu_s=round(spent.cassandra, 2),
            kafka_cpu_s=round(spent.kafka, 2),
            load=(round(load, 1), round(os.getloadavg()[0], 1)),
            others=others(spent.machine, known, spent.at),
            wrong=tables.differences(found, expected, passes, exact=contestant.exact),
        )


def _positions(offsets: dict[str, list[int]]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number, at)
        for topic, partitions in offsets.items()
        for number, at in enumerate(partitions)
    ]


def _service(folder: Path, main: str) -> int:
    """The pid of a service of this stack, by its main class and its folder."""
    for process in psutil.process_iter(["cmdline"]):
        words: list[Any] = process.info["cmdline"] or []
        if any(main in word for word in words) and any(str(folder) in word for word in words):
            return process.pid
    raise AssertionError(f"{main} does not run below {folder}")
