"""CoinGecko's and CoinCap's feeds against the simulator over real HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import SecretStr

from contracts.market import CoinMarket, Gap, Price, Rejected
from contracts.shedding import ALL, NONE
from ingest.batch import Batch
from ingest.coincap.feed import Feed as CoinCapFeed
from ingest.coincap.wire import listen
from ingest.coingecko.feed import Feed as CoinGeckoFeed
from ingest.errors import BadRequest, Banned, ExchangeError, Unreachable
from ingest.settings import IngestSettings
from ingest.source import Source, find
from simulator.server import Server, serving
from simulator.settings import SimulatorSettings

CANARY = "canary-key-91c4"


@dataclass
class Scene:
    """A simulator, settings for it, and what feeds have put into their spool."""

    server: Server
    url: str
    settings: IngestSettings
    level: int = NONE
    batches: list[Batch] = field(default_factory=list)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, batch: Batch, size: int) -> None:
        assert size > 0
        await self.room.wait()
        self.batches.append(batch)

    @property
    def coins(self) -> list[CoinMarket]:
        return [row for batch in self.batches for row in batch.coin_markets]

    @property
    def prices(self) -> list[Price]:
        return [row for batch in self.batches for row in batch.prices]

    @property
    def gaps(self) -> list[Gap]:
        return [row for batch in self.batches for row in batch.gaps]

    @property
    def rejected(self) -> list[Rejected]:
        return [row for batch in self.batches for row in batch.rejected]

    def fault(self, path: str, count: int | None = 1, **action: Any) -> None:
        rule = {"path": path, "action": action} | ({} if count is None else {"count": count})
        self.server.script.load(json.dumps({"rules": [rule]}), self.server.now_s())

    def log(self, path: str) -> list[dict[str, Any]]:
        return self.server.journal.since(0, path)

    def source(self, name: str, key: str = "simulated") -> Source:
        found = find(self.settings, name, self.url)  # type: ignore[arg-type] # either of the two
        assert found is not None
        return Source(found.venue, found.url, SecretStr(key))

    async def ask(self, key: str = "simulated") -> ExchangeError | None:
        """One call of CoinGecko."""
        feed = CoinGeckoFeed(self.settings, self.source("coingecko", key), self.put)
        try:
            return await feed.ask()
        finally:
            await feed.close()

    @asynccontextmanager
    async def listening(self, key: str = "simulated") -> AsyncIterator[None]:
        """CoinCap's feed, running."""
        feed = CoinCapFeed(self.settings, self.source("coincap", key), self.put, lambda: self.level)
        task = asyncio.create_task(feed.run([]))
        try:
            yield
            assert not task.done(), "it never ends by itself"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, true: Callable[[], Any], timeout_s: float = 60) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.05)


Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scene against a fresh simulator."""

    def play(scene: Callable[[Scene], Awaitable[None]], **change: Any) -> None:
        simulated = SimulatorSettings(
            simulator_url="http://127.0.0.1:0",
            simulator_seed=3,
            simulator_trades_per_second=100.0,
        )

        async def run() -> None:
            server = Server(simulated)
            async with serving(server) as url:
                settings = IngestSettings(
                    state_dir=tmp_path, simulator_url=url, backoff_s=0.01, **change
                )
                made = Scene(server, url, settings)
                made.room.set()
                await scene(made)

        asyncio.run(run())

    return play


def test_ten_coins_are_stored_as_they_were_said(play: Play) -> None:
    """Digit for digit, in one call, with nulls where the market has nothing to say."""

    async def scene(it: Scene) -> None:
        assert await it.ask() is None
        ((query, body),) = it.server.journal.answers("/coingecko/api/v3/coins/markets")
        assert query.count("ids=") == 1
        said = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        assert {row.coin_id for row in it.coins} == set(it.settings.coingecko_coins)
        assert {row.venue for row in it.coins} == {"simulator-coingecko"}
        for row, theirs in zip(it.coins, said, strict=True):
            assert row.price == theirs["current_price"]
            assert row.market_cap == theirs["market_cap"]
            assert row.price_change_percent_24h == theirs["price_change_percentage_24h"]
            assert row.ts_event.isoformat(timespec="milliseconds")[:23] in theirs["last_updated"]
        (hype,) = [row for row in it.coins if row.coin_id == "hyperliquid"]
        assert (hype.market_cap_rank, hype.price_change_percent_24h) == (None, None)
        assert it.rejected == []

    play(scene)


def test_coins_agree_with_the_pairs_of_the_exchange(play: Play) -> None:
    """Bitcoin at CoinGecko is BTCUSDT's last trade, and so are its 24 h."""

    async def scene(it: Scene) -> None:
        it.server.clock.offset_us -= 10_000_000
        assert await it.ask() is None
        (coin,) = [row for row in it.coins if row.coin_id == "bitcoin"]
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(
                f"{it.url}/api/v3/trades", params={"symbol": "BTCUSDT", "limit": 1000}
            )
            day = await http.get(f"{it.url}/api/v3/ticker/24hr", params={"symbol": "BTCUSDT"})
        at_ms = int(coin.ts_event.timestamp() * 1000)
        same = [Decimal(each["price"]) for each in answer.json() if each["time"] == at_ms]
        assert coin.price in same
        assert coin.high_24h is not None
        assert coin.low_24h is not None
        assert coin.low_24h <= coin.price <= coin.high_24h <= Decimal(day.json()["highPrice"])

    play(scene)


