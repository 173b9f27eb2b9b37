"""The simulated exchange over real HTTP on loopback: answers, limits, headers, faults."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from binance.client import Client
from binance.exceptions import BinanceAPIException

from simulator.errors import PortTakenError
from simulator.server import Server, serving
from simulator.settings import SimulatorSettings


@dataclass
class Running:
    """A simulator on a free port, in a thread of its own."""

    url: str
    server: Server
    http: httpx.Client

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(f"/api/v3/{path}", params=query)

    def control(self, path: str, body: Any) -> None:
        self.http.post(f"/_simulator/{path}", json=body).raise_for_status()

    def fault(self, **rule: Any) -> None:
        self.control("faults", {"rules": [rule]})

    def log(self, path: str = "/api/") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/_simulator/log", params={"path": path}).json()
        return found


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    settings = SimulatorSettings(
        simulator_url="http://127.0.0.1:0", simulator_seed=3, simulator_trades_per_second=100.0
    )
    started = threading.Event()
    box: dict[str, Any] = {}

    async def live() -> None:
        box["loop"], box["ended"] = asyncio.get_running_loop(), asyncio.Event()
        box["server"] = Server(settings)
        async with serving(box["server"]) as url:
            box["url"] = url
            started.set()
            await box["ended"].wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),), daemon=True)
    thread.start()
    assert started.wait(10)
    with httpx.Client(base_url=box["url"], timeout=10.0) as http:
        yield Running(box["url"], box["server"], http)
    box["loop"].call_soon_threadsafe(box["ended"].set)
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def simulator(shared: Running) -> Iterator[Running]:
    """The shared simulator with no faults, no weight used, the usual limit."""
    shared.control("limits", {"weight_limit": 6000})
    shared.http.delete("/_simulator/faults")
    shared.http.delete("/_simulator/log")
    yield shared
    shared.http.delete("/_simulator/faults")


def test_python_binance_reads_every_endpoint(simulator: Running) -> None:
    """A client library made for the real exchange gets valid answers from each endpoint."""
    client = Client(ping=False)
    client.API_URL = f"{simulator.url}/api"
    assert client.ping() == {}
    assert abs(client.get_server_time()["serverTime"] - time.time() * 1000) < 2000
    assert len(client.get_exchange_info()["symbols"]) >= 400
    info = client.get_symbol_info("BTCUSDT")
    assert info is not None
    assert {each["filterType"] for each in info["filters"]} >= {
        "PRICE_FILTER",
        "LOT_SIZE",
        "NOTIONAL",
    }
    depth = client.get_order_book(symbol="BTCUSDT", limit=50)
    assert len(depth["bids"]) == len(depth["asks"]) == 50
    assert Decimal(depth["bids"][0][0]) < Decimal(depth["asks"][0][0])
    recent = client.get_recent_trades(symbol="BTCUSDT", limit=1000)
    assert [each["id"] for each in recent] == list(range(recent[0]["id"], recent[0]["id"] + 1000))
    again = client.get_historical_trades(symbol="BTCUSDT", fromId=recent[0]["id"], limit=1000)
    assert again == recent
    aggregates = client.get_aggregate_trades(symbol="BTCUSDT", limit=100)
    assert aggregates[-1]["l"] >= recent[-1]["id"]
    iterated = client.aggregate_trade_iter(symbol="BTCUSDT", last_id=aggregates[0]["a"] - 5)
    assert next(iterator := iter(iterated))["a"] == aggregates[0]["a"] - 4
    assert next(iterator)["a"] == aggregates[0]["a"] - 3
    klines = client.get_historical_klines("ETHUSDT", "1h", "5 days ago UTC")
    assert len(klines) in {120, 121}
    assert client.get_ui_klines(symbol="ETHUSDT", interval="1d", limit=3)[0][0] % 86_400_000 == 0
    assert Decimal(client.get_avg_price(symbol="BNBUSDT")["price"]) > 0
    day = client.get_ticker(symbol="SOLUSDT")
    assert day["count"] == day["lastId"] - day["firstId"] + 1
    assert len(client.get_ticker()) >= 400
    assert len(client.get_all_tickers()) >= 400
    assert Decimal(client.get_symbol_ticker(symbol="ADAUSDT")["price"]) > 0
    assert len(client.get_orderbook_tickers()) >= 400
    assert client.get_orderbook_ticker(symbol="ADAUSDT")["symbol"] == "ADAUSDT"
    with pytest.raises(BinanceAPIException, match="Invalid symbol") as caught:
        client.get_klines(symbol="NOSUCH", interval="1m")
    assert (caught.value.code, caught.value.status_code) == (-1121, 400)


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", {"symbol": "BTCUSDT"}, 20),
        ("depth", {"symbol": "BTCUSDT"}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 101}, 25),
        ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 50),
        ("depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
        ("trades", {"symbol": "BTCUSDT", "limit": 1}, 25),
        ("historicalTrades", {"symbol": "BTCUSDT", "limit": 1}, 25),
        ("aggTrades", {"symbol": "BTCUSDT", "limit": 1}, 4),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1000}, 2),
        ("avgPrice", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", {"symbols": '["BTCUSDT","ETHUSDT"]'}, 2),
        ("ticker/24hr", {}, 80),
        ("ticker/price", {"symbol": "BTCUSDT"}, 2),
        ("ticker/price", {"symbols": '["BTCUSDT"]'}, 4),
        ("ticker/price", {}, 4),
        ("ticker/bookTicker", {}, 4),
    ],
)
def test_each_request_costs_its_weight(
    simulator: Running, path: str, query: dict[str, Any], weight: int
) -> None:
    """The used weight in the header grows by what the exchange's documents say."""
    before = int(simulator.get("ping").headers["X-MBX-USED-WEIGHT-1M"])
    answer = simulator.get(path, **query)
    assert answer.status_code == 200
    used = int(answer.headers["X-MBX-USED-WEIGHT-1M"])
    if used < before:
        pytest.skip("a minute began in between")
    assert used - before == weight


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", {"symbol": "NOSUCH", "interval": "1m"}, -1121),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1M ", "limit": 5}, -1120),
        ("klines", {"symbol": "btcusdt", "interval": "1m"}, -1100),
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "BTCUSDT"}, -1102),
        ("klines", {"symbol": "", "interval": "1m"}, -1105),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "ten"}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 0}, -1130),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": -5}, -1100),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "timeZone": "+15:00"}, -1130),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "9" * 20}, -1108),
        ("depth", {"symbol": "BTCUSDT", "speed": "fast"}, -1104),
        ("depth", {"symbol": ["BTCUSDT", "ETHUSDT"]}, -1101),
        ("depth", {"symbol": "LUNCUSDT", "symbolStatus": "TRADING"}, -1220),
        ("time", {"zone": "UTC"}, -1101),
        ("ticker/24hr", {"symbol": "BTCUSDT", "symbols": '["BTCUSDT"]'}, -1128),
        ("ticker/24hr", {"type": "TINY"}, -1139),
        ("ticker/price", {"symbols": '["BTCUSDT","BTCUSDT"]'}, -1151),
        ("ticker/price", {"symbols": "BTCUSDT"}, -1100),
        ("ticker/price", {"symbolStatus": "RESTING"}, -1122),
        ("exchangeInfo", {"symbol": "BTCUSDT", "symbolStatus": "TRADING"}, -1128),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": 5, "startTime": 5}, -1128),
    ],
)
def test_misuse_is_answered_as_the_exchange_does(
    simulator: Running, path: str, query: dict[str, Any], code: int
) -> None:
    """Wrong parameters give 400 with the exchange's code and a message."""
    answer = simulator.get(path, **query)
    assert answer.status_code == 400
    body = answer.json()
    assert body["code"] == code
    assert set(body) == {"code", "msg"}


