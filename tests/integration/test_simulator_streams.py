"""The simulated exchange's WebSocket streams, read by a real client on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from simulator import book, wire
from simulator.market import Market
from simulator.server import Server, serving
from simulator.settings import SimulatorSettings

Frames = list[dict[str, Any]]
SEED, RATE = 5, 300.0


class Session:
    """A client of one running simulator."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.http.ws_connect(f"{self.url}{path}") as socket:
            yield socket

    async def rest(self, path: str, **query: Any) -> Any:
        async with self.http.get(f"{self.url}/api/v3/{path}", params=query) as answer:
            return await answer.json()

    async def control(self, name: str, **query: str) -> Any:
        async with self.http.get(f"{self.url}/_simulator/{name}", params=query) as answer:
            return await answer.json()

    async def fault(self, **rule: Any) -> None:
        body = {"rules": [rule]}
        async with self.http.post(f"{self.url}/_simulator/faults", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def frames(self, path: str, seconds: float) -> Frames:
        """Everything that arrives on a path within some seconds."""
        async with self.socket(path) as socket:
            return await collected(socket, seconds)


async def collected(socket: aiohttp.ClientWebSocketResponse, seconds: float) -> Frames:
    frames: Frames = []
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            message = await socket.receive(timeout=left)
        except TimeoutError:
            break
        if message.type is not aiohttp.WSMsgType.TEXT:
            break
        frames.append(json.loads(message.data))
    return frames


def played(scene: Callable[[Session], Awaitable[None]]) -> None:
    """Run a scene against a fresh simulator."""
    settings = SimulatorSettings(
        simulator_url="http://127.0.0.1:0", simulator_seed=SEED, simulator_trades_per_second=RATE
    )

    async def play() -> None:
        async with serving(Server(settings)) as url, aiohttp.ClientSession() as http:
            await scene(Session(url, http))

    asyncio.run(play())


def test_the_trade_stream_has_every_trade_that_rest_has() -> None:
    """Ids come without holes, and each trade equals the one that /historicalTrades tells."""

    async def scene(session: Session) -> None:
        frames = await session.frames("/ws/btcusdt@trade", 2.0)
        ids = [frame["t"] for frame in frames]
        assert len(ids) > 20
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        rows = await session.rest("historicalTrades", symbol="BTCUSDT", fromId=ids[0], limit=500)
        for frame, row in zip(frames, rows, strict=False):
            assert set(frame) == {"e", "E", "s", "t", "p", "q", "T", "m", "M"}
            told = (row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"])
            assert (frame["t"], frame["p"], frame["q"], frame["T"], frame["m"]) == told
            assert frame["E"] >= frame["T"]

    played(scene)


def test_aggregate_trades_of_the_stream_equal_those_of_rest() -> None:
    """a, f and l go on without holes, as /aggTrades tells them."""

    async def scene(session: Session) -> None:
        frames = await session.frames("/ws/ethusdt@aggTrade", 1.5)
        rows = await session.rest("aggTrades", symbol="ETHUSDT", fromId=frames[0]["a"], limit=1000)
        assert len(frames) > 10
        for frame, row in zip(frames, rows, strict=False):
            assert {key: frame[key] for key in row} == row

    played(scene)


def test_a_local_book_built_from_diffs_equals_the_next_snapshot() -> None:
    """The exchange's own recipe for a local book works: snapshot, U and u, zero removes."""

    async def scene(session: Session) -> None:
        async with session.socket("/ws/btcusdt@depth@100ms") as socket:
            diffs = await collected(socket, 0.5)
            snapshot = await session.rest("depth", symbol="BTCUSDT", limit=5000)
            diffs += await collected(socket, 1.0)
            later = await session.rest("depth", symbol="BTCUSDT", limit=5000)
            diffs += await collected(socket, 0.5)
        seen = snapshot["lastUpdateId"]
        local = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        kept = [diff for diff in diffs if diff["u"] > seen]
        assert kept[0]["U"] <= seen + 1 <= kept[0]["u"]
        for older, newer in pairwise(kept):
            assert newer["U"] == older["u"] + 1
        for diff in kept:
            if diff["u"] > later["lastUpdateId"]:
                break
            for side, key in (("bids", "b"), ("asks", "a")):
                local[side].update(dict(diff[key]))
            seen = diff["u"]
        best_bid = max(Decimal(price) for price, size in local["bids"].items() if Decimal(size))
        best_ask = min(Decimal(price) for price, size in local["asks"].items() if Decimal(size))
        assert best_bid < best_ask
        exact = _book_at(seen)
        for side in ("bids", "asks"):
            left = {price: size for price, size in local[side].items() if Decimal(size)}
            assert left == exact[side]

    played(scene)


def _book_at(update_id: int) -> dict[str, dict[str, str]]:
    """The book at an update id, from another market of the same seed."""
    market = Market(SEED, RATE)
    listing = market.listings["BTCUSDT"]
    found = book.book(market, listing, update_id)
    return {
        name: dict(json.loads(wire.levels(listing, side)))
        for name, side in (("bids", found.bids), ("asks", found.asks))
    }


def test_the_kline_stream_closes_each_candle_as_rest_has_it() -> None:
    """The last word on a candle has x true and the values of /klines."""

    async def scene(session: Session) -> None:
        frames = await session.frames("/ws/btcusdt@kline_1s", 3.5)
        closed = [frame["k"] for frame in frames if frame["k"]["x"]]
        assert len(closed) >= 2
        assert len({each["t"] for each in closed}) == len(closed)
        rows = await session.rest(
            "klines", symbol="BTCUSDT", interval="1s", startTime=closed[0]["t"], limit=len(closed)
        )
        names = ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")
        assert [[each[name] for name in names] for each in closed] == rows
        for each in closed:
            assert each["L"] - each["f"] + 1 == each["n"]

    played(scene)


def test_combined_streams_name_themselves_and_can_be_changed() -> None:
    """Several streams on one connection, subscribed and unsubscribed while it runs."""

    async def scene(session: Session) -> None:
        path = "/stream?streams=btcusdt@bookTicker/ethusdt@miniTicker/ethusdt@ticker"
        async with session.socket(path) as socket:
            frames = await collected(socket, 1.5)
            assert {frame["stream"] for frame in frames} == {
                "btcusdt@bookTicker",
                "ethusdt@miniTicker",
                "ethusdt@ticker",
            }
            for method, wanted in (
                ("SUBSCRIBE", ["solusdt@trade", "BTCUSDT@trade", "nosuch@trade"]),
                ("UNSUBSCRIBE", ["btcusdt@bookTicker", "ethusdt@miniTicker", "ethusdt@ticker"]),
                ("LIST_SUBSCRIPTIONS", None),
            ):
                await socket.send_json({"method": method, "params": wanted, "id": method})
            frames = await collected(socket, 2.0)
            replies = {frame["id"]: frame["result"] for frame in frames if "id" in frame}
            assert replies["SUBSCRIBE"] is None
            assert "solusdt@trade" in replies["LIST_SUBSCRIPTIONS"]
            assert "btcusdt@bookTicker" not in replies["LIST_SUBSCRIPTIONS"]
            live = {frame["stream"] for frame in frames[-5:]}
            assert live == {"solusdt@trade"}
            await socket.send_str("{nonsense")
            answers = [each for each in await collected(socket, 0.5) if "code" in each]
            assert answers[0]["code"] == 3

    played(scene)


def test_the_whole_market_comes_as_one_array_of_what_changed() -> None:
    """!miniTicker@arr first tells every symbol, then only those that traded."""

    async def scene(session: Session) -> None:
        arrays = await session.frames("/ws/!miniTicker@arr", 4.0)
        assert len(arrays) >= 2
        sizes = [len(array) for array in arrays]
        assert sizes[0] >= 400
        assert 10 <= sizes[1] < sizes[0]
        kept = await session.control("sent", path="stream:!miniTicker@arr")
        assert [json.loads(each["body"]) for each in kept][: len(arrays)] == arrays

    played(scene)


def test_what_a_client_asks_for_stands_in_the_log() -> None:
    """The connection with its streams, then each message: the method, and what it names."""

    async def scene(session: Session) -> None:
        async with session.socket("/stream?streams=btcusdt@trade") as socket:
            for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
                names = ["ethusdt@trade", "solusdt@trade"]
                await socket.send_json({"method": method, "params": names, "id": 1})
            await socket.send_str("{nonsense")
            await collected(socket, 0.5)
        asked = await session.control("log")
        assert [(each["path"], each["query"]) for each in asked] == [
            ("/stream", "streams=btcusdt@trade"),
            ("SUBSCRIBE", "ethusdt@trade/solusdt@trade"),
            ("UNSUBSCRIBE", "ethusdt@trade/solusdt@trade"),
            ("", ""),
        ]

    played(scene)


def test_partial_books_show_the_best_levels() -> None:
    """depth5 has five levels a side."""

    async def scene(session: Session) -> None:
        frames = await session.frames("/ws/btcusdt@depth5@100ms", 0.5)
        assert len(frames) >= 2
        assert all(len(frame["bids"]) == len(frame["asks"]) == 5 for frame in frames)

    played(scene)


def test_microseconds_are_given_on_request() -> None:
    """The address's timeUnit changes the unit of every time."""

    async def scene(session: Session) -> None:
        frames = await session.frames("/stream?streams=btcusdt@trade&timeUnit=MICROSECOND", 1.0)
        assert all(frame["data"]["T"] > 10**15 for frame in frames)

    played(scene)


def test_stream_faults_lose_repeat_and_mislead_as_scripted() -> None:
    """Lost, repeated and reversed frames, a server's farewell, and a silence without an end."""

    async def scene(session: Session) -> None:
        await session.fault(
            path="stream:btcusdt@trade", count=2, action={"do": "duplicate", "times": 3}
        )
        ids = [frame["t"] for frame in await session.frames("/ws/btcusdt@trade", 1.0)]
        assert len(ids) > len(set(ids))
        await session.fault(path="stream:btcusdt@trade", skip=2, count=2, action={"do": "drop"})
        ids = [frame["t"] for frame in await session.frames("/ws/btcusdt@trade", 1.5)]
        assert len(set(ids)) < ids[-1] - ids[0] + 1
        await session.fault(
            path="/ws/*", count=1, action={"do": "hang_up", "after_s": 0.5, "notice": True}
        )
        frames = await session.frames("/ws/btcusdt@trade", 5.0)
        assert frames[-1]["e"] == "serverShutdown"
        await session.fault(path="/ws/*", count=1, action={"do": "silence", "after_s": 0.5})
        async with session.socket("/ws/btcusdt@trade") as socket:
            assert await collected(socket, 1.0)
            assert await collected(socket, 1.0) == []
            assert not socket.closed
        await session.fault(path="/ws/*", count=1, action={"do": "page", "name": "firewall"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.frames("/ws/btcusdt@trade", 0.1)
        assert refused.value.status == 403

    played(scene)


def test_talking_too_much_ends_the_connection() -> None:
    """More than five messages in a second: the exchange hangs up."""

    async def scene(session: Session) -> None:
        async with session.socket("/ws") as socket:
            for number in range(8):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            answers = await collected(socket, 2.0)
            assert len(answers) <= 6
            assert socket.closed

    played(scene)


def test_stopping_says_goodbye() -> None:
    """A server that stops says serverShutdown to whoever still listens."""

    async def scene() -> None:
        settings = SimulatorSettings(simulator_url="http://127.0.0.1:0", simulator_seed=5)
        async with aiohttp.ClientSession() as http:
            async with serving(Server(settings)) as url:
                socket = await http.ws_connect(f"{url}/stream?streams=btcusdt@trade")
                await asyncio.sleep(0.2)
            frames = await collected(socket, 2.0)
            assert frames[-1]["stream"] == "!serverShutdown"
            assert frames[-1]["data"]["e"] == "serverShutdown"
            await socket.close()

    asyncio.run(scene())
