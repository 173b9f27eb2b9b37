"""The stream connections against the simulated exchange on loopback, well and under faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client import REGISTRY

from ingest.binance.connection import Rules
from ingest.binance.dialogue import Parting
from ingest.binance.limits import utc_now
from ingest.binance.stream import Refusals, Streams
from ingest.binance.stream_messages import Told
from simulator import sockets
from simulator.server import Server, serving
from simulator.settings import SimulatorSettings

TRADES = ("btcusdt@trade", "ethusdt@trade")
QUICK = Rules(
    open_within_s=5,
    answer_within_s=5,
    doubt_s=1.5,
    silent_s=3,
    overlap_s=1,
    stable_s=1,
    backoff_s=0.2,
    message_every_s=0.3,
    streams_a_message=2,
)


@dataclass
class Scene:
    """A simulated exchange, and connections to it whose events are collected."""

    server: Server
    url: str
    told: list[Told] = field(default_factory=list)
    bans: list[tuple[int, datetime]] = field(default_factory=list)

    @asynccontextmanager
    async def streaming(
        self, *allotments: tuple[str, ...], rules: Rules = QUICK, pause_s: float = 2.0
    ) -> AsyncIterator[Streams]:
        def take(told: Told, received: datetime) -> None:
            assert abs((utc_now() - received).total_seconds()) < 60
            self.told.append(told)

        refusals = Refusals(pause_s, banned=lambda status, until: self.bans.append((status, until)))
        url = "ws" + self.url.removeprefix("http")
        streams = Streams("simulator", (url,), allotments, take, refusals, rules)
        running = asyncio.create_task(streams.run())
        try:
            yield streams
            assert not running.done(), running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        await eventually(lambda: len(self.server.sockets) == 0)

    def fault(self, **rule: Any) -> None:
        text = json.dumps({"rules": [{"path": "/stream", "count": 1} | rule]})
        self.server.script.load(text, self.server.now_s())

    def ids(self, stream: str = TRADES[0]) -> list[int]:
        mine = [told for told in self.told if told.stream == stream]
        return [trade.trade_id for told in mine for trade in told.trades]

    def connections(self) -> int:
        """How many were accepted."""
        requests = self.server.journal.since(0, "/stream")
        return sum(request["status"] == 101 for request in requests)

    async def rest(self, path: str, **query: Any) -> Any:
        url = f"{self.url}/api/v3/{path}"
        async with aiohttp.ClientSession() as http, http.get(url, params=query) as answer:
            return await answer.json()


async def eventually(true: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.05)


def played(play: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a scene against a fresh simulator."""
    settings = SimulatorSettings(
        simulator_url="http://127.0.0.1:0", simulator_seed=5, simulator_trades_per_second=300
    )

    async def scene() -> None:
        server = Server(settings)
        async with serving(server) as url:
            await play(Scene(server, url))

    asyncio.run(scene())


def ends(reason: str) -> float:
    """Connections that ended for a reason, in this process so far."""
    labels = {"reason": reason}
    return REGISTRY.get_sample_value("tidemark_ingest_stream_ends_total", labels) or 0.0


def holes(ids: list[int]) -> set[int]:
    return set(range(min(ids), max(ids) + 1)) - set(ids)


def test_every_stream_tells_and_trades_are_those_of_rest() -> None:
    """Over three connections, subscribed in messages that are paced below the limit."""

    async def scene(here: Scene) -> None:
        kinds = ("trade", "kline_1s", "depth@100ms", "bookTicker", "miniTicker")
        many = [f"{symbol}@{kind}" for symbol in ("btcusdt", "ethusdt") for kind in kinds]
        allotments = tuple(many[::2]), tuple(many[1::2]), ("!miniTicker@arr",)
        # to draw the whole market for the first time takes the one event loop some seconds
        patient = msgspec.structs.replace(QUICK, doubt_s=20, silent_s=40, answer_within_s=30)
        async with here.streaming(*allotments, rules=patient) as all_:
            names = {*many, "!miniTicker@arr"}
            await eventually(lambda: all(map(all_.flows, names)))
            await eventually(lambda: {told.stream for told in here.told} == names)
            await eventually(lambda: len(here.ids()) > 50)
            assert not all_.flows("solusdt@trade")
        assert here.connections() == 3
        assert [told.rejected for told in here.told if told.rejected] == []
        ids = here.ids()
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        rows = await here.rest("historicalTrades", symbol="BTCUSDT", fromId=ids[0], limit=1000)
        first = next(told for told in here.told if told.trades and told.stream == TRADES[0])
        assert rows[0]["id"] == first.trades[0].trade_id
        assert rows[0]["price"] == f"{first.trades[0].price:.8f}"
        assert float(rows[0]["quoteQty"]) == float(first.trades[0].quote_quantity)

    played(scene)


