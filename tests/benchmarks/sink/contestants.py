"""Who takes part: how each is started and what it is told. The others are held to `ours`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cdc.mapping import Route
from tests.benchmarks.sink import programs
from tests.benchmarks.sink.jobs import Job

Command = Callable[[Path], list[str]]
Variables = Callable[[], dict[str, str]]

OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to fill the tables.

    `way`: from the log, until its offsets are committed; or rows from memory, which the program
    counts. `rate` (rows/s) is a guess for the first window. `waits`: it says when it is ready and
    begins when told. `exact`: its values are checked, not only its rows counted. `whole`: it fills
    the tables that have a condition, too.
    """

    name: str
    title: str
    way: Literal["log", "memory"]
    rate: int
    command: Command
    variables: Variables = dict
    options: Job = field(default_factory=dict)
    began: str = "began"
    waits: bool = True
    exact: bool = True
    whole: bool = True
    processes: int = 1

    def fills(self, route: Route) -> bool:
        """Whether it writes this table."""
        return self.whole or route.condition is None


def _module(name: str) -> Command:
    return lambda job: [sys.executable, "-m", name, str(job)]


def _java(job: Path) -> list[str]:
    return programs.java_command(str(job))


CONTESTANTS = (
    Contestant(
        name=OURS,
        title="`tidemark sink`, all its semantics",
        way="log",
        rate=40_000,
        command=lambda _job: [sys.executable, "-m", "cli.main", "sink"],
        began="the sink runs",
        waits=False,
    ),
    *(
        Contestant(
            name=f"ours-{processes}",
            title=f"{processes} of them in one consumer group",
            way="log",
            rate=40_000,
            command=lambda _job: [sys.executable, "-m", "cli.main", "sink"],
            variables=lambda: {"TIDEMARK_SINK_METRICS_PORT": "0"},
            began="the sink runs",
            waits=False,
            processes=processes,
        )
        for processes in (2, 4)
    ),
    Contestant(
        name="ours-kafka-python",
        title="the same with kafka-python as its consumer",
        way="log",
        rate=15_000,
        command=_module("tests.benchmarks.sink.other_reader"),
        variables=programs.with_packages,  # lz4
        began="the sink runs",
        waits=False,
    ),
    Contestant(
        name="barrier-default",
        title="JVM connectors' engine: 500 a poll, batches of 32, wait for all",
        way="log",
        rate=10_000,
        command=_java,
        options={"engine": "barrier", "poll_records": 500, "batch_rows": 32},
    ),
    Contestant(
        name="barrier-tuned",
        title="the same, tuned: 5,000 a poll, batches of 128",
        way="log",
        rate=14_000,
        command=_java,
        options={"engine": "barrier", "poll_records": 5000, "batch_rows": 128},
    ),
    Contestant(
        name="connector-default",
        title="DataStax's engine itself, as a Connect worker feeds it: 500 a poll, batches of 32",
        way="log",
        rate=7_000,
        command=_java,
        options={"engine": "connector", "poll_records": 500, "batch_rows": 32},
        whole=False,
    ),
    Contestant(
        name="connector-tuned",
        title="the same, tuned: 5,000 a poll, batches of 128",
        way="log",
        rate=8_000,
        command=_java,
        options={"engine": "connector", "poll_records": 5000, "batch_rows": 128},
        whole=False,
    ),
    Contestant(
        name="ceiling-rows",
        title="Java driver, rows from memory, one by one",
        way="memory",
        rate=20_000,
        command=_java,
        options={"engine": "memory", "batch_rows": 1, "in_flight": 512, "strip_zeros": True},
    ),
    Contestant(
        name="ceiling-batches",
        title="Java driver, rows from memory, batches of 128 of one partition",
        way="memory",
        rate=80_000,
        command=_java,
        options={"engine": "memory", "batch_rows": 128, "in_flight": 64, "strip_zeros": True},
    ),
    Contestant(
        name="concurrent",
        title="cassandra-driver `execute_concurrent_with_args`, rows from memory",
        way="memory",
        rate=4_000,
        command=_module("tests.benchmarks.sink.loops"),
        options={"engine": "concurrent", "in_flight": 100},
    ),
    Contestant(
        name="acsylla",
        title="acsylla 1.2.0, rows from memory; it stores wrong decimals, so rows are counted only",
        way="memory",
        rate=20_000,
        command=_module("tests.benchmarks.sink.loops"),
        variables=programs.with_packages,
        options={"engine": "acsylla", "in_flight": 256},
        exact=False,
    ),
    Contestant(
        name="scyllapy",
        title="scyllapy, rows from memory",
        way="memory",
        rate=8_000,
        command=_module("tests.benchmarks.sink.loops"),
        variables=programs.with_packages,
        options={"engine": "scyllapy", "in_flight": 256},
    ),
)

BY_NAME = {each.name: each for each in CONTESTANTS}
