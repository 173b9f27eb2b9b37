"""The simulated exchange as an aiohttp server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from simulator import control, metrics, pages
from simulator.answers import Answer, DroppedError, damaged, send
from simulator.archive import Archive
from simulator.clock import Clock
from simulator.coincap import CoinCap
from simulator.coingecko import CoinGecko
from simulator.endpoints import ENDPOINTS, Endpoint
from simulator.errors import ApiError, PortTakenError
from simulator.faults import Delay, Drop, HangUp, Limit, Page, Rule, Script, Silence
from simulator.journal import Journal, Request
from simulator.limits import LimitExceededError, Limits
from simulator.market import Market
from simulator.parameters import Parameters
from simulator.rest import Exchange, Moment
from simulator.settings import SimulatorSettings
from simulator.sockets import Sockets
from simulator.trades import MINUTE_US

log = structlog.get_logger(__name__)

_LOOK_AHEAD_S = 30.0  # before a minute begins
_LOOK_AHEAD_PAUSE_S = 0.02  # between symbols


class Server:
    """One simulated exchange: its market, its clock, its limits, its faults, its log."""

    def __init__(self, settings: SimulatorSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        moment = settings.simulator_now
        self.clock = clock or (Clock.starting_at(moment.timestamp()) if moment else Clock())
        market = Market(settings.simulator_seed, settings.simulator_trades_per_second)
        self.exchange = Exchange(market, settings.simulator_weight_limit)
        self.limits = Limits(settings.simulator_weight_limit)
        self.script = Script()
        self.journal = Journal()
        self.sockets = Sockets(self)
        if settings.simulator_faults is not None:
            control.load_file(self.script, settings.simulator_faults, self.now_s())

    def now_s(self) -> float:
        """The market's time in seconds."""
        return self.clock.now_us() / 1e6

    def application(self) -> web.Application:
        """The routes of the exchange and of its control."""
        app = web.Application()
        for path in ENDPOINTS:
            app.router.add_get(path, self._rest)
        control.Control(self).add_routes(app)
        self.sockets.add_routes(app)
        CoinGecko(self).add_routes(app)
        CoinCap(self).add_routes(app)
        Archive(self).add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._rest)
        app.cleanup_ctx.append(self._look_ahead)
        return app

    async def _rest(self, http: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        now_s = self.now_s()
        address = http.remote or "unknown"
        endpoint = ENDPOINTS.get(http.path) if http.method == "GET" else None
        weight = endpoint.weight(http.query) if endpoint else 1
        was_blocked = self.limits.blocked(address, now_s)
        rules: list[Rule] = []
        status = 0
        try:
            if was_blocked:
                self.limits.charge(address, weight, now_s)
            rules = self.script.meet(http.path, http.query.get("symbol"), now_s)
            answer = await self._answer(http, endpoint, (address, weight), rules)
            status = answer.status
            if status == 200:
                self.journal.keep(http.path, http.query_string, answer.text)
        except LimitExceededError as error:
            status = error.status
            headers = {"Retry-After": str(error.retry_after_s)}
            answer = Answer(status, error.body(), headers=headers)
        except ApiError as error:
            status = error.status
            answer = Answer(status, error.body())
        except DroppedError:
            answer = Answer(0, "")
        used = self.limits.used(address, now_s)
        self._note(
            Request(
                at_ms=int(now_s * 1000),
                address=address,
                path=http.path,
                query=http.query_string,
                status=status,
                weight=weight,
                used_weight=used,
                while_blocked=was_blocked,
                fault=",".join(rule.id for rule in rules),
                took_ms=round((time.perf_counter() - started) * 1e3, 3),
            ),
        )
        weights = {"X-MBX-USED-WEIGHT": str(used), "X-MBX-USED-WEIGHT-1M": str(used)}
        return await send(http, answer, weights)

    def _note(self, request: Request) -> None:
        self.journal.note(request)
        path = request.path if request.path in ENDPOINTS else "other"
        metrics.REQUESTS.labels(path, str(request.status)).inc()
        if request.fault:
            metrics.FAULTS.inc()

    async def _answer(
        self,
        http: web.Request,
        endpoint: Endpoint | None,
        cost: tuple[str, int],
        rules: list[Rule],
    ) -> Answer:
        address, weight = cost
        for rule in rules:
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop() | HangUp() | Silence():
                    raise DroppedError
                case Limit(status=status, retry_after_s=wait_s):
                    self.limits.block(address, status, wait_s, self.now_s())
                    raise self.limits.refusal(address, self.now_s())
                case Page(name=name, status=status):
                    page = pages.page(name, status)
                    return Answer(page.status, page.body, page.media_type)
        if endpoint is None:
            page = pages.page("not_found")
            return Answer(page.status, page.body, page.media_type)
        self.limits.charge(address, weight, self.now_s())
        return damaged(Answer(200, await self._body(http, endpoint)), rules)

    async def _body(self, http: web.Request, endpoint: Endpoint) -> str:
        unit_us = _unit_us(http.headers.get("X-MBX-TIME-UNIT", "MILLISECOND"))
        now_us = self.clock.now_us()
        if http.path == "/api/v3/time":
            now_us += self.clock.skew_us
        moment = Moment(now_us, unit_us)
        asked = Parameters(http.query)
        if endpoint.is_long(http.query):
            return await asyncio.to_thread(endpoint.answer, self.exchange, asked, moment)
        return endpoint.answer(self.exchange, asked, moment)

    async def _look_ahead(self, app: web.Application) -> AsyncIterator[None]:
        """Draw the coming minute of every symbol before anybody asks for it."""
        del app
        task = asyncio.create_task(self._draw_ahead())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _draw_ahead(self) -> None:
        market, rolling = self.exchange.market, self.exchange.rolling
        minute = self.clock.now_us() // MINUTE_US
        pause_s = 0.0  # at the start somebody may be waiting
        while True:
            for listing in market.listed(minute * MINUTE_US):
                rolling.warm(listing, minute)
                market.trade_count(listing, minute * MINUTE_US)
                await asyncio.sleep(pause_s)
            pause_s = _LOOK_AHEAD_PAUSE_S
            minute = max(minute, self.clock.now_us() // MINUTE_US) + 1
            await asyncio.sleep(max(0.0, minute * 60 - self.now_s() - _LOOK_AHEAD_S))


def _unit_us(text: str) -> int:
    units = {"MILLISECOND": 1000, "MICROSECOND": 1}
    if text.upper() not in units:
        raise ApiError(
            -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
        )
    return units[text.upper()]


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """Serve until the context ends; gives the base URL. PortTakenError where it cannot."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    host, port = server.settings.host, server.settings.port
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise PortTakenError(host, port) from error
    try:
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def run(settings: SimulatorSettings, ended: asyncio.Event) -> None:
    """Serve until `ended`."""
    server = Server(settings)
    async with serving(server) as url:
        log.info(
            "the simulated exchange listens",
            url=url,
            seed=settings.simulator_seed,
            trades_per_second=settings.simulator_trades_per_second,
            weight_limit=settings.simulator_weight_limit or "lifted",
            symbols=len(server.exchange.market.listed(server.clock.now_us())),
        )
        await ended.wait()
