"""Binance's public archive over HTTP: daily and monthly zip files, each with its CHECKSUM.

    /data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-01-31.zip[.CHECKSUM]
    /data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2026-01.zip[.CHECKSUM]

Faults of the script: `page` (missing, in trouble), `cut` (truncated), `wrong_checksum`, `header`,
and all that spoil rows, by the place of a field: they make an earlier issue of the file.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from aiohttp import web

from simulator import archive_files, metrics, pages
from simulator.answers import Answer, DroppedError, damaged, send
from simulator.archive_files import File
from simulator.faults import (
    Action,
    Corruption,
    Cut,
    Delay,
    Drop,
    HangUp,
    Header,
    Limit,
    Page,
    Rule,
    Silence,
    WrongChecksum,
)
from simulator.journal import request_of

if TYPE_CHECKING:
    from simulator.server import Server

ROUTE = "/data/{path:.*}"
_CHECKSUM = ".CHECKSUM"
_KEPT = 8  # files, of at most some 30 MB
_REISSUED_AFTER = timedelta(hours=1)


class Archive:
    """The handler, for one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._content = lru_cache(maxsize=_KEPT)(self._drawn)

    def add_routes(self, app: web.Application) -> None:
        """Add the paths; HEAD is answered, too."""
        app.router.add_get(ROUTE, self._handle)

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        started, now_s = time.perf_counter(), self._server.now_s()
        rules = self._server.script.meet(http.path, None, now_s)
        try:
            answer = await self._answer(http, rules)
        except DroppedError:
            answer = Answer(0, "")
        took_s = time.perf_counter() - started
        self._server.journal.note(request_of(http, rules, answer.status, now_s, took_s))
        metrics.REQUESTS.labels("archive", str(answer.status)).inc()
        return await send(http, answer, {})

    async def _answer(self, http: web.Request, rules: list[Rule]) -> Answer:
        for rule in rules:
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop() | HangUp() | Silence():
                    raise DroppedError
                case Limit(status=status):
                    return Answer(status, "", "text/plain")
                case Page(name=name, status=status):
                    page = pages.page(name, status)
                    return Answer(page.status, page.body, page.media_type)
        actions = [rule.action for rule in rules]
        file = archive_files.named(http.path.removesuffix(_CHECKSUM))
        found = await self._find(file, actions) if file else None
        if found is None or file is None:
            page = pages.page("not_found")
            return Answer(page.status, page.body, page.media_type)
        headers = {"Last-Modified": _published(file, actions)}
        if http.path.endswith(_CHECKSUM):
            note = _note(file, found, actions)
            return damaged(Answer(200, note, "text/plain", headers), _cuts(http, rules))
        return damaged(Answer(200, found, "application/zip", headers), _cuts(http, rules))

    async def _find(self, file: File, actions: Sequence[Action]) -> bytes | None:
        now_us = self._server.clock.now_us()
        if file.published > datetime.fromtimestamp(now_us / 1e6, UTC):
            return None
        rows = tuple(one for one in actions if isinstance(one, Corruption | Header))
        return await asyncio.to_thread(self._content, file, _Faults(rows))

    def _drawn(self, file: File, faults: _Faults) -> bytes | None:
        market = self._server.exchange.market
        listing = market.listings.get(file.symbol)
        if listing is None:
            return None
        return archive_files.content(market, listing, file, faults.actions)


class _Faults:
    """Faults as a part of a key: equal where they say the same."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self.actions = actions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Faults) and self.actions == other.actions

    def __hash__(self) -> int:
        return hash(repr(self.actions))


def _cuts(http: web.Request, rules: Sequence[Rule]) -> list[Rule]:
    """The rules that act on bytes; a HEAD has none."""
    return [rule for rule in rules if isinstance(rule.action, Cut) and http.method == "GET"]


def _note(file: File, found: bytes, actions: Sequence[Action]) -> str:
    """The content of a CHECKSUM file, as `sha256sum` writes it."""
    wrong = any(isinstance(one, WrongChecksum) for one in actions)
    digest = hashlib.sha256(found + b"!" if wrong else found).hexdigest()
    return f"{digest}  {file.name}.zip\n"


def _published(file: File, actions: Sequence[Action]) -> str:
    """When this issue of a file was put there; a spoilt one came first."""
    spoilt = any(isinstance(one, Corruption) for one in actions)
    at = file.published if spoilt else file.published + _REISSUED_AFTER
    return format_datetime(at, usegmt=True)
