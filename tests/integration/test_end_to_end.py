"""The simulated exchange's market goes in; Cassandra then holds what the exchange says it sent.

Nothing of ours reads here: the exchange is asked by plain HTTP, Cassandra by the driver alone
with hand-written CQL, and numbers are compared as decimals of the exchange's own strings.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile

from tests.conftest import Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

MINUTE = timedelta(minutes=1)
VENUE = "simulator"
T = TypeVar("T")


class Exchange:
    """The exchange's own word, by HTTP."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=30)

    def get(self, path: str, **params: str | int) -> Any:
        return self._http.get(path, params=params).raise_for_status().json()

    def trades(self, symbol: str, first_id: int, last_id: int) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        while first_id <= last_id:
            page = self.get("/api/v3/historicalTrades", symbol=symbol, fromId=first_id, limit=1000)
            found |= {row["id"]: row for row in page if row["id"] <= last_id}
            first_id = page[-1]["id"] + 1
        return found

    def klines(self, symbol: str, start: datetime, end: datetime) -> dict[datetime, list[Any]]:
        """Candles of one minute with start ≤ open time < end."""
        found: dict[datetime, list[Any]] = {}
        while start < end:
            page = self.get(
                "/api/v3/klines",
                symbol=symbol,
                interval="1m",
                startTime=epoch_ms(start),
                endTime=epoch_ms(end) - 1,
                limit=1000,
            )
            if not page:
                break
            found |= {moment(row[0]): row for row in page}
            start = moment(page[-1][0]) + MINUTE
        return found


@pytest.fixture(scope="module")
def exchange(pipeline: Pipeline) -> Exchange:
    return Exchange(pipeline.env["TIDEMARK_SIMULATOR_URL"])


@pytest.fixture(scope="module")
def cql(pipeline: Pipeline) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Ask Cassandra as the reader, by the driver alone."""
    password = (pipeline.settings.state_dir / "secrets" / "tidemark_reader.password").read_text()
    cluster = Cluster(
        ["127.0.0.1"],
        port=int(pipeline.env["TIDEMARK_CASSANDRA_PORT"]),
        auth_provider=PlainTextAuthProvider("tidemark_reader", password.strip()),
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(request_timeout=30)},
    )
    session = cluster.connect(pipeline.env.get("TIDEMARK_CASSANDRA_KEYSPACE", "tidemark"))

    def ask(query: str, *values: object) -> list[dict[str, Any]]:
        return [row._asdict() for row in session.execute(query, values)]

    yield ask
    cluster.shutdown()


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def epoch_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def until(what: str, look: Callable[[], T | None], seconds: float = 120) -> T:
    """Wait for `look` to find something; fail with `what` was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.5)
    return pytest.fail(f"waited {seconds} s for {what}")


def numbers(*strings: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(each) for each in strings)


def test_every_trade_between_first_and_last_is_the_exchanges(
    exchange: Exchange, cql: Callable[..., list[dict[str, Any]]]
) -> None:
    """Trades of a symbol in Cassandra are contiguous and equal to the exchange's."""
    symbol = "BTCUSDT"

    def tape() -> list[dict[str, Any]] | None:
        hours = [datetime.now(UTC).replace(minute=0, second=0, microsecond=0)]
        hours.append(hours[0] - timedelta(hours=1))
        rows = [
            row
            for hour in hours
            for row in cql(
                "SELECT * FROM trades_by_hour WHERE venue=%s AND symbol=%s AND hour=%s",
                VENUE,
                symbol,
                hour,
            )
        ]
        return rows if len(rows) >= 500 else None

    stored = {row["trade_id"]: row for row in until("500 trades in Cassandra", tape)}
    # pages are written as they come: the newest ids may still be under way
    said = exchange.trades(symbol, min(stored), max(stored))
    assert sorted(stored) == sorted(said)
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
    pipeline: Pipeline, exchange: Exchange, cql: Callable[..., list[dict[str, Any]]]
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
    exchange: Exchange, cql: Callable[..., list[dict[str, Any]]]
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


def test_polled_bodies_arrive_value_for_value(
    exchange: Exchange, cql: Callable[..., list[dict[str, Any]]]
) -> None:
    """What the exchange logged as sent (prices, books, 24 h statistics) is what Cassandra holds."""
    sent = exchange.get("/_simulator/sent")  # the last bodies of each path, as they went out
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    for book in sent["/api/v3/depth"][-3:]:
        symbol, body = book["params"]["symbol"], book["body"]
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

        def stored_book(
            symbol: str = symbol, hour: datetime = hour, update: int = body["lastUpdateId"]
        ) -> dict[str, Any] | None:
            rows = cql(
                "SELECT * FROM depth_by_hour WHERE venue=%s AND symbol=%s AND hour IN (%s, %s)",
                VENUE,
                symbol,
                hour,
                hour - timedelta(hours=1),
            )
            return next((row for row in rows if row["last_update_id"] == update), None)

        row = until(f"the book {body['lastUpdateId']} of {symbol}", stored_book)
        for side in ("bids", "asks"):
            assert [numbers(*level) for level in json.loads(row[side])] == [
                numbers(*level) for level in body[side]
            ]

    poll = sent["/api/v3/ticker/price"][-2]
    said = {row["symbol"]: Decimal(row["price"]) for row in poll["body"]}
    assert len(said) >= 300

    def stored_price(symbol: str, price: Decimal) -> bool | None:
        rows = cql(
            "SELECT price FROM prices_by_day WHERE venue=%s AND symbol=%s AND day=%s",
            VENUE,
            symbol,
            day,
        )
        return True if any(row["price"] == price for row in rows) else None

    for symbol, price in said.items():
        until(f"{symbol} at {price}", partial(stored_price, symbol, price), 30)

    ticker = sent["/api/v3/ticker/24hr"][-2]
    theirs = next(row for row in ticker["body"] if row["symbol"] == "BTCUSDT")

    def stored_ticker() -> dict[str, Any] | None:
        rows = cql(
            "SELECT * FROM ticker_24h_by_day WHERE venue=%s AND symbol='BTCUSDT' AND day=%s",
            VENUE,
            day,
        )
        return next((r for r in rows if r["as_of"].replace(tzinfo=UTC) == asked), None)

    asked = moment(theirs["closeTime"])
    row = until("the 24 h statistics of BTCUSDT", stored_ticker)
    names = ("open", "high", "low", "last", "volume", "quote_volume", "price_change_percent")
    fields = ("openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume")
    assert [row[name] for name in names] == [
        Decimal(theirs[field]) for field in (*fields, "priceChangePercent")
    ]
    assert (row["first_trade_id"], row["last_trade_id"]) == (theirs["firstId"], theirs["lastId"])


def test_top_gainers_follow_from_the_statistics(
    cql: Callable[..., list[dict[str, Any]]],
) -> None:
    """The newest ranking lists five gainers in order, each a symbol with that quote asset."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def top() -> list[dict[str, Any]] | None:
        return (
            cql(
                "SELECT * FROM movers_24h WHERE venue=%s AND quote_asset='USDT' "
                "AND ranking='gainers' AND day=%s LIMIT 5",
                VENUE,
                day,
            )
            or None
        )

    rows = until("a ranking", top)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    changes = [row["price_change_percent"] for row in rows]
    assert changes == sorted(changes, reverse=True)
    assert all(row["symbol"].endswith("USDT") for row in rows)
