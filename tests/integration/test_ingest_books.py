"""Order books of streams: simulated exchange, real ingester, real PostgreSQL.

Whatever happens to the frames, each stored row must be the exchange's own book of that very update:
the simulated one is a pure function of the update's id, so every row is compared level by level.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest.book_snapshots import AT_ONCE
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from simulator import book as truth
from simulator.market import Market
from simulator.settings import SimulatorSettings
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for

pytestmark = pytest.mark.integration

DEPTH = "/api/v3/depth"
SHOWN = 100
eventually = partial(rig.eventually, timeout_s=120)


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    exchange.reset(20_000)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    polled = settings_for(database, simulator, tmp_path)
    return polled.model_copy(update={"streams": "on", "depth_limit": SHOWN})


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tidemark_ingest_{name}", labels) or 0.0


def resets(reason: str) -> float:
    return metric("book_resets_total", reason=reason)


def live(count: int = 2) -> bool:
    return metric("books_live") == count


def rows(owner: scratch.Connection, symbol: str = "BTCUSDT") -> int:
    query = "SELECT count(*) FROM depth WHERE symbol = %s"
    return int(scratch.fetch(owner, query, symbol)[0][0])


def goes_on(owner: scratch.Connection, symbol: str = "BTCUSDT", more: int = 3) -> None:
    before = rows(owner, symbol)
    eventually(lambda: rows(owner, symbol) >= before + more)


def asked(simulator: Simulator, limit: int, since: int = 0) -> list[str]:
    """Queries of depth with that many levels: 100 of polls, 1000 of snapshots."""
    requests = simulator.log(DEPTH)[since:]
    return [one["query"] for one in requests if f"limit={limit}" in one["query"].split("&")]


def assert_each_row_is_the_exchange_s(owner: scratch.Connection) -> None:
    """Level by level, at the update that the row names; and nothing is stale or crossed."""
    defaults = SimulatorSettings()
    market = Market(defaults.simulator_seed, defaults.simulator_trades_per_second)
    query = "SELECT symbol, last_update_id, bids, asks, observed_at, best_bid, best_ask FROM depth"
    found = scratch.fetch(owner, query)
    assert found
    for symbol, update_id, bids, asks, observed_at, best_bid, best_ask in found:
        listing = market.listings[symbol]
        whole = truth.book(market, listing, update_id, SHOWN)
        assert levels(bids) == shown(listing, whole.bids), (symbol, update_id)
        assert levels(asks) == shown(listing, whole.asks), (symbol, update_id)
        assert best_bid < best_ask
        age_s = observed_at.timestamp() - update_id * truth.STEP_US / 1e6
        assert age_s < 15, (symbol, age_s)


def levels(stored: list[list[str]]) -> list[tuple[float, float]]:
    return [(float(price), float(quantity)) for price, quantity in stored]


def shown(listing: Any, side: Any) -> list[tuple[float, float]]:
    pairs = zip(side.price.tolist(), side.lots.tolist(), strict=True)
    price, lot = 10.0**listing.price_decimals, 10.0**listing.lot_decimals
    return [(ticks / price, lots / lot) for ticks, lots in pairs]


def test_books_in_step_stand_in_the_place_of_polls(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """A row each second a symbol, one snapshot each at the beginning, and no poll after it."""
    with ingesting(settings):
        eventually(live)
        eventually(lambda: metric("stream_fallback_polls", endpoint="depth") == 0)
        polled = len(simulator.log(DEPTH))
        for symbol in settings.symbols:
            goes_on(owner, symbol, more=5)
        assert len(simulator.log(DEPTH)) == polled
        assert len(asked(simulator, 1000)) == 2
    assert_each_row_is_the_exchange_s(owner)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"do": "drop"}, "hole"),
        ({"do": "hold_back"}, "hole"),
        ({"do": "replace", "field": "b", "value": "99999999.0"}, "crossed"),
    ],
    ids=["lost", "reordered", "crossed"],
)
def test_a_book_that_broke_is_reset_alone_and_never_stored(
    simulator: Simulator,
    settings: IngestSettings,
    owner: scratch.Connection,
    action: dict[str, Any],
    reason: str,
) -> None:
    """A diff is lost, late, or of an impossible price; the other symbol's book stands."""
    with ingesting(settings):
        eventually(live)
        before, since = resets(reason), len(simulator.log(DEPTH))
        simulator.fault("stream:btcusdt@depth", count=1, **action)
        eventually(lambda: resets(reason) == before + 1)
        eventually(live)
        assert any("BTCUSDT" in query for query in asked(simulator, 1000, since))
        assert not any("ETHUSDT" in one["query"] for one in simulator.log(DEPTH)[since:])
        goes_on(owner)
    assert_each_row_is_the_exchange_s(owner)


