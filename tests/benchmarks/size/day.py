"""A day of trades on its way: by the product's own backfill, beside the default schedule.

Three clocks from one start: PostgreSQL has all of it, Kafka has, Cassandra has (what Kafka has is
committed by the sink).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cdc.generation import current
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.topics import Topics
from contracts.naming import Role, topic_of
from ingest.settings import IngestSettings
from runtime.settings import PROJECT_ROOT
from tests.benchmarks import trees
from tests.benchmarks.running import ended
from tests.benchmarks.size import past
from tests.benchmarks.size.samples import Course, Sampler, course
from tests.benchmarks.stacks import done, say
from tests.benchmarks.turns import Headway
from tests.conftest import Stack
from tests.integration import scratch
from tests.integration.conftest import cdc_settings

DAY = timedelta(days=1)
DAY_S = 86_400
PATIENCE_S = 4 * 3600.0
TELL_S = 10.0  # between two looks at a command that works
# before the clock starts: messages that the sink has not committed (the last transaction of each
# partition never is, and a poll of all statistics has 470), and WAL that is not confirmed
QUIET, QUIET_BYTES = 5000, 64 * 2**20
BEHIND = """
SELECT coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn), 0) FROM pg_replication_slots
"""
ABOUT = (
    "SELECT coalesce(sum(n_live_tup), 0) FROM pg_stat_user_tables WHERE relname ~ '^trades_p[0-9]'"
)
CANDLES = (("1m", timedelta(days=15)), ("1h", timedelta(days=400)))
SHORT_CANDLES = (("1m", timedelta(hours=2)), ("1h", timedelta(days=2)))
SYMBOLS: tuple[str, ...] = IngestSettings.model_fields["symbols"].default


@dataclass(kw_only=True)
class Passage:
    """How a day went through: seconds from the start of its backfill, bytes, CPU.

    `rows`: trades that the backfill stored; `held`: in the table at its end, with those that the
    schedule polled. `cpu_us`: of each program, µs a row of `held`.
    """

    rows: int
    held: int
    stored_s: float
    logged_s: float
    applied_s: float
    wal_most_bytes: int
    slot_most_bytes: int
    cpu_us: dict[str, float]
    memory: list[Course]


def variables(rows: int) -> dict[str, str]:
    """Of a market that trades so often that the ten pairs make so many rows a day."""
    return {
        "TIDEMARK_SIMULATOR_TRADES_PER_SECOND": str(rows / DAY_S),
        "TIDEMARK_SIMULATOR_WEIGHT_LIMIT": "0",
        "TIDEMARK_STREAMS": "on",  # as live as it can be: the page is measured on it
    }


class Day:
    """A pipeline that runs, and the day that goes through it."""

    def __init__(self, stack: Stack, rows: int, *, short_past: bool = False) -> None:
        self._stack = stack
        self._rows = rows  # about
        self._short = short_past
        self._settings = current(cdc_settings(stack.env))

    @property
    def settings(self) -> CdcSettings:
        return self._settings

    def passage(self) -> dict[str, Any]:
        """Prepare the day and send it."""
        self.prepare()
        return asdict(self.go())

    def prepare(self) -> None:
        """The past of everything but trades, replicated."""
        end = datetime.now(UTC).replace(microsecond=0)
        with closing(scratch.connect(self._stack.settings, Role.OWNER)) as owner:
            for table in scratch.fetch(owner, "SELECT relname FROM pg_class WHERE relkind = 'p'"):
                for day in past.days(end):
                    scratch.fetch(owner, "SELECT ensure_partition(%s, %s)", *table, day)
            for statement in past.statements(SYMBOLS, end, short=self._short):
                owner.cursor().execute(statement)
        for interval, back in SHORT_CANDLES if self._short else CANDLES:
            say(f"backfill of {interval} candles of {back}")
            self._backfill("klines", back, "--interval", interval)
        self._wait("the past is replicated", self._is_quiet)

    def go(self) -> Passage:
        """Send the day; what it took."""
        programs = trees.programs(self._stack.settings)
        before = {name: trees.cpu_s(pid) for name, pid in programs.items()}
        with Sampler(self._stack.settings) as sampler:
            began = time.monotonic()
            told = Headway("trades in PostgreSQL", self._rows, say)
            rows = self._backfill("trades", DAY, meanwhile=lambda: told(self._about()))
            stored_s, held = time.monotonic() - began, self._held()
            self._reach("trades in Kafka", held, lambda: self._positions()[0])
            logged_s, logged = time.monotonic() - began, self._positions()[0]
            # of each partition the sink commits the beginning of the last transaction
            enough = logged - self._settings.topic_partitions
            self._reach("trades in Cassandra", enough, lambda: self._positions()[1])
            applied_s = time.monotonic() - began
        spent = {name: trees.cpu_s(pid) - before[name] for name, pid in programs.items()}
        return Passage(
            rows=rows,
            held=held,
            stored_s=round(stored_s, 1),
            logged_s=round(logged_s, 1),
            applied_s=round(applied_s, 1),
            wal_most_bytes=max((each.wal for each in sampler.samples), default=0),
            slot_most_bytes=max((each.slot for each in sampler.samples), default=0),
            cpu_us={name: round(cpu_s / held * 1e6, 1) for name, cpu_s in spent.items()},
            memory=[course(name, sampler.samples) for name in programs],
        )

    def proved(self) -> bool:
        """Whether Cassandra has every value of the day, by the product's own verification."""
        hours = str(DAY_S // 3600 + 2)
        words = ("verify", "trades", "--hours", hours, "--full-speed", "--json")
        return self._stack.tidemark(*words, timeout_s=PATIENCE_S).returncode == 0

    def _backfill(
        self, what: str, back: timedelta, *more: str, meanwhile: Callable[[], object] = lambda: None
    ) -> int:
        """Load what of a span is not there yet; the rows that were stored."""
        start = f"{datetime.now(UTC) - back:%Y-%m-%dT%H:%M:00}"
        words = ("backfill", what, *SYMBOLS, "--start", start, *more, "--json")
        said = self._command(words, meanwhile)
        return sum(outcome["stored"] for outcome in json.loads(said))

    def _command(self, words: Sequence[str], meanwhile: Callable[[], object]) -> str:
        """What a command of `tidemark` says that has to succeed."""
        deadline = time.monotonic() + PATIENCE_S
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            cwd=PROJECT_ROOT,
            env=self._stack.process_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while True:
                try:
                    said, errors = process.communicate(timeout=TELL_S)
                    break
                except subprocess.TimeoutExpired:
                    assert time.monotonic() < deadline, f"{words[0]} takes too long"
                    meanwhile()
        finally:
            ended(process)
        assert process.returncode == 0, said + errors
        return said

    def _about(self) -> int:
        """Trades in PostgreSQL, as its statistics guess without a look at them."""
        with closing(scratch.connect(self._stack.settings, Role.POSTGRES_ADMIN)) as admin:
            return int(scratch.value(admin, ABOUT))

    def _held(self) -> int:
        with closing(scratch.connect(self._stack.settings, Role.READER)) as reader:
            return int(scratch.value(reader, "SELECT count(*) FROM trades"))

    def _positions(self) -> tuple[int, int]:
        """Events of trades in Kafka, and how many of them the sink has committed."""
        topic = topic_of("trades", self._settings.generation)
        with Topics(self._settings) as broker:
            starts, ends = broker.start_offsets([topic]), broker.end_offsets([topic])
            committed = broker.committed(self._settings.sink_group)
        first = sum(starts.values())
        done_to = sum(committed.get(key, start) for key, start in starts.items())
        return sum(ends.values()) - first, done_to - first

    def _is_quiet(self) -> bool:
        """Whether only what the schedule brings is on its way, from PostgreSQL and from Kafka."""
        with closing(scratch.connect(self._stack.settings, Role.POSTGRES_ADMIN)) as admin:
            if scratch.value(admin, BEHIND) > QUIET_BYTES:
                return False
        topics = [topic_of(each.table, self._settings.generation) for each in SOURCES]
        with Topics(self._settings) as broker:
            return sum(broker.lag(self._settings.sink_group, topics).values()) < QUIET

    def _reach(self, what: str, goal: int, done: Callable[[], int]) -> None:
        told = Headway(what, goal, say)

        def reached() -> bool:
            there = done()
            told(there)
            return there >= goal

        self._wait(what, reached)

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
            time.sleep(1)
        say(f"{what}: done")


def start(stack: Stack, rows: int) -> Stack:
    """The same stack with everything of ours running on such a market."""
    market = Stack(stack.settings, stack.env | variables(rows))
    done(market, "up")
    return market
