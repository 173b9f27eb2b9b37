"""CoinCap v3, simulated: /coincap/prices?assets=…&apiKey=…, partial maps of what changed.

Once a second a frame says the prices that changed since the last one; the first says all. Faults
meet the connection under its path and its frames under `stream:coincap`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from simulator import coins, metrics, pages
from simulator.answers import abort
from simulator.corruption import corrupted
from simulator.faults import (
    Cut,
    Delay,
    Drop,
    Duplicate,
    HangUp,
    Limit,
    Page,
    Replace,
    Rule,
    Silence,
)
from simulator.journal import request_of

if TYPE_CHECKING:
    from simulator.server import Server

PATH = "/coincap/prices"
FRAMES = "stream:coincap"  # what fault rules call its frames
REFUSED_KEY = "refused"  # the one key that is not valid
_EVERY_S = 1.0
_LOOK_S = 0.05


class News:
    """Frames of one connection. No I/O."""

    def __init__(self, prices: Callable[[], dict[str, str]]) -> None:
        """`prices`: those of its assets, now."""
        self._prices = prices
        self._said: dict[str, str] = {}

    def frame(self) -> str | None:
        """The prices that changed since the last frame, None where none did."""
        prices = self._prices()
        changed = {name: text for name, text in prices.items() if self._said.get(name) != text}
        self._said = prices
        return json.dumps(changed, separators=(",", ":")) if changed else None


class CoinCap:
    """The handler, for one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add_routes(self, app: web.Application) -> None:
        """Add the path."""
        app.router.add_get(PATH, self._accept)

    async def _accept(self, http: web.Request) -> web.StreamResponse:
        rules = self._server.script.meet(PATH, None, self._server.now_s())
        refusal = await self._refusal(http, rules)
        self._note(http, rules, 101 if refusal is None else refusal.status)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse(compress=False, heartbeat=20.0)
        await socket.prepare(http)
        speaking = asyncio.create_task(self._speak(http, socket, rules))
        try:
            async for _ in socket:  # CoinCap takes no messages; this hears the end
                pass
        finally:
            speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
                await speaking
            await socket.close()
        return socket

    async def _refusal(self, http: web.Request, rules: list[Rule]) -> web.Response | None:
        for rule in rules:
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop():
                    abort(http)
                    return web.Response(status=499)
                case Page(name=name, status=status):
                    page = pages.page(name, status)
                    return web.Response(
                        status=page.status, text=page.body, content_type=page.media_type
                    )
                case Limit(status=status, retry_after_s=wait_s):
                    return web.Response(status=status, headers={"Retry-After": str(wait_s)})
        if http.query.get("apiKey", "") in {"", REFUSED_KEY}:
            return web.json_response({"error": "invalid API key"}, status=401)
        if not http.query.get("assets"):
            return web.json_response({"error": "no assets"}, status=400)
        return None

    async def _speak(
        self, http: web.Request, socket: web.WebSocketResponse, rules: list[Rule]
    ) -> None:
        server, assets = self._server, http.query["assets"].split(",")
        news = News(lambda: coins.prices(server.exchange, assets, server.clock.now_us()))
        began_s = time.monotonic()
        due_s = 0.0
        with contextlib.suppress(ConnectionResetError):
            while not socket.closed:
                age_s = time.monotonic() - began_s
                for rule in rules:
                    if isinstance(rule.action, HangUp) and age_s >= rule.action.after_s:
                        abort(http)
                        return
                quiet = any(
                    isinstance(rule.action, Silence) and age_s >= rule.action.after_s
                    for rule in rules
                )
                if not quiet and age_s >= due_s:
                    due_s = age_s + _EVERY_S
                    await self._say(http, socket, news.frame())
                await asyncio.sleep(_LOOK_S)

    async def _say(
        self, http: web.Request, socket: web.WebSocketResponse, frame: str | None
    ) -> None:
        if frame is None:
            return
        times = 1
        for rule in self._server.script.meet(FRAMES, None, self._server.now_s()):
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop():
                    return
                case HangUp():
                    abort(http)
                    return
                case Duplicate(times=wanted):
                    times = wanted
                case Cut(share=share):
                    frame = frame[: int(len(frame) * share)]
                case Replace() as change:
                    frame = corrupted(frame, change)
                case _:
                    pass  # the others are of tables and of requests
        for _ in range(times):
            metrics.EVENTS.inc()
            await socket.send_str(frame)

    def _note(self, http: web.Request, rules: list[Rule], status: int) -> None:
        """In the log without its key."""
        asked = request_of(http, rules, status, self._server.now_s())
        query = f"assets={http.query.get('assets', '')}"
        self._server.journal.note(replace(asked, query=query))
