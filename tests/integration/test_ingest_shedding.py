"""Load is shed and collected again: simulated exchange, real ingester, real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from ingest import readback
from ingest.batch import Batch
from ingest.binance.limits import utc_now
from ingest.settings import IngestSettings
from ingest.shedding import UNPOLLED
from ingest.span import from_ms, in_ms
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.conftest import free_ports
from tests.integration import scratch
from tests.integration.ingesting import Simulator, eventually, ingesting, settings_for
from tests.market_rows import gap, trade

pytestmark = pytest.mark.integration

PATHS = {"depth": "/api/v3/depth", "trades": "/api/v3/trades", "prices": "/api/v3/ticker/price"}
KLINES = "/api/v3/klines"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    started = Simulator(free_ports(1)[0])
    with started.running():
        started.reset(20_000)
        yield started


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    return settings_for(database, simulator, tmp_path)


def shed(owner: scratch.Connection, level: int, age: str = "0 s") -> None:
    """Say it as the watch does."""
    owner.cursor().execute(
        "UPDATE load_shedding SET level = %s, at = clock_timestamp() - %s::interval", (level, age)
    )


def silent(simulator: Simulator, streams: set[str]) -> bool:
    """Whether exactly these streams are not asked for, over some polls of candles."""
    since = len(simulator.log())
    eventually(lambda: sum(r["path"] == KLINES for r in simulator.log()[since:]) >= 5)
    asked = {request["path"] for request in simulator.log()[since:]}
    return {stream for stream, path in PATHS.items() if path not in asked} == streams


def gaps(owner: scratch.Connection, state: str) -> set[tuple[str, str]]:
    rows = scratch.fetch(
        owner, "SELECT stream, symbol FROM gaps WHERE cause = 'shed' AND state = %s", state
    )
    return set(rows)


def rows_of(owner: scratch.Connection, table: str) -> int:
    return int(scratch.value(owner, f"SELECT count(*) FROM {table}"))


def assert_no_trade_is_missing(owner: scratch.Connection, symbols: tuple[str, ...]) -> None:
    for symbol in symbols:
        found = scratch.fetch(
            owner, "SELECT trade_id FROM trades WHERE symbol = %s ORDER BY 1", symbol
        )
        ids = [trade_id for (trade_id,) in found]
        assert all(b == a + 1 for a, b in pairwise(ids)), symbol


def test_streams_go_in_order_and_come_back_with_their_gaps(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Depth, trades, prices; never candles. Trades are read back, the rest stays recorded."""
    symbols = settings.symbols
    shed(owner, 0)
    with ingesting(settings):
        eventually(lambda: rows_of(owner, "trades") and rows_of(owner, "depth"))
        for level, streams in enumerate(({"depth"}, {"depth", "trades"}, set(PATHS)), start=1):
            shed(owner, level)
            eventually(partial(silent, simulator, streams))
        wanted = {(stream, symbol) for stream in ("depth", "trades") for symbol in symbols}
        wanted.add(("prices", "*"))
        eventually(lambda: gaps(owner, "open") == wanted)
        shed(owner, 0)
        eventually(lambda: not gaps(owner, "open"))
        eventually(lambda: silent(simulator, set()))
    assert gaps(owner, "repaired") == {key for key in wanted if key[0] == "trades"}
    assert gaps(owner, "unprovable") == {key for key in wanted if key[0] != "trades"}
    assert scratch.value(owner, "SELECT min(last_missing - first_missing) FROM gaps") > 0
    assert_no_trade_is_missing(owner, symbols)


def test_a_crash_while_shedding_leaves_no_silent_hole(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Ended while trades are shed, started again when they are not: the gap is found and filled."""
    shed(owner, 0)
    with ingesting(settings):
        eventually(lambda: rows_of(owner, "trades"))
        shed(owner, 2)
        eventually(lambda: len(gaps(owner, "open")) == 4)
    shed(owner, 0)
    before = rows_of(owner, "trades")
    with ingesting(settings):
        eventually(lambda: not gaps(owner, "open"))
        eventually(lambda: rows_of(owner, "trades") > before)
    assert len(gaps(owner, "repaired")) == 2
    assert_no_trade_is_missing(owner, settings.symbols)


def test_a_hole_that_is_too_long_for_a_poll_is_read_back_with_patience(
    settings: IngestSettings, owner: scratch.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll leaves it open, with its cause; pages fill it, and then it is repaired."""
    monkeypatch.setattr(readback, "LOOK_S", 0.5)
    hasty = settings.model_copy(update={"trade_repair_limit": 0})
    shed(owner, 0)
    with ingesting(hasty):
        eventually(lambda: rows_of(owner, "trades"))
        shed(owner, 2)
        eventually(lambda: len(gaps(owner, "open")) == 4)
        held = scratch.value(owner, "SELECT max(trade_id) FROM trades WHERE symbol = 'BTCUSDT'")
        shed(owner, 0)
        eventually(lambda: len(gaps(owner, "repaired")) == 2)
    first = scratch.value(
        owner, "SELECT first_missing FROM gaps WHERE symbol = 'BTCUSDT' AND state = 'repaired'"
    )
    assert first == held + 1
    assert_no_trade_is_missing(owner, settings.symbols)


def test_a_gap_that_was_only_begun_is_not_done_with_its_first_id(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a symbol that nobody polls any more: as far as the next trade that is held, or unknown."""
    monkeypatch.setattr(readback, "LOOK_S", 0.5)
    newest = simulator.get("/api/v3/trades", symbol="ETHUSDT", limit=1)[0]["id"]
    first, beyond, unknown = newest - 5000, newest - 4970, newest - 1000
    (told,) = simulator.get("/api/v3/historicalTrades", symbol="ETHUSDT", fromId=beyond, limit=1)
    held = trade(
        beyond, venue="simulator", symbol="ETHUSDT", traded_at=from_ms(told["time"] // 1000 * 1000)
    )
    now = utc_now()
    begun = [
        gap(
            at, last_missing=at, venue="simulator", symbol="ETHUSDT", stream=stream, cause="shed",
            detected_at=now, as_of=now,
        )
        for stream, at in (("trades", first), ("trades", unknown), ("depth", in_ms(now)))
    ]  # fmt: skip
    store = Store(settings)
    store.write(Batch(trades=[held], gaps=begun))
    store.close()
    shed(owner, 0)
    with ingesting(settings.model_copy(update={"symbols": ("BTCUSDT",)})):
        eventually(lambda: not gaps(owner, "open"))
    rows = scratch.fetch(
        owner,
        "SELECT stream, first_missing, last_missing, state, detail FROM gaps "
        "WHERE symbol = 'ETHUSDT' ORDER BY stream, first_missing",
    )
    assert [(row[0], row[3]) for row in rows] == [
        ("depth", "unprovable"), ("trades", "repaired"), ("trades", "unprovable"),
    ]  # fmt: skip
    assert rows[0][2] > rows[0][1]
    assert rows[1][1:3] == (first, beyond - 1)
    assert rows[2][1:3] == (unknown, unknown)
    assert all(row[4].endswith(UNPOLLED) for row in (rows[0], rows[2]))
    count = "SELECT count(*) FROM trades WHERE symbol = 'ETHUSDT'"
    assert scratch.value(owner, count) == beyond - first + 1


def test_a_level_that_nobody_confirms_is_ignored(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """The watch died an hour ago while it shed: ingest collects everything."""
    shed(owner, 3, age="1 h")
    with ingesting(settings):
        eventually(lambda: rows_of(owner, "trades") and rows_of(owner, "depth"))
        assert silent(simulator, set())
    shed(owner, 0)
