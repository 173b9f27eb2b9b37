"""The simulated exchange's market goes in; Cassandra then holds what the exchange says it sent.

Nothing of ours reads here: the exchange is asked by plain HTTP, Cassandra by the driver alone
with hand-written CQL, and numbers are compared as decimals of the exchange's own strings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile

from tests.conftest import Pipeline
from tests.integration.witnesses import MINUTE, Exchange, moment, newest, numbers, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

VENUE = "simulator"
Cql = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def exchange(pipeline: Pipeline) -> Exchange:
    return Exchange(pipeline.env["TIDEMARK_SIMULATOR_URL"])


@pytest.fixture(scope="module")
def cql(pipeline: Pipeline) -> Iterator[Cql]:
    """Ask Cassandra as the reader, by the driver alone."""
    password = (pipeline.settings.state_dir / "secrets" / "tidemark_reader.password").read_text()
    cluster = Cluster(
        ["127.0.0.1"],
        port=int(pipeline.env["TIDEMARK_CASSANDRA_PORT"]),
        auth_provider=PlainTextAuthProvider("tidemark_reader", password.strip()),
        protocol_version=5,
        connect_timeout=30,  # a busy machine
        control_connection_timeout=30,
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(request_timeout=30)},
    )
    session = cluster.connect(pipeline.env.get("TIDEMARK_CASSANDRA_KEYSPACE", "tidemark"))

    def ask(query: str, *values: object) -> list[dict[str, Any]]:
        return [row._asdict() for row in session.execute(query, values)]

    yield ask
    cluster.shutdown()


def test_every_trade_between_first_and_last_is_the_exchanges(exchange: Exchange, cql: Cql) -> None:
    """Trades of a symbol in Cassandra are contiguous and equal to the exchange's."""
    symbol = "BTCUSDT"

    def tape() -> dict[int, dict[str, Any]]:
        return {
            row["trade_id"]: row
            for hour in newest(timedelta(hours=1))
            for row in cql(
                "SELECT * FROM trades_by_hour WHERE venue=%s AND symbol=%s AND hour=%s",
                VENUE,
                symbol,
                hour,
            )
        }

    first = until("500 trades in Cassandra", lambda: found if len(found := tape()) > 500 else None)
    said = exchange.trades(symbol, min(first), max(first))

    def whole() -> dict[int, dict[str, Any]] | None:
        """All of that range: a page's trades come by several partitions of the log."""
        held = {trade_id: row for trade_id, row in tape().items() if trade_id in said}
        return held if len(held) == len(said) else None

    stored = until("every trade of that range", whole)
    assert sorted(said) == list(range(min(first), max(first) + 1))
    for trade_id, row in stored.items():
        theirs = said[trade_id]
        assert (row["price"], row["quantity"], row["quote_quantity"]) == numbers(
            theirs["price"], theirs["qty"], theirs["quoteQty"]
        )
        assert row["traded_at"].replace(tzinfo=UTC) == moment(theirs["time"])
        assert row["traded_at_us"] == theirs["time"] * 1000
        assert row["is_buyer_maker"] is theirs["isBuyerMaker"]
        assert row["is_best_match"] is theirs["isBestMatch"]
        assert row["notional_usd"] == Decimal(theirs["quoteQty"])


def test_backfilled_candles_are_the_exchanges(
    pipeline: Pipeline, exchange: Exchange, cql: Cql
) -> None:
    """Two days of candles by the command are in Cassandra as the exchange says them."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    start = end - timedelta(days=2)
    command = ["backfill", "klines", "ETHUSDT", "--interval", "1m", "--json"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cli.main", *command),
            *("--start", start.isoformat(), "--end", end.isoformat()),
        ],
        env=pipeline.process_env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = exchange.klines("ETHUSDT", start, end)
    assert len(said) == 2 * 24 * 60
    months = {at.replace(day=1, hour=0, minute=0) for at in said}

    def candles() -> dict[datetime, dict[str, Any]] | None:
        rows = {
            row["open_time"].replace(tzinfo=UTC): row
            for month in months
            for row in cql(
                "SELECT * FROM klines WHERE venue=%s AND symbol='ETHUSDT' AND interval='1m' "
                "AND bucket=%s AND open_time >= %s AND open_time < %s",
                VENUE,
                month,
                start,
                end,
            )
        }
        return rows if len(rows) >= len(said) else None

    stored = until("the backfilled candles in Cassandra", candles)
    assert sorted(stored) == sorted(said)
    for at, row in stored.items():
        theirs = said[at]
        assert (row["open"], row["high"], row["low"], row["close"]) == numbers(*theirs[1:5])
        assert (row["volume"], row["quote_volume"]) == numbers(theirs[5], theirs[7])
        assert (row["taker_buy_volume"], row["taker_buy_quote_volume"]) == numbers(*theirs[9:11])
        assert row["close_time"].replace(tzinfo=UTC) == moment(theirs[6])
        assert row["trade_count"] == theirs[8]
        assert row["is_closed"] is True


def test_polled_candles_are_closed_as_the_exchange_closed_them(
    exchange: Exchange, cql: Cql
) -> None:
    """A candle that was polled while open ends as the exchange's closed candle."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)

    def candle() -> dict[str, Any] | None:
        rows = cql(
            "SELECT * FROM klines WHERE venue=%s AND symbol='BTCUSDT' AND interval='1m' "
            "AND bucket=%s AND open_time=%s",
            VENUE,
            minute.replace(day=1, hour=0, minute=0),
            minute,
        )
        return rows[0] if rows and rows[0]["is_closed"] else None

    row = until("the current candle to close in Cassandra", candle)
    theirs = exchange.klines("BTCUSDT", minute, minute + MINUTE)[minute]
    ours = [row[name] for name in ("open", "high", "low", "close", "volume", "quote_volume")]
    assert ours == [Decimal(theirs[index]) for index in (1, 2, 3, 4, 5, 7)]
    assert row["trade_count"] == theirs[8]


