"""The simulator's own endpoints under /_simulator: health, log, faults, clock, limits.

GET    /_simulator/health
GET    /_simulator/log?since_ms=…&path=…      DELETE forgets it
GET    /_simulator/sent?path=…                the latest answers of a path, as they went out
GET    /_simulator/faults                     POST a script adds its rules, DELETE takes all away
POST   /_simulator/clock   {"offset_ms": …, "skew_ms": …}
POST   /_simulator/limits  {"weight_limit": …}    forgets weights and bans too
POST   /_simulator/listings  {"symbol": …, "status": …, "base": …, "was": …}  (simulator.listings)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from simulator import listings, pages
from simulator.errors import ScriptError
from simulator.faults import Page, Script

if TYPE_CHECKING:
    from simulator.server import Server

Change = TypeVar("Change")


class _ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    offset_ms: int | None = None
    skew_ms: int | None = None


class _LimitChange(msgspec.Struct, forbid_unknown_fields=True):
    weight_limit: int


def load_file(script: Script, path: Path, now_s: float) -> None:
    """Load a script from a file; ScriptError names the file."""
    try:
        load(script, path.read_bytes(), now_s)
    except OSError as error:
        raise ScriptError(f"the fault script {path} cannot be read: {error.strerror}") from error
    except ScriptError as error:
        raise ScriptError(f"{path}: {error}") from error


def load(script: Script, text: bytes, now_s: float) -> list[str]:
    """Add a script's rules if all of them can act."""
    trial = Script()
    trial.load(text, now_s)
    for rule in trial.rules():
        if isinstance(rule.action, Page):
            pages.page(rule.action.name)
    return script.load(text, now_s)


class Control:
    """The handlers, for one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add_routes(self, app: web.Application) -> None:
        """Add the control endpoints."""
        app.router.add_get("/_simulator/health", self.health)
        app.router.add_get("/_simulator/log", self.read_log)
        app.router.add_delete("/_simulator/log", self.clear_log)
        app.router.add_get("/_simulator/sent", self.read_sent)
        app.router.add_get("/_simulator/faults", self.read_faults)
        app.router.add_post("/_simulator/faults", self.add_faults)
        app.router.add_delete("/_simulator/faults", self.clear_faults)
        app.router.add_post("/_simulator/clock", self.set_clock)
        app.router.add_post("/_simulator/limits", self.set_limits)
        app.router.add_post("/_simulator/listings", self.set_listing)

    async def health(self, _: web.Request) -> web.Response:
        """What runs here, and that it runs."""
        server = self._server
        market = server.exchange.market
        return web.json_response(
            {
                "status": "ok",
                "now_ms": server.clock.now_us() // 1000,
                "seed": market.seed,
                "trades_per_second": market.trades_per_second,
                "weight_limit": server.limits.limit,
                "symbols": len(market.listed(server.clock.now_us())),
                "streams": len(server.sockets),
                "answers": server.journal.statuses,
                "faults": len(server.script.rules()),
            }
        )

    async def read_log(self, http: web.Request) -> web.Response:
        """Requests since a time."""
        since = http.query.get("since_ms", "0")
        if not since.isdecimal():
            raise web.HTTPBadRequest(text="since_ms is a whole number of milliseconds\n")
        path = http.query.get("path", "")
        return web.json_response(self._server.journal.since(int(since), path))

    async def read_sent(self, http: web.Request) -> web.Response:
        """The latest answers of a path: each with its query and its text."""
        found = self._server.journal.answers(http.query.get("path", ""))
        return web.json_response([{"query": query, "body": body} for query, body in found])

    async def clear_log(self, _: web.Request) -> web.Response:
        """Forget the requests."""
        self._server.journal.clear()
        return web.json_response({})

    async def read_faults(self, _: web.Request) -> web.Response:
        """The rules and how often they acted."""
        return web.json_response({"rules": self._server.script.state()})

    async def add_faults(self, http: web.Request) -> web.Response:
        """Add a script's rules; 400 says what is wrong with it."""
        try:
            ids = load(self._server.script, await http.read(), self._server.now_s())
        except ScriptError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.json_response({"ids": ids})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Take all rules away."""
        self._server.script.clear()
        return web.json_response({})

    async def set_clock(self, http: web.Request) -> web.Response:
        """Move the market or only what the exchange says of its clock."""
        change = await _decoded(http, _ClockChange)
        clock = self._server.clock
        if change.offset_ms is not None:
            clock.offset_us = change.offset_ms * 1000
        if change.skew_ms is not None:
            clock.skew_us = change.skew_ms * 1000
        return web.json_response({"now_ms": clock.now_us() // 1000})

    async def set_limits(self, http: web.Request) -> web.Response:
        """Another weight limit; weights used and bans are forgotten."""
        change = await _decoded(http, _LimitChange)
        limits = self._server.limits
        limits.limit = self._server.exchange.weight_limit = max(0, change.weight_limit)
        limits.reset()
        return web.json_response({"weight_limit": limits.limit})

    async def set_listing(self, http: web.Request) -> web.Response:
        """Halt, resume, delist or list a symbol, from the next minute on."""
        change = await _decoded(http, listings.Change)
        server = self._server
        try:
            listings.apply(server.exchange.market, change, server.clock.now_us())
        except ScriptError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        for symbol in filter(None, (change.symbol, change.was)):
            server.sockets.renew(symbol)
        return web.json_response({})


async def _decoded(http: web.Request, kind: type[Change]) -> Change:
    try:
        return msgspec.json.decode(await http.read(), type=kind)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
