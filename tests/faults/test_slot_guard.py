"""The slot guard on the real stack: Connect stands still, load is shed in order, the slot lives.

A pipeline of its own, with room for 128 MB of WAL and an exchange that fills it in minutes.
Without shedding the slot would be lost: the rate before, times the length of the fault, says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from contracts.naming import Role, slot_name
from contracts.shedding import ALL, ORDER
from tests.conftest import (
    Pipeline,
    discard,
    fresh_environment,
    fresh_folder,
    settings_of,
)
from tests.faults.rig import Rig, metrics_of
from tests.faults.trial import Trial

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1500)]

KEEP_MB = 128
SHED_WITHIN_S = 150  # the first stream
ALL_SHED_WITHIN_S = 480  # prices go last: alone they need minutes to come near the limit
CALM_SHARE = 0.15  # of the limit, before the fault
VARIABLES = {
    "TIDEMARK_POSTGRES_MAX_SLOT_WAL_KEEP_MB": str(KEEP_MB),
    "TIDEMARK_WATCH_SHEDDING_CLEAR_S": "15",
    "TIDEMARK_SIMULATOR_TRADES_PER_SECOND": "1500",
    "TIDEMARK_SIMULATOR_WEIGHT_LIMIT": "0",
    "TIDEMARK_WEIGHT_SHARE": "1",
    "TIDEMARK_SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT",
    "TIDEMARK_TRADES_EVERY_S": "2",
    "TIDEMARK_PRICES_EVERY_S": "1",
    "TIDEMARK_DEPTH_EVERY_S": "2",
}
SLOT = """
SELECT wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
  FROM pg_replication_slots WHERE slot_name = %s
"""


@pytest.fixture(scope="module")
def small(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A pipeline whose slot may retain little."""
    kept: Path | None = request.config.getoption("--keep-stack")
    folder = fresh_folder() if kept is None else kept.resolve() / "slot-guard"
    known = folder / "test-environment.json"
    if not known.exists():
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(fresh_environment(folder)))
    environment = json.loads(known.read_text()) | VARIABLES
    pipeline = Pipeline(settings_of(environment), environment)
    try:
        done = pipeline.tidemark("up", timeout_s=600)
        assert done.returncode == 0, done.stdout + done.stderr
        rig = Rig(pipeline, request.config.getoption("--patience"))
        yield rig
        rig.close()
    finally:
        if kept is None:  # else it is ended by --end-stack=FOLDER/slot-guard
            discard(pipeline, keep_logs=request.session.testsfailed > 0)


@dataclass
class Look:
    """The slot and the level, at one moment."""

    at_s: float
    status: str
    retained: int
    level: int


@dataclass
class Observer:
    """Looks at slot and level each second for the length of a block."""

    rig: Rig
    looks: list[Look] = field(default_factory=list)

    @contextmanager
    def looking(self) -> Iterator[Observer]:
        ended = Event()
        thread = Thread(target=self._run, args=(ended,))
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join(30)

    def _run(self, ended: Event) -> None:
        while not ended.wait(1):
            status, retained = slot(self.rig)
            (level,) = self.rig.sql("SELECT level FROM load_shedding")[0]
            self.looks.append(Look(time.monotonic(), status, retained, level))

    def levels(self) -> list[int]:
        """Each level in its turn."""
        seen: list[int] = []
        for look in self.looks:
            if not seen or seen[-1] != look.level:
                seen.append(look.level)
        return seen

    def rate(self) -> float:
        """Bytes a second before anything was shed."""
        before = [look for look in self.looks if look.level == 0]
        first, last = before[0], before[-1]
        return (last.retained - first.retained) / (last.at_s - first.at_s)


def slot(rig: Rig) -> tuple[str, int]:
    (status, retained) = rig.sql(SLOT, slot_name(rig.cdc.generation), role=Role.POSTGRES_ADMIN)[0]
    return status, retained