def test_a_connection_that_is_cut_is_replaced() -> None:
    """What was said meanwhile is missing, which ids tell; then all flows on."""

    async def scene(here: Scene) -> None:
        here.fault(action={"do": "hang_up", "after_s": 2.0})
        before = ends("broken")
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: streams.flows(TRADES[0]))
            await eventually(lambda: ends("broken") == before + 1)
            assert not streams.flows(TRADES[0])
            seen = len(here.ids())
            await eventually(lambda: streams.flows(TRADES[0]) and len(here.ids()) > seen)
        assert here.connections() == 2

    played(scene)


def test_a_half_open_connection_is_found_by_its_silence() -> None:
    """Nothing arrives and nothing is closed: doubted first, then replaced."""

    async def scene(here: Scene) -> None:
        here.fault(action={"do": "silence", "after_s": 2.0})
        before = ends("silent")
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: streams.flows(TRADES[0]))
            await eventually(lambda: not streams.flows(TRADES[0]))
            assert ends("silent") == before, "doubted while it is still there"
            await eventually(lambda: ends("silent") == before + 1)
            await eventually(lambda: streams.flows(TRADES[0]))
        assert here.connections() == 2

    played(scene)


def test_the_exchange_s_farewell_is_followed_at_once() -> None:
    """serverShutdown, and the server closes."""

    async def scene(here: Scene) -> None:
        here.fault(action={"do": "hang_up", "after_s": 2.5, "notice": True})
        before = ends("farewell")
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: ends("farewell") == before + 1)
            await eventually(lambda: here.connections() == 2)
            await eventually(lambda: streams.flows(TRADES[0]))

    played(scene)


def test_a_day_s_end_loses_nothing() -> None:
    """The 24 hours shortened to three seconds: the next connection overlaps, no id is missing."""

    async def scene(here: Scene) -> None:
        day = msgspec.structs.replace(QUICK, rotate_after_s=3, rotate_jitter_s=0)
        before = ends("replaced")
        async with here.streaming(TRADES, rules=day) as streams:
            await eventually(lambda: streams.flows(TRADES[0]))
            while ends("replaced") < before + 2:
                assert len(here.server.sockets) <= 2
                assert streams.flows(TRADES[0])
                await asyncio.sleep(0.05)
        ids = here.ids()
        assert holes(ids) == set()
        assert len(ids) > len(set(ids)), "both told while they overlapped"

    played(scene)


def test_a_firewall_or_a_ban_at_the_door_is_waited_for() -> None:
    """A 429 is of the address, so it is passed on; a firewall's 403 is of this host."""

    async def scene(here: Scene) -> None:
        here.fault(action={"do": "page", "name": "firewall"})
        async with here.streaming(TRADES, pause_s=2.0) as streams:
            await asyncio.sleep(1.5)
            assert here.connections() == 0
            await eventually(lambda: streams.flows(TRADES[0]))
        assert here.bans == []
        here.fault(action={"do": "page", "name": "firewall", "status": 429})
        async with here.streaming(TRADES):
            await eventually(lambda: len(here.bans) == 1)
        status, until = here.bans[0]
        assert status == 429
        assert 50 < (until - utc_now()).total_seconds() <= 60  # no Retry-After: the longest

    played(scene)


def test_an_exchange_that_comes_back_is_found_again() -> None:
    """Refused for a while, with waits that grow; then the streams flow."""

    async def scene(here: Scene) -> None:
        here.fault(count=4, action={"do": "drop"})
        before = ends("broken")
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: streams.flows(TRADES[1]))
        assert ends("broken") == before + 4

    played(scene)


