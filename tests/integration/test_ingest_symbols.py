"""Symbols come, go, halt and return while the ingester runs, against a real PostgreSQL."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest import rounds
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for, tidemark

pytestmark = pytest.mark.integration

BTC = "BTCUSDT"
eventually = partial(rig.eventually, timeout_s=120)


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    exchange.reset(60_000)
    return exchange


FRESH = iter(("LINK", "ADA", "TRX", "SUI", "XRP", "DOGE", "SOL", "BNB"))


@pytest.fixture
def asset() -> str:
    """One that no other test has spoilt: what was delisted does not come back as it was."""
    return next(FRESH)


@pytest.fixture
def symbol(asset: str) -> str:
    return f"{asset}USDT"


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
    return polled.model_copy(update={"streams": request.param, "symbols": (BTC,)})


def watching(settings: IngestSettings, *symbols: str) -> IngestSettings:
    return settings.model_copy(update={"symbols": symbols})


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
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection, symbol: str
) -> None:
    """Noticed by the statistics of what is traded, without waiting for the hour's exchangeInfo."""
    with ingesting(watching(settings, BTC, symbol)):
        eventually(lambda: count(owner, symbol) and count(owner, symbol, "depth"))
        simulator.list_anew(symbol, "HALT")
        eventually(lambda: happened(owner, symbol) == ["halt"])
        goes_on(owner, BTC)
        since = len(simulator.log())
        for _ in range(3):
            goes_on(owner, BTC, "depth")
        assert not any(symbol in one["query"] for one in simulator.log()[since:])
        simulator.list_anew(symbol, "TRADING")
        eventually(lambda: happened(owner, symbol) == ["halt", "resumption"])
        goes_on(owner, symbol)
        goes_on(owner, symbol, "depth")
    assert len(listings(owner, symbol)) == 1


def test_a_name_that_comes_back_as_another_asset_is_told_apart(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection, asset: str
) -> None:
    """Delisted, then listed with another base asset: ids from 0, other prices, one boundary.

    Every row is of one of the two listings by its time, and no trade of either is missing.
    """
    symbol = f"{asset}USDT"
    with ingesting(watching(settings, BTC, symbol)):
        eventually(lambda: count(owner, symbol) and count(owner, symbol, "klines"))
        if settings.streams == "off":  # it goes while it is traded, which is seen
            simulator.list_anew(symbol, "GONE")
            eventually(lambda: happened(owner, symbol) == ["delisting"])
            eventually(lambda: metric("watched_symbols") == 1)
        else:  # it is halted, and leaves the list when nobody reads it
            simulator.list_anew(symbol, "BREAK")
            eventually(lambda: happened(owner, symbol) == ["halt"])
            simulator.list_anew(symbol, "GONE")
        goes_on(owner, BTC)
        simulator.list_anew(symbol, "TRADING", base="LUNAV")
        eventually(lambda: "relisting" in happened(owner, symbol))
        eventually(lambda: metric("watched_symbols") == 2)
        young = "SELECT count(*) FROM trades WHERE symbol = %s AND trade_id < 100000"
        eventually(lambda: scratch.value(owner, young, symbol) > 10)
        goes_on(owner, symbol, "depth")
    (old, new) = listings(owner, symbol)
    assert (old[0], new[0]) == (asset, "LUNAV")
    assert old[2] == new[1], "where the one ends the other begins"
    query = (
        "SELECT t.trade_id, t.price FROM trades AS t WHERE symbol = %s "
        "AND (traded_at >= %s) = %s ORDER BY traded_at, trade_id"
    )
    before = scratch.fetch(owner, query, symbol, new[1], False)
    after = scratch.fetch(owner, query, symbol, new[1], True)
    for found in (before, after):
        ids = [trade_id for trade_id, _ in found]
        assert all(b == a + 1 for a, b in pairwise(ids))
    assert min(trade_id for trade_id, _ in before) > 1_000_000
    assert max(trade_id for trade_id, _ in after) < 100_000
    old_price, new_price = before[-1][1], after[0][1]
    assert not 0.5 < old_price / new_price < 2
    assert scratch.value(owner, "SELECT count(*) FROM gaps") == 0


def test_a_restart_knows_that_a_name_has_become_another_asset(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection, asset: str
) -> None:
    """It happened while nobody looked: the assets differ, and the ids have fallen."""
    symbol = f"{asset}USDT"
    with ingesting(watching(settings, BTC, symbol)):
        eventually(lambda: count(owner, symbol) and count(owner, symbol, "ticker_24h"))
    simulator.list_anew(symbol, "GONE")
    simulator.list_anew(symbol, "TRADING", base="LUNAV")
    with ingesting(watching(settings, BTC, symbol)):
        young = "SELECT count(*) FROM trades WHERE symbol = %s AND trade_id < 100000"
        eventually(lambda: scratch.value(owner, young, symbol) > 10)
    (old, new) = listings(owner, symbol)
    last = "SELECT max(traded_at) FROM trades WHERE symbol = %s AND trade_id > 100000"
    first = "SELECT min(traded_at) FROM trades WHERE symbol = %s AND trade_id < 100000"
    assert (old[0], new[0]) == (asset, "LUNAV")
    assert scratch.value(owner, last, symbol) < new[1] <= scratch.value(owner, first, symbol)
    assert scratch.value(owner, "SELECT count(*) FROM gaps") == 0


def test_a_pattern_follows_what_is_listed(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection, symbol: str
) -> None:
    """A symbol that comes is watched, polled and streamed within seconds, and one that goes is not.

    Nobody restarts anything.
    """
    watched = watching(settings, "BTCUSD?", f"{symbol[:-4]}*SDT")
    simulator.list_anew(symbol, "GONE")
    with ingesting(watched):
        eventually(lambda: count(owner, BTC))
        before = metric("watched_symbols")
        simulator.list_anew(symbol, "TRADING")
        eventually(lambda: happened(owner, symbol) == ["listing"])
        eventually(lambda: metric("watched_symbols") == before + 1)
        for table in ("trades", "klines", "depth"):
            eventually(partial(count, owner, symbol, table))
        if settings.streams == "on":
            eventually(lambda: metric("streams_wanted") == metric("streams_live"))
            assert metric("streams_wanted") == 4 * (before + 1) + 1
            eventually(lambda: metric("books_live") == before + 1)
        simulator.list_anew(symbol, "GONE")
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