def test_polled_books_arrive_level_for_level(exchange: Exchange, cql: Cql) -> None:
    """The last books that the exchange says it sent are in Cassandra, every level of them."""
    for asked, body in exchange.sent("/api/v3/depth")[-3:]:

        def stored(
            symbol: str = asked["symbol"], update_id: int = body["lastUpdateId"]
        ) -> dict[str, Any] | None:
            rows = [
                row
                for hour in newest(timedelta(hours=1))
                for row in cql(
                    "SELECT * FROM depth_by_hour WHERE venue=%s AND symbol=%s AND hour=%s",
                    VENUE,
                    symbol,
                    hour,
                )
            ]
            return next((row for row in rows if row["last_update_id"] == update_id), None)

        row = until(f"the book {body['lastUpdateId']} of {asked['symbol']}", stored)
        for side in ("bids", "asks"):
            assert [numbers(*level) for level in json.loads(row[side])] == [
                numbers(*level) for level in body[side]
            ]
        assert row["best_bid"] == Decimal(body["bids"][0][0])
        assert row["spread"] == Decimal(body["asks"][0][0]) - Decimal(body["bids"][0][0])


def test_polled_prices_of_every_symbol_arrive(exchange: Exchange, cql: Cql) -> None:
    """Each price of a poll of the whole market is in Cassandra under its symbol."""
    _, body = exchange.sent("/api/v3/ticker/price")[-1]
    said = {row["symbol"]: Decimal(row["price"]) for row in body}
    assert len(said) >= 300

    def stored(symbol: str, price: Decimal) -> bool | None:
        rows = [
            row
            for day in newest(timedelta(days=1))
            for row in cql(
                "SELECT price FROM prices_by_day WHERE venue=%s AND symbol=%s AND day=%s",
                VENUE,
                symbol,
                day,
            )
        ]
        return True if any(row["price"] == price for row in rows) else None

    for symbol, price in said.items():
        until(f"{symbol} at {price}", partial(stored, symbol, price), 60)


def test_polled_statistics_arrive_value_for_value(exchange: Exchange, cql: Cql) -> None:
    """The 24 h statistics of a watched symbol are in Cassandra as the exchange sent them."""
    _, body = exchange.sent("/api/v3/ticker/24hr")[-1]
    theirs = next(row for row in body if row["symbol"] == "BTCUSDT")

    def stored() -> dict[str, Any] | None:
        rows = [
            row
            for day in newest(timedelta(days=1))
            for row in cql(
                "SELECT * FROM ticker_24h_by_day WHERE venue=%s AND symbol='BTCUSDT' AND day=%s",
                VENUE,
                day,
            )
        ]
        asked = moment(theirs["closeTime"])
        return next((row for row in rows if row["as_of"].replace(tzinfo=UTC) == asked), None)

    row = until("the 24 h statistics of BTCUSDT", stored)
    for ours, field in (
        ("open", "openPrice"),
        ("high", "highPrice"),
        ("low", "lowPrice"),
        ("last", "lastPrice"),
        ("volume", "volume"),
        ("quote_volume", "quoteVolume"),
        ("price_change_percent", "priceChangePercent"),
        ("weighted_average", "weightedAvgPrice"),
    ):
        assert row[ours] == Decimal(theirs[field]), ours
    assert (row["first_trade_id"], row["last_trade_id"]) == (theirs["firstId"], theirs["lastId"])
    assert row["trade_count"] == theirs["count"]


def test_top_gainers_follow_from_the_statistics(
    cql: Cql,
) -> None:
    """The newest ranking lists five gainers in order, each a symbol with that quote asset."""

    def top() -> list[dict[str, Any]] | None:
        for day in newest(timedelta(days=1)):
            if rows := cql(
                "SELECT * FROM movers_24h WHERE venue=%s AND quote_asset='USDT' "
                "AND ranking='gainers' AND day=%s LIMIT 5",
                VENUE,
                day,
            ):
                return rows
        return None

    rows = until("a ranking", top)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    changes = [row["price_change_percent"] for row in rows]
    assert changes == sorted(changes, reverse=True)
    assert all(row["symbol"].endswith("USDT") for row in rows)