def test_pings_of_the_exchange_are_answered_and_are_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cuts who does not answer; a connection that hears nothing else is well all the same."""
    monkeypatch.setattr(sockets, "_PING_EVERY_S", 0.4)
    monkeypatch.setattr(sockets, "_PONG_WITHIN_S", 1.0)

    async def scene(here: Scene) -> None:
        quiet = "nobody@trade"
        async with (
            here.streaming((quiet,)) as streams,
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{here.url}/stream", autoping=False) as mute,
        ):
            await eventually(lambda: streams.flows(quiet))
            before = ends("silent"), ends("broken")
            while (await mute.receive()).type is aiohttp.WSMsgType.PING:
                assert streams.flows(quiet)
            for _ in range(40):  # longer than both the exchange and we bear silence
                assert streams.flows(quiet)
                await asyncio.sleep(0.1)
            assert (ends("silent"), ends("broken")) == before
        assert (here.connections(), here.told) == (2, [])  # ours and the mute one

    played(scene)


def test_the_exchange_never_has_to_end_a_connection_for_its_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its 24 hours are five seconds, ours three: each connection is replaced before its end."""
    monkeypatch.setattr(sockets, "_LIFETIME_S", 5.0)

    async def scene(here: Scene) -> None:
        day = msgspec.structs.replace(QUICK, rotate_after_s=3, rotate_jitter_s=0)
        before = ends("replaced"), ends("broken")
        async with here.streaming(TRADES, rules=day) as streams:
            await eventually(lambda: streams.flows(TRADES[0]))
            await eventually(lambda: ends("replaced") == before[0] + 3)
            assert ends("broken") == before[1]
        assert holes(here.ids()) == set()

    played(scene)


def test_the_next_connection_is_there_before_a_farewell_is_over() -> None:
    """A farewell leaves a moment: what overlaps it loses no trade."""

    async def scene(here: Scene) -> None:
        before = ends("replaced")
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: streams.flows(TRADES[0]))
            await asyncio.sleep(QUICK.stable_s)
            (line,) = streams._lines
            (number,) = line.sockets
            streams._on(line, Parting(number))  # as said; the simulator closes at once, too
            await eventually(lambda: ends("replaced") == before + 1)
            assert here.connections() == 2
        assert holes(here.ids()) == set()

    played(scene)


def test_streams_come_and_go_without_another_connection() -> None:
    """What is new flows, what is not wanted falls silent, the rest loses nothing."""

    async def scene(here: Scene) -> None:
        async with here.streaming(TRADES) as streams:
            await eventually(lambda: all(map(streams.flows, TRADES)))
            streams.follow([(TRADES[0], "solusdt@trade"), ("bnbusdt@trade",)])
            assert not streams.flows(TRADES[1])
            await eventually(lambda: streams.flows("solusdt@trade"))
            await eventually(lambda: streams.flows("bnbusdt@trade"))
            await eventually(lambda: len(here.ids("solusdt@trade")) > 3)
            await eventually(lambda: len(here.ids("bnbusdt@trade")) > 3)
            gone = len(here.ids(TRADES[1]))
            more = len(here.ids()) + 30
            await eventually(lambda: len(here.ids()) > more)
            assert len(here.ids(TRADES[1])) == gone
            assert here.connections() == 2, "the second one for what is alone on its own"
            streams.follow([(TRADES[0],)])
            await eventually(lambda: len(here.server.sockets) == 1)
        assert holes(here.ids()) == set()
        assert here.connections() == 2

    played(scene)


def test_a_thousand_streams_are_subscribed_within_the_limits_of_messages() -> None:
    """By the rules that are in force: the exchange cuts who says more than five things a second."""

    async def scene(here: Scene) -> None:
        names = tuple(f"s{number}usdt@trade" for number in range(1022)) + TRADES
        before = ends("broken")
        async with here.streaming(names, rules=Rules()) as streams:
            await eventually(lambda: all(map(streams.flows, names)))
            await eventually(lambda: len(here.ids(TRADES[1])) > 3)
        assert (here.connections(), ends("broken")) == (1, before)

    played(scene)
