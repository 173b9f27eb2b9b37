"""CoinGecko, simulated: /coingecko/api/v3/coins/markets with a key, limits and faults.

The demo plan: 30 calls a minute and 10,000 a month for each key, then 429 with Retry-After. Headers
say what is left. A path of its own, so that fault rules and logs of the exchange leave it alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from simulator import coins, metrics, pages
from simulator.answers import Answer, DroppedError, damaged, send
from simulator.faults import Delay, Drop, HangUp, Limit, Page, Rule, Silence
from simulator.journal import request_of

if TYPE_CHECKING:
    from simulator.server import Server

PATH = "/coingecko/api/v3/coins/markets"
KEY_HEADER = "x-cg-demo-api-key"
REFUSED_KEY = "refused"  # the one key that is not valid
CALLS_A_MINUTE = 30
CALLS_A_MONTH = 10_000
_MOST_COINS = 250
_MINUTE_S = 60


@dataclass(slots=True)
class _Account:
    """Calls of a key in the minute and in the month; `silent_until_s`: by a fault."""

    minute: int = 0
    month: str = ""
    in_minute: int = 0
    in_month: int = 0
    silent_until_s: float = 0.0


class Limits:
    """The plan of every key. Times in seconds."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def charge(self, key: str, now_s: float) -> int:
        """Count a call; seconds to wait where it is one too many, else 0."""
        account = self._account(key, now_s)
        account.in_minute += 1
        if now_s < account.silent_until_s:
            return int(account.silent_until_s - now_s) + 1
        if account.in_minute > CALLS_A_MINUTE or account.in_month >= CALLS_A_MONTH:
            return int(_MINUTE_S - now_s % _MINUTE_S) + 1
        account.in_month += 1
        return 0

    def silence(self, key: str, seconds: float, now_s: float) -> None:
        """Refuse the key for a while."""
        self._account(key, now_s).silent_until_s = now_s + seconds

    def headers(self, key: str, now_s: float) -> dict[str, str]:
        """What is left of the minute and of the month."""
        account = self._account(key, now_s)
        return {
            "X-RateLimit-Limit": str(CALLS_A_MINUTE),
            "X-RateLimit-Remaining": str(max(CALLS_A_MINUTE - account.in_minute, 0)),
            "X-Monthly-Remaining": str(CALLS_A_MONTH - account.in_month),
        }

    def _account(self, key: str, now_s: float) -> _Account:
        account = self._accounts.setdefault(key, _Account())
        minute = int(now_s // _MINUTE_S)
        month = f"{datetime.fromtimestamp(now_s, UTC):%Y-%m}"
        if account.minute != minute:
            account.minute, account.in_minute = minute, 0
        if account.month != month:
            account.month, account.in_month = month, 0
        return account


class CoinGecko:
    """The handler, for one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = Limits()

    def add_routes(self, app: web.Application) -> None:
        """Add the path."""
        app.router.add_get(PATH, self._markets)

    async def _markets(self, http: web.Request) -> web.StreamResponse:
        started, now_s = time.perf_counter(), self._server.now_s()
        key = http.headers.get(KEY_HEADER, "")
        rules = self._server.script.meet(http.path, None, now_s)
        try:
            answer = await self._answer(http, key, rules)
        except DroppedError:
            answer = Answer(0, "")
        if answer.status == 200:
            self._server.journal.keep(http.path, http.query_string, answer.text)
        took_s = time.perf_counter() - started
        self._server.journal.note(request_of(http, rules, answer.status, now_s, took_s))
        metrics.REQUESTS.labels(PATH, str(answer.status)).inc()
        return await send(http, answer, self._limits.headers(key, now_s))

    async def _answer(self, http: web.Request, key: str, rules: list[Rule]) -> Answer:
        for rule in rules:
            match rule.action:
                case Delay(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Drop() | HangUp() | Silence():
                    raise DroppedError
                case Limit(retry_after_s=wait_s):
                    self._limits.silence(key, wait_s, self._server.now_s())
                case Page(name=name, status=status):
                    page = pages.page(name, status)
                    return Answer(page.status, page.body, page.media_type)
        if key in {"", REFUSED_KEY}:
            return _refusal(401, 10002, "API Key Missing" if not key else "Invalid API Key")
        wait_s = self._limits.charge(key, self._server.now_s())
        if wait_s:
            refusal = _refusal(429, 429, "You've exceeded the Rate Limit.")
            refusal.headers = {"Retry-After": str(wait_s)}
            return refusal
        return damaged(self._body(http), rules)

    def _body(self, http: web.Request) -> Answer:
        currency = http.query.get("vs_currency")
        if currency is None:
            return Answer(422, '{"error":"Missing parameter vs_currency"}')
        if currency != "usd":
            return Answer(400, '{"error":"invalid vs_currency"}')
        text = http.query.get("per_page", "100")
        limit = min(int(text), _MOST_COINS) if text.isascii() and text.isdigit() else 100
        ids = http.query.get("ids")
        wanted = None if not ids else set(ids.split(","))
        now_us = self._server.clock.now_us()
        return Answer(200, coins.markets(self._server.exchange, wanted, now_us, limit))


def _refusal(status: int, code: int, message: str) -> Answer:
    body = {"status": {"error_code": code, "error_message": message}}
    return Answer(status, json.dumps(body, separators=(",", ":")))