def test_a_lookup_over_the_past_is_the_same_each_time(simulator: Running) -> None:
    """Klines and trades of the past are byte for byte what they were."""
    for path, query in (
        ("klines", {"symbol": "XRPUSDT", "interval": "1m", "startTime": 1_750_000_000_000}),
        ("historicalTrades", {"symbol": "XRPUSDT", "fromId": 1_000_000, "limit": 1000}),
        ("aggTrades", {"symbol": "XRPUSDT", "fromId": 1_000_000, "limit": 1000}),
    ):
        assert simulator.get(path, **query).text == simulator.get(path, **query).text


def test_numbers_are_strings_that_a_float_does_not_hold(simulator: Running) -> None:
    """Extremes of the real exchange occur: 1e-8, ten-digit prices, 15-digit volumes, dead pairs."""
    rows = {row["symbol"]: row for row in simulator.get("ticker/24hr").json(parse_float=Decimal)}
    assert Decimal(rows["DUSTUSDT"]["volume"]) > Decimal(10) ** 14
    assert rows["DUSTUSDT"]["lastPrice"].startswith("0.000000")
    assert Decimal(rows["GIANTUSDT"]["lastPrice"]) > Decimal(10) ** 9
    assert "币安人生USDT" in rows
    dead = rows["BCCUSDT"]
    assert (dead["count"], dead["firstId"], dead["lastId"]) == (0, -1, -1)
    assert dead["openPrice"] == "0.00000000"
    assert dead["closeTime"] < (time.time() - 90 * 86_400) * 1000
    trading = simulator.get("ticker/24hr", symbolStatus="TRADING").json()
    assert dead["symbol"] not in {row["symbol"] for row in trading}