def test_too_many_calls_are_answered_with_silence(play: Play) -> None:
    """429 with Retry-After: the next call is not even sent."""

    async def scene(it: Scene) -> None:
        it.fault("/coingecko/*", do="limit", status=429, retry_after_s=120)
        error = await it.ask()
        assert isinstance(error, Banned)
        assert error.status == 429
        assert isinstance(await it.ask(), Banned)
        assert [each["status"] for each in it.log("/coingecko/")] == [429]
        assert it.batches == []

    play(scene)


def test_the_simulated_plan_has_thirty_calls_a_minute(play: Play) -> None:
    """Its headers say what is left, and the call after the last is refused."""

    async def scene(it: Scene) -> None:
        query = {"vs_currency": "usd", "ids": "bitcoin"}
        url = f"{it.url}/coingecko/api/v3/coins/markets"
        async with httpx.AsyncClient(trust_env=False) as http:
            refused = await http.get(url, params=query)
            assert refused.status_code == 401
            http.headers["x-cg-demo-api-key"] = "k"
            answers = [await http.get(url, params=query) for _ in range(61)]  # two minutes at most
        statuses = [each.status_code for each in answers]
        first = statuses.index(429)
        assert first <= 60
        assert answers[first - 1].headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(answers[first].headers["retry-after"]) <= 60

    play(scene)


@pytest.mark.parametrize("action", [{"do": "drop"}, {"do": "page", "name": "gateway"}])
def test_a_call_that_fails_is_made_again(play: Play, action: dict[str, Any]) -> None:
    """A connection that is cut, a gateway's page."""

    async def scene(it: Scene) -> None:
        it.fault("/coingecko/*", **action)
        assert await it.ask() is None
        assert len(it.coins) == 10
        assert len(it.log("/coingecko/")) == 2

    play(scene)


def test_a_coin_without_a_price_is_set_aside_alone(play: Play) -> None:
    """Its evidence goes with the nine others, in one batch."""

    async def scene(it: Scene) -> None:
        it.fault("/coingecko/*", do="replace", field="current_price", value=None)
        assert await it.ask() is None
        assert len(it.coins) == 9
        (rejected,) = it.rejected
        assert rejected.reason == "current_price is null"
        assert json.loads(rejected.raw)["id"] == "bitcoin"

    play(scene)


def test_prices_come_as_partial_maps(play: Play) -> None:
    """First all, then what changed; each price is one that the market had."""

    async def scene(it: Scene) -> None:
        async with it.listening():
            await it.until(lambda: len(it.batches) >= 4)
        assert {row.venue for row in it.prices} == {"simulator-coincap"}
        assert {row.symbol for row in it.batches[0].prices} == set(it.settings.coincap_assets)
        assert any(0 < len(batch.prices) < 10 for batch in it.batches[1:])
        assert all(row.observed_at.microsecond % 1000 == 0 for row in it.prices)
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(
                f"{it.url}/api/v3/trades", params={"symbol": "BTCUSDT", "limit": 1000}
            )
        traded = {Decimal(each["price"]) for each in answer.json()}
        assert {row.price for row in it.prices if row.symbol == "bitcoin"} <= traded
        assert (it.gaps, it.rejected) == ([], [])

    play(scene)


def test_an_asset_that_is_added_breaks_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second line takes over; the first one's assets miss no second of it."""
    monkeypatch.setattr("ingest.coincap.feed._LOOK_S", 0.2)

    async def scene(it: Scene) -> None:
        async with it.listening():
            await it.until(lambda: it.prices)
            it.settings.assets_file.write_text("chainlink\n")
            await it.until(lambda: any(row.symbol == "chainlink" for row in it.prices))
            await it.until(lambda: it.prices[-1].symbol != "chainlink")
            assert len(it.log("/coincap")) == 2
        assert it.gaps == []
        keys = [(row.symbol, row.observed_at) for row in it.prices]
        assert len(keys) == len(set(keys))

    play(scene)


