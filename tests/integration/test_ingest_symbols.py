"""Symbols come, go, halt and return while the ingester runs, against a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest import rounds
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.conftest import Stack, free_ports
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for, tidemark

pytestmark = pytest.mark.integration

LINK, BTC = "LINKUSDT", "BTCUSDT"
eventually = partial(rig.eventually, timeout_s=120)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """One for each test: what is listed does not come back by itself."""
    started = Simulator(free_ports(1)[0])
    with started.running():
        started.reset(60_000)
        yield started


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[PostgresEndpoint]:
    with scratch.migrated_database(stack.settings) as made:
        yield made


@pytest.fixture
def owner(database: PostgresEndpoint) -> Iterator[scratch.Connection]:
    with closing(scratch.connect(database)) as connection:
        scratch.empty(connection)
        yield connection


@pytest.fixture(params=["off", "on"])
def settings(
    database: PostgresEndpoint,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> IngestSettings:
    """By polls and by streams; exchangeInfo is read a second after somebody has a doubt."""
    monkeypatch.setattr(rounds, "_REFRESH_S", 1.0)
    polled = settings_for(database, simulator, tmp_path)
    return polled.model_copy(update={"streams": request.param, "symbols": (BTC, LINK)})


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tidemark_ingest_{name}", labels) or 0.0


def count(owner: scratch.Connection, symbol: str, table: str = "trades") -> int:
    query = f"SELECT count(*) FROM {table} WHERE symbol = %s"
    return int(scratch.fetch(owner, query, symbol)[0][0])


def goes_on(owner: scratch.Connection, symbol: str, table: str = "trades") -> None:
    before = count(owner, symbol, table)
    eventually(lambda: count(owner, symbol, table) > before)


def happened(owner: scratch.Connection, symbol: str) -> list[str]:
    query = "SELECT kind FROM events WHERE symbol = %s ORDER BY at"
    return [kind for (kind,) in scratch.fetch(owner, query, symbol)]


def listings(owner: scratch.Connection, symbol: str) -> list[tuple[Any, ...]]:
    query = "SELECT base_asset, listed_at, delisted_at FROM listings WHERE symbol = %s ORDER BY 2"
    return list(scratch.fetch(owner, query, symbol))


def test_a_symbol_that_is_halted_rests_and_goes_on_when_it_is_resumed(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Noticed by the statistics of what is traded, without waiting for the hour's exchangeInfo."""
    with ingesting(settings):
        eventually(lambda: count(owner, LINK) and count(owner, LINK, "depth"))
        simulator.list_anew(LINK, "HALT")
        eventually(lambda: happened(owner, LINK) == ["halt"])
        goes_on(owner, BTC)
        since = len(simulator.log())
        for _ in range(3):
            goes_on(owner, BTC, "depth")
        assert not any(LINK in one["query"] for one in simulator.log()[since:])
        simulator.list_anew(LINK, "TRADING")
        eventually(lambda: happened(owner, LINK) == ["halt", "resumption"])
        goes_on(owner, LINK)
        goes_on(owner, LINK, "depth")
    assert len(listings(owner, LINK)) == 1