def test_times_come_in_microseconds_on_request(simulator: Running) -> None:
    """X-MBX-TIME-UNIT changes every time of an answer; anything else is refused."""
    path = "/api/v3/trades?symbol=BTCUSDT&limit=5"
    fine = simulator.http.get(path, headers={"X-MBX-TIME-UNIT": "MICROSECOND"}).json()
    assert all(row["time"] > 10**15 for row in fine)
    wrong = simulator.http.get(path, headers={"X-MBX-TIME-UNIT": "FORTNIGHT"})
    assert wrong.json()["code"] == -1194


def test_over_the_limit_comes_429_and_going_on_a_ban(simulator: Running) -> None:
    """Past the limit comes 429 with Retry-After; who goes on is banned; the log shows it."""
    simulator.control("limits", {"weight_limit": 50})
    refused = [simulator.get("trades", symbol="BTCUSDT", limit=1) for _ in range(3)][-1]
    if refused.status_code == 200:
        pytest.skip("a minute began in between")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json()["code"] == -1003
    answers = [simulator.get("ping") for _ in range(12)]
    assert answers[-1].status_code == 418
    assert int(answers[-1].headers["Retry-After"]) > 100
    assert "IP banned until" in answers[-1].json()["msg"]
    log = simulator.log()
    assert [row["while_blocked"] for row in log][:3] == [False, False, False]
    assert all(row["while_blocked"] for row in log[3:])


def test_a_lifted_limit_is_announced_as_a_huge_one(simulator: Running) -> None:
    """Weight limit 0: nobody is refused, and exchangeInfo says that there is room."""
    simulator.control("limits", {"weight_limit": 0})
    limits = simulator.get("exchangeInfo", symbol="BTCUSDT").json()["rateLimits"]
    assert limits[0]["rateLimitType"] == "REQUEST_WEIGHT"
    assert limits[0]["limit"] >= 10**9


PAGES = [
    ("firewall", 403, "text/html"),
    ("restricted", 451, "application/json"),
    ("disconnected", 500, "application/json"),
    ("gateway", 502, "text/html"),
    ("overloaded", 503, "text/html"),
    ("timeout", 504, "application/json"),
    ("maintenance", 200, "text/html"),
]