def test_a_diff_that_cannot_be_read_is_set_aside_and_is_a_hole(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Its bytes go to quarantine; the book begins again from a snapshot."""
    with ingesting(settings):
        eventually(live)
        before = resets("hole")
        simulator.fault("stream:btcusdt@depth", count=1, do="replace", field="u", value=1)
        eventually(lambda: resets("hole") == before + 1)
        eventually(live)
        goes_on(owner)
    kept = scratch.fetch(owner, "SELECT endpoint, convert_from(raw, 'UTF8') FROM quarantine")
    assert [(endpoint, '"depthUpdate"' in raw) for endpoint, raw in kept] == [("@depth", True)]
    assert_each_row_is_the_exchange_s(owner)


def test_best_levels_that_contradict_a_book_bring_another(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """@bookTicker tells another best bid of the same update: one of the two is wrong."""
    with ingesting(settings):
        eventually(live)
        before = resets("contradicted")
        simulator.fault(
            "stream:btcusdt@bookTicker", count=None, do="replace", field="B", value="777.0"
        )
        eventually(lambda: resets("contradicted") > before)
        simulator.heal()
        eventually(live)
        goes_on(owner)
    assert_each_row_is_the_exchange_s(owner)


def test_while_a_book_is_not_in_step_its_symbol_is_polled(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """No snapshot comes, as each is crossed: rows come by polls, which say that they stand in."""
    with ingesting(settings):
        eventually(live)
        simulator.fault(DEPTH, None, symbol="BTCUSDT", do="page", name="gateway")
        simulator.fault("stream:btcusdt@depth", count=1, do="drop")
        eventually(lambda: metric("stream_fallback_polls", endpoint="depth") == 1)
        since = len(simulator.log(DEPTH))
        eventually(lambda: any("BTCUSDT" in one for one in asked(simulator, SHOWN, since)))
        assert not any("ETHUSDT" in one for one in asked(simulator, SHOWN, since))
        goes_on(owner, "ETHUSDT")
        simulator.heal()
        eventually(live)
        eventually(lambda: metric("stream_fallback_polls", endpoint="depth") == 0)
        goes_on(owner)
    assert_each_row_is_the_exchange_s(owner)


def test_a_cut_connection_ends_its_books_and_they_come_back(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """What was said meanwhile is missing; polls have the schedule until both are in step."""
    with ingesting(settings):
        eventually(live)
        before = resets("stream away") + resets("hole")
        simulator.fault("stream:*@depth", count=1, do="hang_up")
        eventually(lambda: resets("stream away") + resets("hole") >= before + 2)
        eventually(live)
        for symbol in settings.symbols:
            goes_on(owner, symbol)
    assert_each_row_is_the_exchange_s(owner)


def test_while_depth_is_shed_no_book_is_stored_and_none_is_asked_for(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """The streams flow on, and so do the books; what was left out is in `gaps`."""
    shed = "UPDATE load_shedding SET level = %s, at = clock_timestamp()"
    with ingesting(settings):
        eventually(live)
        try:
            owner.cursor().execute(shed, (1,))
            open_gaps = "SELECT count(*) FROM gaps WHERE stream = 'depth' AND state = 'open'"
            eventually(lambda: scratch.value(owner, open_gaps) == 2)
            before, since = rows(owner), len(simulator.log(DEPTH))
            simulator.fault("stream:btcusdt@depth", count=1, do="drop")
            eventually(lambda: live(1))
            trades = "SELECT max(trade_id) FROM trades"
            last = scratch.value(owner, trades)
            eventually(lambda: scratch.value(owner, trades) > last + 100)
            assert (rows(owner), len(simulator.log(DEPTH))) == (before, since)
        finally:
            owner.cursor().execute(shed, (0,))
        eventually(live)
        goes_on(owner)
        eventually(lambda: scratch.value(owner, open_gaps) == 0)
    assert_each_row_is_the_exchange_s(owner)


def test_many_books_begin_within_the_weight_that_the_schedule_leaves_over(
    simulator: Simulator, settings: IngestSettings
) -> None:
    """Twelve snapshots of 50 each are more than a minute has: they wait, statistics do not."""
    listed = simulator.get("/api/v3/exchangeInfo")["symbols"]
    usdt = [one["symbol"] for one in listed if one["quoteAsset"] == "USDT"]
    symbols = tuple(one for one in usdt if one.isascii())[:12]
    change = {
        "symbols": symbols, "prices_every_s": 600.0, "ticker_24h_every_s": 20.0,
        "depth_every_s": 600.0, "trades_every_s": 600.0, "klines_every_s": 600.0,
    }  # fmt: skip
    simulator.reset(weight_limit=600)
    with ingesting(settings.model_copy(update=change)):
        eventually(lambda: len(simulator.log("/api/v3/ticker/24hr")) >= 4)
        log = simulator.log()
    assert {one["status"] for one in log} == {200}
    assert max(one["used_weight"] for one in log) <= 600
    asked_at = [one["at_ms"] for one in log if one["path"] == "/api/v3/ticker/24hr"]
    waits = [(b - a) / 1000 for a, b in pairwise(asked_at)]
    assert max(waits) < 25, "the schedule is not held up"
    snapshots = [one for one in log if "limit=1000" in one["query"] and one["path"] == DEPTH]
    assert snapshots
    for one in snapshots:
        second = one["at_ms"] / 1000 % 60
        released = 600 * (second + 1) / 60  # the minute's, so far
        meanwhile = 80 + AT_ONCE * 50  # a poll that overtakes it, and what is on its way
        assert one["used_weight"] <= released + meanwhile, f"second {second:.1f} of the minute"
