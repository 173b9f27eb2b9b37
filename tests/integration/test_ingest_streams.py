"""Streams in the place of polls: simulated exchange, real ingester, real PostgreSQL."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ingest import held_trades
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.integration import ingesting as rig
from tests.integration import scratch
from tests.integration.ingesting import Simulator, ingesting, settings_for

pytestmark = pytest.mark.integration

STREAMED = ("/api/v3/trades", "/api/v3/klines", "/api/v3/ticker/price", "/api/v3/depth")
STATISTICS = "/api/v3/ticker/24hr"  # polled each two seconds, whatever flows
SOCKET = "/stream"
eventually = partial(rig.eventually, timeout_s=120)  # the whole market each second is much to draw


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    exchange.reset(20_000)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    polled = settings_for(database, simulator, tmp_path)
    return polled.model_copy(update={"streams": "on", "streams_a_connection": 3})


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tidemark_ingest_{name}", labels) or 0.0


def everything_flows() -> bool:
    """Two symbols: trades, candles, book and its best levels; the market's prices; no poll."""
    away = sum(
        metric("stream_fallback_polls", endpoint=each.removeprefix("/api/v3/")) for each in STREAMED
    )
    return metric("streams_live") == 9 and metric("books_live") == 2 and away == 0


def asked_since(simulator: Simulator, since: int) -> list[str]:
    return [request["path"] for request in simulator.log()[since:]]


def rests(simulator: Simulator) -> bool:
    """Whether none of the polls that streams replace is made, over two polls of statistics."""
    since = len(simulator.log())
    eventually(lambda: asked_since(simulator, since).count(STATISTICS) >= 2)
    return not set(STREAMED) & set(asked_since(simulator, since))


def ids(owner: scratch.Connection, symbol: str) -> list[int]:
    query = "SELECT trade_id FROM trades WHERE symbol = %s ORDER BY 1"
    return [row[0] for row in scratch.fetch(owner, query, symbol)]


def newest(owner: scratch.Connection, table: str, column: str) -> Any:
    return scratch.value(owner, f"SELECT max({column}) FROM {table}")


def assert_no_trade_is_missing(owner: scratch.Connection) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        found = ids(owner, symbol)
        assert len(found) > 10
        assert all(b == a + 1 for a, b in pairwise(found)), symbol
    open_gaps = "SELECT count(*) FROM gaps WHERE state = 'open'"
    assert scratch.value(owner, open_gaps) == 0


def assert_rows_are_the_exchange_s(owner: scratch.Connection, simulator: Simulator) -> None:
    """The newest trades, and the newest closed candle, value for value."""
    first = ids(owner, "BTCUSDT")[-20]
    told = simulator.get("/api/v3/historicalTrades", symbol="BTCUSDT", fromId=first, limit=20)
    query = (
        "SELECT trade_id, price, quantity, quote_quantity, is_buyer_maker, traded_at_us / 1000 "
        "FROM trades WHERE symbol = 'BTCUSDT' AND trade_id BETWEEN %s AND %s ORDER BY 1"
    )
    stored = scratch.fetch(owner, query, first, first + 19)
    assert [
        (row["id"], row["price"], row["qty"], row["quoteQty"], row["isBuyerMaker"], row["time"])
        for row in told
    ] == [(i, f"{p:.8f}", f"{q:.8f}", f"{qq:.8f}", m, t) for i, p, q, qq, m, t in stored]