@pytest.mark.parametrize(("name", "status", "media_type"), PAGES)
def test_a_page_stands_in_for_the_answer(
    simulator: Running, name: str, status: int, media_type: str
) -> None:
    """Firewall, restriction, 5xx and maintenance come as scripted, as often as scripted."""
    simulator.fault(path="/api/v3/time", count=1, action={"do": "page", "name": name})
    answer = simulator.get("time")
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(media_type)
    assert simulator.get("time").status_code == 200
    assert [row["fault"] != "" for row in simulator.log("/time")] == [True, False]


@pytest.mark.parametrize(("status", "wait_s"), [(429, 2), (418, 120)])
def test_a_scripted_refusal_holds_for_everything(
    simulator: Running, status: int, wait_s: int
) -> None:
    """A scripted 429 or 418 blocks the address on every path until Retry-After is over."""
    simulator.fault(
        path="*/klines", count=1, action={"do": "limit", "status": status, "retry_after_s": wait_s}
    )
    first = simulator.get("klines", symbol="BTCUSDT", interval="1m")
    assert (first.status_code, first.headers["Retry-After"]) == (status, str(wait_s))
    assert simulator.get("time").status_code == status
    if status == 429:
        time.sleep(wait_s + 0.1)
        assert simulator.get("time").status_code == 200


def test_a_cut_body_ends_in_the_middle(simulator: Running) -> None:
    """Either the connection breaks before the announced length, or the JSON is short."""
    simulator.fault(path="*/trades", count=1, action={"do": "cut", "close": True})
    with pytest.raises(httpx.RemoteProtocolError):
        simulator.get("trades", symbol="BTCUSDT", limit=1000)
    simulator.fault(path="*/trades", count=1, action={"do": "cut", "close": False, "share": 0.3})
    short = simulator.get("trades", symbol="BTCUSDT", limit=10)
    assert short.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        short.json()


@pytest.mark.parametrize("close", [True, False])
def test_a_compressed_body_is_cut_in_its_middle(simulator: Running, *, close: bool) -> None:
    """It says gzip, and what can be unpacked of it is the beginning of the JSON."""
    cut = {"do": "cut", "gzip": True, "close": close}
    simulator.fault(path="*/trades", count=1, action=cut)
    if close:
        with pytest.raises(httpx.RemoteProtocolError):
            simulator.get("trades", symbol="BTCUSDT", limit=1000)
        return
    short = simulator.get("trades", symbol="BTCUSDT", limit=1000)
    assert short.headers["Content-Encoding"] == "gzip"
    assert short.text.startswith('[{"id":')
    with pytest.raises(json.JSONDecodeError):
        short.json()


def test_a_dropped_connection_has_no_answer(simulator: Running) -> None:
    """The client sees the connection end; the log keeps status 0."""
    simulator.fault(path="*/time", count=1, action={"do": "drop"})
    with pytest.raises(httpx.RemoteProtocolError):
        simulator.get("time")
    assert simulator.log("/time")[0]["status"] == 0


def test_a_slow_answer_is_still_an_answer(simulator: Running) -> None:
    """A delay holds up one request, and other faults may follow it."""
    simulator.control(
        "faults",
        {
            "rules": [
                {"path": "*/time", "count": 1, "action": {"do": "delay", "seconds": 0.4}},
                {"path": "*/time", "count": 1, "action": {"do": "page", "name": "gateway"}},
            ]
        },
    )
    began = time.monotonic()
    assert simulator.get("time").status_code == 502
    assert time.monotonic() - began >= 0.4