def test_a_name_that_comes_back_as_another_asset_is_told_apart(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Delisted, then listed with another base asset: ids from 0, other prices, one boundary.

    Every row is of one of the two listings by its time, and no trade of either is missing.
    """
    with ingesting(settings):
        eventually(lambda: count(owner, LINK) and count(owner, LINK, "klines"))
        simulator.list_anew(LINK, "BREAK")
        eventually(lambda: "halt" in happened(owner, LINK))
        simulator.list_anew(LINK, "GONE")
        eventually(lambda: "delisting" in happened(owner, LINK))
        eventually(lambda: metric("watched_symbols") == 1)
        goes_on(owner, BTC)
        simulator.list_anew(LINK, "TRADING", base="LUNA2")
        eventually(lambda: "relisting" in happened(owner, LINK))
        eventually(lambda: metric("watched_symbols") == 2)
        young = "SELECT count(*) FROM trades WHERE symbol = 'LINKUSDT' AND trade_id < 100000"
        eventually(lambda: scratch.value(owner, young) > 10)
        goes_on(owner, LINK, "depth")
    (old, new) = listings(owner, LINK)
    assert (old[0], new[0]) == ("LINK", "LUNA2")
    assert old[2] == new[1], "where the one ends the other begins"
    query = (
        "SELECT t.trade_id, t.price FROM trades AS t WHERE symbol = 'LINKUSDT' "
        "AND (traded_at >= %s) = %s ORDER BY traded_at, trade_id"
    )
    before = scratch.fetch(owner, query, new[1], False)
    after = scratch.fetch(owner, query, new[1], True)
    for found in (before, after):
        ids = [trade_id for trade_id, _ in found]
        assert all(b == a + 1 for a, b in pairwise(ids))
    assert min(trade_id for trade_id, _ in before) > 1_000_000
    assert max(trade_id for trade_id, _ in after) < 100_000
    assert min(price for _, price in before) > 5 * max(price for _, price in after)
    assert scratch.value(owner, "SELECT count(*) FROM gaps") == 0


def test_a_restart_knows_that_a_name_has_become_another_asset(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """It happened while nobody looked: the assets differ, and the ids have fallen."""
    with ingesting(settings):
        eventually(lambda: count(owner, LINK) and count(owner, LINK, "ticker_24h"))
    simulator.list_anew(LINK, "GONE")
    simulator.list_anew(LINK, "TRADING", base="LUNA2")
    with ingesting(settings):
        young = "SELECT count(*) FROM trades WHERE symbol = 'LINKUSDT' AND trade_id < 100000"
        eventually(lambda: scratch.value(owner, young) > 10)
    (old, new) = listings(owner, LINK)
    last = "SELECT max(traded_at) FROM trades WHERE symbol = 'LINKUSDT' AND trade_id > 100000"
    first = "SELECT min(traded_at) FROM trades WHERE symbol = 'LINKUSDT' AND trade_id < 100000"
    assert (old[0], new[0]) == ("LINK", "LUNA2")
    assert scratch.value(owner, last) < new[1] <= scratch.value(owner, first)
    assert scratch.value(owner, "SELECT count(*) FROM gaps") == 0


def test_a_pattern_follows_what_is_listed(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """A symbol that comes is watched, polled and streamed within seconds, and one that goes is not.

    Nobody restarts anything.
    """
    watched = settings.model_copy(update={"symbols": ("B?CUSDT", "LI?KUSDT")})
    simulator.list_anew(LINK, "GONE")
    with ingesting(watched):
        eventually(lambda: count(owner, BTC))
        before = metric("watched_symbols")
        simulator.list_anew(LINK, "TRADING")
        eventually(lambda: happened(owner, LINK) == ["listing"])
        eventually(lambda: metric("watched_symbols") == before + 1)
        for table in ("trades", "klines", "depth"):
            eventually(lambda table=table: count(owner, LINK, table))
        if settings.streams == "on":
            eventually(lambda: metric("streams_wanted") == metric("streams_live"))
            assert metric("streams_wanted") == 4 * (before + 1) + 1
            eventually(lambda: metric("books_live") == before + 1)
        simulator.list_anew(LINK, "GONE")
        eventually(lambda: metric("watched_symbols") == before)
        if settings.streams == "on":
            eventually(lambda: metric("streams_wanted") == 4 * before + 1)
        goes_on(owner, BTC)
    assert scratch.value(owner, "SELECT count(*) FROM gaps WHERE state = 'open'") == 0


def test_the_most_traded_are_watched(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """By the exchange's own turnovers, before the first poll of a symbol."""
    statistics = simulator.get("/api/v3/ticker/24hr", symbolStatus="TRADING")
    ours = [one for one in statistics if one["symbol"].endswith("USDT")]
    ours.sort(key=lambda one: float(one["quoteVolume"]), reverse=True)
    best = {one["symbol"] for one in ours[:4]}
    top = settings.model_copy(update={"symbols": ("*USDT",), "symbols_top": 4})
    done = tidemark(top, "ingest", "--once")
    assert done.returncode == 0, done.stderr
    found = scratch.fetch(owner, "SELECT DISTINCT symbol FROM depth")
    assert {symbol for (symbol,) in found} == best


def test_a_pattern_that_the_exchange_cannot_carry_is_refused_with_the_arithmetic(
    simulator: Simulator, settings: IngestSettings
) -> None:
    """Exit code 2, and what to set instead."""
    simulator.reset(weight_limit=6000)
    every = {"trades_every_s": 5.0, "depth_every_s": 5.0, "klines_every_s": 300.0}
    done = tidemark(settings.model_copy(update={"symbols": ("*USDT",), **every}), "ingest")
    assert done.returncode == 2
    assert "TIDEMARK_SYMBOLS_TOP" in done.stderr
    assert "trades: " in done.stderr
