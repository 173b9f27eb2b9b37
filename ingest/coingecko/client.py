"""One way out to CoinGecko: a call passes the silence it asked for, the month's quota, a judgement.

TLS is verified, no redirect is followed, a body that is too long is cut. The key goes out in a
header and comes back nowhere: it is taken out of whatever is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from contracts.market import CoinMarket, Rejected
from ingest import metrics
from ingest.binance.bans import BanBook
from ingest.binance.client import Answer, Times
from ingest.binance.limits import silence_until, utc_now
from ingest.binance.rows import Parsed
from ingest.coingecko.calls import CallBook
from ingest.coingecko.messages import ENDPOINT, markets
from ingest.coingecko.quota import Plan, Quota
from ingest.errors import BadAnswer, BadRequest, Banned, Unreachable
from ingest.settings import IngestSettings, is_loopback
from ingest.source import Source

PATH = "/api/v3/coins/markets"
KEY_HEADER = "x-cg-demo-api-key"


class Client:
    """Asynchronous calls of one source."""

    def __init__(
        self,
        settings: IngestSettings,
        source: Source,
        *,
        quarantine: Callable[[Rejected], None] = lambda _: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`quarantine` gets the evidence of each body that could not be read."""
        self._settings = settings
        self._source = source
        self._quarantine = quarantine
        self._book = CallBook(settings.run_dir, source.venue)
        plan = Plan(settings.coingecko_calls_a_month, settings.coingecko_calls_a_minute)
        self.quota = Quota(plan, settings.coingecko_every_s, self._book.read())
        self.bans = BanBook(settings.run_dir, source.venue)
        local = is_loopback(source.url)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.request_timeout_s, connect=settings.connect_timeout_s),
            transport=transport,
            follow_redirects=False,
            trust_env=not local,
            headers={
                "user-agent": "tidemark",
                "accept-encoding": "identity" if local else "gzip",
                KEY_HEADER: source.key.get_secret_value(),
            },
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def markets(self, coins: Sequence[str], vs_currency: str) -> Answer[Parsed[CoinMarket]]:
        """The coins, in one call.

        Raises Banned, QuotaSpent and BadRequest at once; Unreachable and BadAnswer after
        `settings.attempts` tries, or fewer where the month has no calls to spare.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._asks_again),
            stop=stop_after_attempt(self._settings.attempts),
            wait=wait_exponential_jitter(
                multiplier=self._settings.backoff_s, max=30, jitter=self._settings.backoff_s
            ),
            reraise=True,
        )
        query = {"vs_currency": vs_currency, "ids": ",".join(coins), "per_page": str(len(coins))}

        def read(body: bytes, times: Times) -> Parsed[CoinMarket]:
            return markets(body, self._source.venue, vs_currency, coins, times.received)

        return await retrying(self._once, query, read)

    def _asks_again(self, error: BaseException) -> bool:
        passing = isinstance(error, Unreachable | BadAnswer)
        return passing and self.quota.may_ask_again(utc_now())

    async def _once(
        self, query: dict[str, str], read: Callable[[bytes, Times], Parsed[CoinMarket]]
    ) -> Answer[Parsed[CoinMarket]]:
        now = utc_now()
        if (silence := self.bans.current(now)) is not None:
            raise Banned(silence.status, silence.until)
        self.quota.take(now)
        self._book.write(self.quota.spent)  # before the call: a crash in it counts, too
        response, body = await self._bytes(query)
        received = utc_now()
        self._judge(response, body, received)
        try:
            value = read(body, Times(received, received))
        except BadAnswer as error:
            if error.rejected is not None:
                self._quarantine(error.rejected)
            raise
        return Answer(value, Times(received, received), len(body))

    async def _bytes(self, query: dict[str, str]) -> tuple[httpx.Response, bytes]:
        """Send and receive; every way in which that can break is Unreachable."""
        started, status = time.perf_counter(), "none"
        try:
            async with (
                asyncio.timeout(self._settings.request_timeout_s),
                self._http.stream("GET", self._source.url + PATH, params=query) as response,
            ):
                status = str(response.status_code)
                body = await self._bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(self._source.url, f"{ENDPOINT}: {reason}") from error
        finally:
            metrics.REQUESTS.labels(ENDPOINT, status).inc()
        metrics.REQUEST_SECONDS.labels(ENDPOINT).observe(time.perf_counter() - started)
        return response, body

    async def _bounded(self, response: httpx.Response) -> bytes:
        limit = self._settings.body_limit_mb * 1024 * 1024
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                raise BadAnswer(ENDPOINT, f"a body of more than {limit} bytes; cut off")
        key = self._source.key.get_secret_value().encode()
        return bytes(body).replace(key, b"<key>")

    def _judge(self, response: httpx.Response, body: bytes, now: datetime) -> None:
        """Return only for a 200; raise what any other answer means."""
        status = response.status_code
        if status == 200:
            return
        if status in {403, 429}:  # a firewall; too many calls of a minute or of the month
            pause_s = self._settings.firewall_pause_s
            until = silence_until(status, response.headers, b"", now, pause_s)
            self.bans.record(status, until)
            raise Banned(status, until)
        code, message = _refusal(body) or (0, response.reason_phrase)
        if status == 401:
            message = "the key is not valid; it is read from the file coingecko.key at the start"
        if 400 <= status < 500:
            raise BadRequest(ENDPOINT, status, code, message[:200])
        if 300 <= status < 400:
            message = "a redirect, not followed"
        raise Unreachable(self._source.url, f"{ENDPOINT}: {status} {message[:200]}")


def _refusal(body: bytes) -> tuple[int, str] | None:
    """(code, message) of {"status": {"error_code": …, "error_message": …}} or {"error": "…"}."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    if isinstance(answer.get("error"), str):
        return 0, answer["error"]
    said = answer.get("status")
    if isinstance(said, dict) and isinstance(said.get("error_code"), int):
        return said["error_code"], str(said.get("error_message", ""))
    return None