def test_values_are_substituted_in_a_row(simulator: Running) -> None:
    """NaN, exponents, negative prices, wrong units, missing fields, duplicates, hidden ids."""
    query = {"symbol": "BTCUSDT", "limit": 4}
    simulator.fault(
        path="*/trades",
        count=1,
        symbol="BTCUSDT",
        action={"do": "replace", "field": "price", "value": "1e-8", "row": 2},
    )
    assert simulator.get("trades", **query).json()[2]["price"] == "1e-8"
    simulator.fault(
        path="*/trades",
        count=1,
        action={"do": "replace", "field": "qty", "value": "NaN", "row": "all", "bare": True},
    )
    assert simulator.get("trades", **query).text.count('"qty":NaN') == 4
    simulator.fault(
        path="*/klines", count=1, action={"do": "replace", "field": 4, "value": "-5", "row": -1}
    )
    rows = simulator.get("klines", symbol="BTCUSDT", interval="1m", limit=3).json()
    assert rows[-1][4] == "-5"
    simulator.fault(path="*/trades", count=1, action={"do": "rescale", "factor": 1000})
    assert simulator.get("trades", **query).json()[0]["time"] > 10**15
    simulator.fault(path="*/trades", count=1, action={"do": "omit", "field": "id"})
    assert "id" not in simulator.get("trades", **query).json()[0]
    simulator.fault(path="*/trades", count=1, action={"do": "duplicate", "times": 3})
    assert len(simulator.get("trades", **query).json()) == 12
    lost = {"do": "hide", "first": 10, "last": 12}
    simulator.fault(path="*/historicalTrades", count=1, action=lost)
    rows = simulator.get("historicalTrades", symbol="BTCUSDT", fromId=8, limit=7).json()
    assert [row["id"] for row in rows] == [8, 9, 13, 14]
    simulator.fault(
        path="*/exchangeInfo",
        count=1,
        action={
            "do": "replace",
            "field": "status",
            "value": "HALT",
            "where": {"symbol": "ETHUSDT"},
        },
    )
    entries = simulator.get("exchangeInfo", symbols='["BTCUSDT","ETHUSDT"]').json()["symbols"]
    assert [entry["status"] for entry in entries] == ["TRADING", "HALT"]


def test_the_exchange_clock_can_be_wrong(simulator: Running) -> None:
    """A skew shows in /time and nowhere else."""
    simulator.control("clock", {"skew_ms": -5000})
    try:
        said = simulator.get("time").json()["serverTime"]
        assert said - time.time() * 1000 == pytest.approx(-5000, abs=1000)
    finally:
        simulator.control("clock", {"skew_ms": 0})


@pytest.mark.parametrize(
    "script",
    [
        {"rules": [{"action": {"do": "explode"}}]},
        {"rules": [{"path": "/x"}]},
        {"rules": [{"action": {"do": "page", "name": "nowhere"}}]},
        {"rules": [{"action": {"do": "delay", "seconds": "long"}}]},
        {"rules": [{"action": {"do": "drop"}, "colour": "red"}]},
        [],
    ],
)
def test_a_script_that_makes_no_sense_is_refused_whole(simulator: Running, script: Any) -> None:
    """A wrong rule gives 400 with the reason, and none of the rules is at work."""
    answer = simulator.http.post("/_simulator/faults", json=script)
    assert answer.status_code == 400
    assert answer.text.strip()
    assert simulator.http.get("/_simulator/faults").json() == {"rules": []}


def test_health_says_which_market_it_is(simulator: Running) -> None:
    """Seed and intensity, which identify a market, stand in health."""
    health = simulator.http.get("/_simulator/health").json()
    assert (health["seed"], health["trades_per_second"]) == (3, 100.0)


def test_unknown_paths_are_not_found(simulator: Running) -> None:
    """What the exchange does not have is 404, not an empty answer."""
    assert simulator.get("nowhere").status_code == 404
    assert simulator.http.post("/api/v3/order").status_code == 404


def test_a_taken_port_is_one_clear_error(simulator: Running) -> None:
    """A second simulator on the port says so and names the remedy."""
    settings = SimulatorSettings(simulator_url=f"http://127.0.0.1:{urlsplit(simulator.url).port}")

    async def second() -> None:
        async with serving(Server(settings)):
            pass

    with pytest.raises(PortTakenError, match="--port"):
        asyncio.run(second())
