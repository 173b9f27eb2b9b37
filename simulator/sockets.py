"""The WebSocket endpoints: /ws/<stream> (raw) and /stream?streams=a/b (combined).

A connection pulls news from its streams twenty times a second. Limits as on the exchange: 1024
streams, 5 incoming messages a second, a ping every 20 s that must be answered within a minute, and
a life of 24 h.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from simulator import metrics, pages
from simulator.corruption import corrupted
from simulator.faults import (
    Cut,
    Delay,
    Drop,
    Duplicate,
    HangUp,
    Header,
    Hide,
    HoldBack,
    Limit,
    Page,
    Reverse,
    Rule,
    Silence,
    WrongChecksum,
)
from simulator.journal import request_of
from simulator.rest import Moment
from simulator.subscriptions import Subscriptions, requested

if TYPE_CHECKING:
    from simulator.server import Server

_POLL_S = 0.05
_PING_EVERY_S = 20.0
_PONG_WITHIN_S = 60.0
_LIFETIME_S = 24 * 3600.0
_MESSAGES_A_SECOND = 5


class HungUpError(Exception):
    """The server ends the connection."""


class Connection:
    """One client: what it subscribed to, and the faults that meet it."""

    def __init__(self, server: Server, http: web.Request) -> None:
        self._server = server
        self._http = http
        self._socket = web.WebSocketResponse(autoping=False, compress=False)
        self._unit_us = 1 if http.query.get("timeUnit", "").upper() == "MICROSECOND" else 1000
        self._subscriptions = Subscriptions(server.exchange, combined=http.path == "/stream")
        self._held: dict[str, list[str]] = {}  # events of a stream that go out after the next ones
        self._arrivals: deque[float] = deque(maxlen=_MESSAGES_A_SECOND + 1)
        self._began_s = self._ponged_s = self._pinged_s = time.monotonic()
        self._farewell = False  # it was said

    async def serve(self, rules: list[Rule]) -> web.WebSocketResponse:
        """Speak and listen until either side ends."""
        await self._socket.prepare(self._http)
        names = self._http.query.get("streams") or self._http.match_info.get("names", "")
        for name in filter(None, names.split("/")):
            self._subscriptions.add(name, self._moment())
        speaking = asyncio.create_task(self._speak(rules))
        listening = asyncio.create_task(self._listen())
        try:
            done, _ = await asyncio.wait({speaking, listening}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with contextlib.suppress(HungUpError, ConnectionResetError):
                    task.result()
        finally:
            speaking.cancel()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.gather(speaking, listening, return_exceptions=True)
            await self._socket.close()
        return self._socket

    async def notice(self) -> None:
        """Say serverShutdown, unless it was said, and close."""
        with contextlib.suppress(ConnectionResetError):
            await self._say_farewell()
            await self._socket.close()

    def renew(self, symbol: str) -> None:
        """The symbol's listing has changed."""
        self._subscriptions.renew(symbol, self._moment())

    # speaking

    async def _speak(self, rules: list[Rule]) -> None:
        while True:
            age_s = time.monotonic() - self._began_s
            silent = False
            for rule in rules:
                match rule.action:
                    case Silence(after_s=after_s) if age_s >= after_s:
                        silent = True
                    case HangUp(after_s=after_s) if age_s >= after_s:
                        await self._part(rule.action, age_s - after_s)
            if age_s >= _LIFETIME_S:
                await self._hang_up(notice=False)
            if not silent:
                await self._ping()
                await self._say_news()
            await asyncio.sleep(_POLL_S)

    async def _say_news(self) -> None:
        for name, symbol, events in self._subscriptions.news(self._moment()):
            metrics.EVENTS.inc(len(events))
            for event in await self._through_faults(name, symbol, events):
                if not symbol:  # of the whole market: few, and each tells of all
                    self._server.journal.keep(f"stream:{name}", "", event)
                await self._socket.send_str(self._subscriptions.wrapped(name, event))

    async def _through_faults(self, name: str, symbol: str, events: list[str]) -> list[str]:
        now_s = self._server.now_s()
        for rule in self._server.script.meet(f"stream:{name}", symbol or None, now_s):
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop():
                    events = []
                case HangUp(notice=notice):  # at this event: there is no time to wait
                    await self._hang_up(notice=notice)
                case Duplicate(times=times):
                    events = [event for event in events for _ in range(times)]
                case Reverse():
                    events = events[::-1]
                case Hide():
                    events = [event for event in events if not _hidden(event, rule.action)]
                case HoldBack():
                    self._held.setdefault(name, []).extend(events)
                    return []
                case Limit() | Page() | Cut() | Silence() | WrongChecksum() | Header():
                    pass  # these are for requests, for whole connections and for files
                case change:
                    events = [corrupted(event, change) for event in events]
        return [*events, *self._held.pop(name, [])]

    async def _ping(self) -> None:
        now_s = time.monotonic()
        if now_s - self._pinged_s >= _PING_EVERY_S:
            if self._pinged_s - self._ponged_s > _PONG_WITHIN_S:
                await self._hang_up(notice=False)
            self._pinged_s = now_s
            await self._socket.ping(str(self._server.clock.now_us() // 1000).encode())

    async def _part(self, how: HangUp, since_s: float) -> None:
        """End the connection as the rule wants it, whose time came `since_s` ago."""
        if how.notice and since_s < how.notice_s:
            await self._say_farewell()
        else:
            await self._hang_up(notice=how.notice)

    async def _say_farewell(self) -> None:
        if not self._farewell:
            self._farewell = True
            event = f'{{"e":"serverShutdown","E":{self._server.clock.now_us() // self._unit_us}}}'
            await self._socket.send_str(self._subscriptions.wrapped("!serverShutdown", event))

    async def _hang_up(self, *, notice: bool) -> None:
        if notice:
            await self.notice()
        elif self._http.transport is not None:
            self._http.transport.abort()
        raise HungUpError

    def _moment(self) -> Moment:
        return Moment(self._server.clock.now_us(), self._unit_us)

    # listening

    async def _listen(self) -> None:
        async for message in self._socket:
            now_s = time.monotonic()
            self._arrivals.append(now_s)
            if len(self._arrivals) > _MESSAGES_A_SECOND and now_s - self._arrivals[0] < 1.0:
                await self._hang_up(notice=False)
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._ponged_s = now_s
            elif message.type is WSMsgType.TEXT:
                self._note(message.data)
                await self._socket.send_str(self._subscriptions.reply(message.data, self._moment()))

    def _note(self, text: str) -> None:
        """What it asks for stands in the log: the method as path, the streams as query."""
        method, names = requested(text)
        request = request_of(self._http, (), 200, self._server.now_s())
        self._server.journal.note(replace(request, path=method, query="/".join(names)))


def _hidden(event: str, hide: Hide) -> bool:
    value = json.loads(event).get(hide.field)
    return isinstance(value, int) and hide.first <= value <= hide.last


class Sockets:
    """All connections of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: set[Connection] = set()

    def add_routes(self, app: web.Application) -> None:
        """Add the stream paths."""
        app.router.add_get("/ws", self._accept)
        app.router.add_get("/ws/{names:.+}", self._accept)
        app.router.add_get("/stream", self._accept)
        app.on_shutdown.append(self._say_goodbye)

    def __len__(self) -> int:
        return len(self._open)

    def renew(self, symbol: str) -> None:
        """Streams of the symbol go by its listing as it is now."""
        for connection in self._open:
            connection.renew(symbol)

    async def _accept(self, http: web.Request) -> web.StreamResponse:
        rules = self._server.script.meet(http.path, None, self._server.now_s())
        for rule in rules:
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop() if http.transport is not None:
                    http.transport.abort()
                    return web.Response(status=499)
                case Page(name=name, status=status):
                    page = pages.page(name, status)
                    return web.Response(
                        status=page.status, text=page.body, content_type=page.media_type
                    )
        connection = Connection(self._server, http)
        self._note(http, rules)
        self._open.add(connection)
        metrics.CONNECTIONS.set(len(self._open))
        try:
            return await connection.serve(rules)
        finally:
            self._open.discard(connection)
            metrics.CONNECTIONS.set(len(self._open))

    def _note(self, http: web.Request, rules: list[Rule]) -> None:
        """An accepted connection stands in the log as an answer with status 101."""
        self._server.journal.note(request_of(http, rules, 101, self._server.now_s()))

    async def _say_goodbye(self, app: web.Application) -> None:
        del app
        await asyncio.gather(*(connection.notice() for connection in list(self._open)))