def calm(rig: Rig) -> bool:
    """Whether the slot retains little and nothing is shed."""
    return slot(rig)[1] < CALM_SHARE * (KEEP_MB << 20) and ingest_level(rig) == 0


def gaps(rig: Rig, state: str) -> set[str]:
    """Streams with such a row of `gaps` that shedding made."""
    rows = rig.sql("SELECT DISTINCT stream FROM gaps WHERE cause = 'shed' AND state = %s", state)
    return {stream for (stream,) in rows}


def rows(rig: Rig) -> dict[str, int]:
    """Rows of what can be shed."""
    return {
        table: rig.sql(f"SELECT count(*) FROM {table} WHERE venue = 'simulator'")[0][0]
        for table in ORDER
    }


def newest_candle(rig: Rig) -> datetime:
    found: datetime = rig.sql("SELECT max(as_of) FROM klines WHERE venue = 'simulator'")[0][0]
    return found


def ingest_level(rig: Rig) -> float:
    """What ingest obeys."""
    text = metrics_of(int(rig.pipeline.env["TIDEMARK_INGEST_METRICS_PORT"]))
    return next(
        float(line.split()[1])
        for line in text.splitlines()
        if line.startswith("tidemark_ingest_shedding_level ")
    )


def test_slot_outlives_a_connect_that_stands_still(small: Rig, trial: Trial) -> None:
    """Levels rise in order, WAL stays below the limit, candles flow; then all is made good."""
    rig = small
    rig.ensure_healthy()
    rig.until("the slot is calm", lambda: calm(rig) or None, 120)
    with rig.under_load(trial, tps=5):
        with Observer(rig).looking() as frozen, rig.frozen("connect") as pid:
            began = time.monotonic()
            trial.note(rig.alarm("shedding", within_s=SHED_WITHIN_S))
            rig.until("all is shed", lambda: ingest_level(rig) == ALL or None, ALL_SHED_WITHIN_S)
            shown = rig.pipeline.tidemark("status").stdout
            assert f"{', '.join(ORDER)} since" in shown, shown
            before, candles = rows(rig), newest_candle(rig)
            full_s = 1.1 * (KEEP_MB << 20) / frozen.rate()
            time.sleep(max(15.0, began + full_s - time.monotonic()))
            assert rows(rig) == before
            assert newest_candle(rig) > candles
            assert gaps(rig, "open") == set(ORDER)
        length_s = time.monotonic() - began
        most = max(look.retained for look in frozen.looks)
        without = frozen.rate() * length_s
        trial.happened(
            f"Connect {pid} stopped for {length_s:.0f} s; {most >> 20} of {KEEP_MB} MB retained at "
            f"most, {without / 2**20:.0f} MB at the rate of before shedding"
        )
        assert frozen.levels() == [*range(ALL + 1)]
        assert without > KEEP_MB << 20, "without shedding it would not have been lost either"
        assert most < KEEP_MB << 20
        assert {look.status for look in frozen.looks} <= {"reserved", "extended"}
        rig.recover(trial, within_s=120)
        rig.until("nothing is shed", lambda: ingest_level(rig) == 0 or None, 120)
        rig.until("trades are read back", lambda: not gaps(rig, "open") or None, 180)
    assert gaps(rig, "repaired") == {"trades"}
    assert gaps(rig, "unprovable") == {"depth", "prices"}
    holes = rig.sql(
        "SELECT symbol, before, trade_id FROM (SELECT symbol, trade_id, lag(trade_id) OVER "
        "(PARTITION BY symbol ORDER BY trade_id) AS before FROM trades WHERE venue = 'simulator') "
        "AS t WHERE trade_id > before + 1"
    )
    named = rig.sql("SELECT symbol, first_missing FROM gaps WHERE state = 'exchange-confirmed'")
    assert {(s, b + 1) for s, b, _ in holes} <= set(named)