def test_where_streams_flow_their_polls_rest_and_nothing_is_missing(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Trades, candles, prices and books come by stream; 24 h statistics are polled on."""
    with ingesting(settings):
        eventually(everything_flows)
        eventually(lambda: rests(simulator))
        before = newest(owner, "trades", "trade_id"), newest(owner, "prices", "observed_at")
        eventually(lambda: newest(owner, "trades", "trade_id") > before[0])
        eventually(lambda: newest(owner, "prices", "observed_at") > before[1])
        eventually(lambda: newest(owner, "ticker_24h_history", "as_of") is not None)
        changed = newest(owner, "klines", "as_of")
        eventually(lambda: newest(owner, "klines", "as_of") > changed)
        assert rests(simulator)
        assert_no_trade_is_missing(owner)
        assert_rows_are_the_exchange_s(owner, simulator)
    whole_market = "SELECT count(DISTINCT symbol) FROM prices"
    assert scratch.value(owner, whole_market) > 100
    assert scratch.value(owner, "SELECT count(*) FROM quarantine") == 0


def test_polls_take_over_while_streams_are_away_and_rest_again(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """The exchange refuses every stream for a while; no trade is missing afterwards."""
    with ingesting(settings):
        eventually(everything_flows)
        simulator.fault("stream:*", count=None, do="hang_up")
        simulator.fault(SOCKET, count=None, do="drop")
        eventually(lambda: metric("streams_live") == 0)
        eventually(lambda: metric("stream_fallback_polls", endpoint="trades") == 2)
        since = len(simulator.log())
        eventually(lambda: set(STREAMED) <= set(asked_since(simulator, since)))
        simulator.heal()
        eventually(everything_flows)
        eventually(lambda: rests(simulator))
        assert_no_trade_is_missing(owner)
        assert_rows_are_the_exchange_s(owner, simulator)


def test_frames_that_are_lost_are_polled_back_and_candles_keep_their_order(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """A frame of trades is dropped on the way: its ids tell, and one poll brings them."""
    with ingesting(settings):
        eventually(everything_flows)
        eventually(lambda: rests(simulator))
        since = len(simulator.log())
        simulator.fault("stream:btcusdt@trade", count=3, do="drop")
        eventually(lambda: "/api/v3/trades" in asked_since(simulator, since))
        eventually(lambda: rests(simulator))
        assert_no_trade_is_missing(owner)


def test_what_no_poll_brings_back_is_a_gap_that_is_read_back(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Requests fail while frames are lost: the trades after the hole are stored with its row."""
    monkeypatch.setattr(held_trades, "HOLD_S", 1.0)
    monkeypatch.setattr("ingest.readback.LOOK_S", 1.0)
    with ingesting(settings):
        eventually(everything_flows)
        eventually(lambda: rests(simulator))  # the tape has begun
        for path in ("/api/v3/trades", "/api/v3/historicalTrades"):
            simulator.fault(path, count=None, do="page", name="unknown")
        simulator.fault("stream:btcusdt@trade", count=3, do="drop")
        count = "SELECT count(*) FROM gaps WHERE cause = 'disconnect' AND state = 'open'"
        eventually(lambda: scratch.value(owner, count) > 0)
        simulator.heal()
        repaired = "SELECT count(*) FROM gaps WHERE cause = 'disconnect' AND state = 'repaired'"
        eventually(lambda: scratch.value(owner, repaired) > 0)
        eventually(lambda: scratch.value(owner, count) == 0)
        assert_no_trade_is_missing(owner)


def test_a_frame_that_breaks_a_rule_is_set_aside(
    simulator: Simulator, settings: IngestSettings, owner: scratch.Connection
) -> None:
    """A trade of nothing goes to quarantine with its own bytes; a poll has the real one."""
    with ingesting(settings):
        eventually(everything_flows)
        simulator.fault("stream:btcusdt@trade", count=1, do="replace", field="q", value="0.0")
        found = "SELECT endpoint, reason, convert_from(raw, 'UTF8') FROM quarantine"
        ((endpoint, reason, raw),) = eventually(lambda: scratch.fetch(owner, found)[:1])
        assert (endpoint, "not above zero" in reason, '"e":"trade"' in raw) == (
            "@trade",
            True,
            True,
        )
        eventually(lambda: rests(simulator))
        assert_no_trade_is_missing(owner)


def test_what_is_shed_is_not_taken_from_streams_either(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Trades and prices stop while their streams flow on; trades are read back afterwards."""
    shed = "UPDATE load_shedding SET level = %s, at = clock_timestamp()"
    with ingesting(settings):
        eventually(everything_flows)
        try:
            owner.cursor().execute(shed, (3,))
            eventually(lambda: metric("shedding_level") == 3)
            left_out = "SELECT count(DISTINCT symbol) FROM gaps WHERE stream = 'trades'"
            eventually(lambda: scratch.value(owner, left_out) == 2)
            before = newest(owner, "trades", "trade_id"), newest(owner, "prices", "observed_at")
            candles = newest(owner, "klines", "as_of")
            eventually(lambda: newest(owner, "klines", "as_of") > candles)
            after = newest(owner, "trades", "trade_id"), newest(owner, "prices", "observed_at")
            assert before == after
        finally:
            owner.cursor().execute(shed, (0,))
        eventually(lambda: newest(owner, "trades", "trade_id") > before[0])
        still = "SELECT count(*) FROM gaps WHERE state = 'open'"  # of books and prices, too
        eventually(lambda: scratch.value(owner, still) == 0)
        assert_no_trade_is_missing(owner)
