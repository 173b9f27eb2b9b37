"""Connect stands still for hours: what the slot retains, with shedding and without. Simulated.

The decision is the real one (`watch.shedding`), a step is two seconds. Around it stand PostgreSQL
as it treats a slot (lost at the first checkpoint beyond the limit), a watch that looks each five
seconds and is sometimes away, an ingester that obeys a step later, and streams that burst. All
chance is drawn from a seed.

Bytes of WAL a row: `python -m tests.benchmarks.wal`, 2026-11-21, PostgreSQL 18.1, the full pages
after a checkpoint included; statistics with their history and rankings. Rows a second: the default
schedule with 1,400 trading symbols (prices each 10 s, statistics each 15 s), and ten pairs in full
that trade 150 times a second together. A price bears its share of the contract's events: 24 of 495
bytes beside 140 prices of 310. That is 155 kB a second, of which 42 are never shed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from contracts.shedding import ALL, NONE, ORDER, shed
from watch.shedding import Level, Reading, Shedding

MB = 1 << 20
HOUR = 3600
START = datetime(2026, 11, 21, tzinfo=UTC)

BYTES_A_ROW = {
    "depth": 2_450, "trades": 355, "prices": 395, "klines": 525, "tickers": 440, "heartbeat": 250,
}  # fmt: skip
ROWS_A_SECOND = {
    "depth": 2.0, "trades": 150.0, "prices": 140.0, "klines": 1.0, "tickers": 93.0,
    "heartbeat": 1.0,
}  # fmt: skip
NEVER_SHED = ROWS_A_SECOND.keys() - set(ORDER)

LIMIT = 4096 * MB  # TIDEMARK_POSTGRES_MAX_SLOT_WAL_KEEP_MB, default
MAX_WAL_SIZE = 1024 * MB
CHECKPOINT_S = 600
STEP_S, WATCH_S = 2, 5  # ingest reads the level in each step


def bytes_a_second(streams: set[str] | frozenset[str], factor: float = 1) -> float:
    return factor * sum(ROWS_A_SECOND[each] * BYTES_A_ROW[each] for each in streams)


@dataclass
class Run:
    """One simulated outage."""

    seed: int
    guarded: bool = True
    limit: int = LIMIT
    factor: float = 1  # of all rates
    drain: float = 0  # bytes a second that Debezium reads, once Connect is back
    now_s: int = 0
    retained: float = 0
    lost_at_s: int | None = None
    most: float = 0
    obeyed: int = NONE
    turns: list[tuple[int, int]] = field(default_factory=list)  # (second, level)
    written: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ROWS_A_SECOND, 0.0))

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.shedding = Shedding(Level(level=NONE, since=START, reason="start"))
        self.watch_at, self.burst_until = 0, 0

    def go(self, seconds: int, *, connected: bool = False) -> Run:
        for _ in range(seconds // STEP_S):
            self.now_s += STEP_S
            self._write()
            if connected:
                self.retained = max(0.0, self.retained - self.drain * STEP_S)
            self._postgres()
            if self.guarded:
                self.obeyed = self.shedding.level.level  # of before this round of the watch
                self._watch()
        return self

    def _write(self) -> None:
        """Each stream that is not shed; trades burst to ten times their rate, now and then."""
        if self.random.random() < STEP_S / (2 * HOUR):
            self.burst_until = self.now_s + self.random.randint(60, 900)
        for stream, rate in ROWS_A_SECOND.items():
            if stream in shed(self.obeyed):
                continue
            factor = self.factor * self.random.uniform(0.8, 1.2) * STEP_S
            if stream == "trades" and self.now_s < self.burst_until:
                factor *= 10
            self.written[stream] += rate * factor
            self.retained += rate * factor * BYTES_A_ROW[stream]

    def _postgres(self) -> None:
        self.most = max(self.most, self.retained)
        if self.retained > self.limit and self.now_s % CHECKPOINT_S == 0:
            self.lost_at_s = self.now_s if self.lost_at_s is None else self.lost_at_s

    def _watch(self) -> None:
        if self.now_s < self.watch_at:
            return
        away_s = self.random.randint(30, 90) if self.random.random() < 0.002 else 0  # restarted
        self.watch_at = self.now_s + WATCH_S + away_s
        before = self.shedding.level.level
        now = START + timedelta(seconds=self.now_s)
        reading = Reading(
            at=now, retained=int(self.retained), limit=self.limit, wal_status=self._status()
        )
        level = self.shedding.decide(reading, now).level
        if level != before:
            self.turns.append((self.now_s, level))

    def _status(self) -> str:
        if self.lost_at_s is not None:
            return "lost"
        if self.retained > self.limit:
            return "unreserved"
        return "reserved" if self.retained < MAX_WAL_SIZE else "extended"


@pytest.mark.parametrize("seed", range(3))
def test_slot_outlives_an_outage_that_would_have_cost_it(seed: int) -> None:
    """Ten hours without Connect: lost without shedding, well below the limit with it."""
    unguarded = Run(seed, guarded=False).go(10 * HOUR)
    assert unguarded.lost_at_s is not None
    assert unguarded.lost_at_s < 9 * HOUR
    guarded = Run(seed).go(10 * HOUR)
    assert guarded.lost_at_s is None
    assert guarded.most < 0.95 * LIMIT


@pytest.mark.parametrize("seed", range(3))
def test_levels_rise_in_order_and_what_is_never_shed_flows_on(seed: int) -> None:
    """Depth, then trades, then prices; candles, statistics and heartbeats at their full rate."""
    run = Run(seed).go(10 * HOUR)
    assert [level for _, level in run.turns] == [1, 2, 3]
    for stream in NEVER_SHED:
        assert run.written[stream] == pytest.approx(ROWS_A_SECOND[stream] * 10 * HOUR, rel=0.02)
    begun = [run.turns[ORDER.index(stream)][0] for stream in ("depth", "prices")]
    for stream, second in zip(("depth", "prices"), begun, strict=True):
        assert run.written[stream] == pytest.approx(ROWS_A_SECOND[stream] * second, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_a_sudden_load_is_met_before_the_limit(seed: int) -> None:
    """Forty times the load fills 1 GB in three minutes: all is shed with a third of it to spare.

    The delays of watch and ingest are part of that. Without shedding the next checkpoint takes it.
    """
    limit = 1024 * MB
    assert Run(seed, guarded=False, limit=limit, factor=40).go(HOUR).lost_at_s == CHECKPOINT_S
    guarded = Run(seed, limit=limit, factor=40)
    while guarded.obeyed < ALL:
        guarded.go(STEP_S)
    assert guarded.most < 2 / 3 * limit


def test_what_is_never_shed_fills_the_limit_in_the_end_and_the_watch_says_when() -> None:
    """Shedding buys time: the slot is lost after 12 to 16 hours instead of 7 to 9.

    What is left at the last step lasts six hours, and that is what the watch reports.
    """
    run = Run(seed=1)
    while run.shedding.level.level < ALL:
        run.go(60)
    at_last_step_s = run.now_s
    run.go(120)
    told_s = run.shedding.time_left_s()
    assert told_s is not None
    assert told_s == pytest.approx(0.25 * LIMIT / bytes_a_second(NEVER_SHED), rel=0.15)
    while run.lost_at_s is None:
        run.go(600)
    assert 12 * HOUR < run.lost_at_s < 16 * HOUR
    assert run.lost_at_s - at_last_step_s == pytest.approx(told_s, rel=0.2)


def test_a_lost_slot_makes_ingest_collect_again() -> None:
    """Nothing is left to save, so nothing more is given up."""
    run = Run(seed=1)
    while run.lost_at_s is None:
        run.go(600)
    run.go(60)
    assert run.obeyed == NONE


@pytest.mark.parametrize("seed", range(3))
def test_when_connect_is_back_it_drains_and_clears_a_step_at_a_time(seed: int) -> None:
    """Debezium reads 5 MB/s: after the backlog is gone, all flows again, without a step back."""
    run = Run(seed, drain=5 * MB).go(8 * HOUR).go(HOUR, connected=True)
    assert [level for _, level in run.turns] == [*range(1, max_level(run) + 1), *falling(run)]
    assert run.obeyed == NONE
    falls = [second for second, level in run.turns if second > 8 * HOUR]
    assert all(b - a >= 60 for a, b in pairwise(falls))


def max_level(run: Run) -> int:
    return max(level for _, level in run.turns)


def falling(run: Run) -> range:
    return range(max_level(run) - 1, -1, -1)


@pytest.mark.parametrize("seed", range(2))
def test_a_slow_debezium_makes_the_level_move_seldom(seed: int) -> None:
    """It reads less than ingest writes at full load, and more than at the first step, for a day.

    So depth comes and goes; the dead zone makes that a matter of hours.
    """
    drain = bytes_a_second(frozenset(ROWS_A_SECOND) - {"depth"}) + 15_000
    run = Run(seed, drain=drain).go(4 * HOUR).go(24 * HOUR, connected=True)
    assert run.lost_at_s is None
    assert len(run.turns) <= 12
    assert all(b - a >= 60 for (a, _), (b, _) in pairwise(run.turns))