@pytest.mark.parametrize("path", ["stream:coincap", "/coincap/prices"])
def test_a_line_that_breaks_is_made_anew_and_leaves_a_hole(play: Play, path: str) -> None:
    """What was missed stands in `gaps`, under the source's own venue."""

    async def scene(it: Scene) -> None:
        after = {} if path.startswith("stream") else {"after_s": 1.5}
        it.fault(path, count=1, do="hang_up", **after)
        async with it.listening():
            await it.until(lambda: len(it.log("/coincap")) == 2)
            before = len(it.prices)
            await it.until(lambda: len(it.prices) > before)
        if path.startswith("stream"):  # it broke before it had said anything: nothing was missed
            assert it.gaps == []
        else:
            (gap,) = it.gaps
            assert (gap.venue, gap.symbol, gap.stream) == ("simulator-coincap", "*", "prices")
            assert (gap.state, gap.cause) == ("unprovable", "disconnect")
            assert not any(
                gap.first_missing <= row.observed_at.timestamp() * 1000 <= gap.last_missing
                for row in it.prices
            )

    play(scene)


def test_frames_that_find_no_room_are_a_hole(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is away for long: what fits is kept, what does not is named, the line stays."""
    monkeypatch.setattr("ingest.coincap.feed._HEARD_LIMIT", 2)

    async def scene(it: Scene) -> None:
        it.room.clear()
        async with it.listening():
            await asyncio.sleep(6)
            it.room.set()
            await it.until(lambda: it.gaps)
        (gap,) = it.gaps
        assert gap.last_missing - gap.first_missing > 1000
        times_ms = [row.observed_at.timestamp() * 1000 for row in it.prices]
        assert any(ms < gap.first_missing for ms in times_ms)
        assert not any(gap.first_missing <= ms <= gap.last_missing for ms in times_ms)
        assert len(it.log("/coincap")) == 1

    play(scene)


def test_a_frame_that_is_broken_costs_itself_alone(play: Play) -> None:
    """A map that is cut off is evidence; the next one is read."""

    async def scene(it: Scene) -> None:
        it.fault("stream:coincap", do="cut", share=0.5)
        it.fault("stream:coincap", do="replace", field="bitcoin", value="NaN", count=None)
        async with it.listening():
            await it.until(lambda: it.prices and len(it.rejected) >= 2)
        assert any("no map of prices" in each.reason for each in it.rejected)
        assert any("price is 'NaN'" in each.reason for each in it.rejected)
        assert all(row.price.is_finite() for row in it.prices)

    play(scene)


def test_prices_that_are_shed_leave_a_gap_of_their_own_venue(play: Play) -> None:
    """While the watch wants it none is handed over; afterwards the hole is closed."""

    async def scene(it: Scene) -> None:
        it.level = ALL
        async with it.listening():
            await it.until(lambda: it.gaps)
            await asyncio.sleep(2)
            assert it.prices == []
            (gap,) = it.gaps
            assert (gap.venue, gap.state, gap.cause) == ("simulator-coincap", "open", "shed")
            it.level = NONE
            await it.until(lambda: it.prices)
        assert [each.state for each in it.gaps] == ["open", "unprovable"]
        assert it.gaps[1].first_missing == gap.first_missing
        first_ms = round(it.prices[0].observed_at.timestamp() * 1000)
        assert it.gaps[1].last_missing == first_ms

    play(scene)


def test_a_refused_key_is_told_and_not_tried_each_second(play: Play) -> None:
    """It ends neither feed; CoinCap hears from us once in some minutes."""

    async def scene(it: Scene) -> None:
        assert isinstance(await it.ask(key="refused"), BadRequest)
        async with it.listening(key="refused"):
            await it.until(lambda: it.log("/coincap"))
            await asyncio.sleep(3)
        assert [each["status"] for each in it.log("/coincap")] == [401]
        assert it.batches == []

    play(scene)


def test_the_key_is_in_no_log_however_chatty(
    play: Play, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor in the simulator's own: connections that work, break, and are refused."""
    caplog.set_level(logging.DEBUG)

    async def scene(it: Scene) -> None:
        it.fault("/coincap/prices", count=1, do="hang_up", after_s=0.2)
        assert await it.ask(key=CANARY) is None
        async with it.listening(key=CANARY):
            await it.until(lambda: len(it.log("/coincap")) >= 2)
        nowhere = replace(it, url="http://127.0.0.1:9")
        assert isinstance(await nowhere.ask(key=CANARY), Unreachable)
        assert CANARY not in json.dumps(it.log(""))

    play(scene)
    said = capfd.readouterr()
    assert CANARY not in caplog.text + said.out + said.err


def test_the_stream_follows_no_redirect() -> None:
    """Its key is in the address: it is not carried to another one."""
    asked: list[str] = []

    async def redirect(http: web.Request) -> web.Response:
        asked.append(http.path)
        raise web.HTTPFound(f"/elsewhere?{http.query_string}")

    async def scene() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", redirect)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        source = Source("v", f"ws://127.0.0.1:{runner.addresses[0][1]}", SecretStr(CANARY))
        try:
            with pytest.raises(Unreachable, match="status 302") as caught:
                await listen(source, ("bitcoin",), 5, lambda *_: None)
        finally:
            await runner.cleanup()
        assert CANARY not in f"{caught.value}{caught.value.__cause__}"

    asyncio.run(scene())
    assert asked == ["/prices"]
