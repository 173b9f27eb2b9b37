"""One way out to the exchange: every request passes the ban, the budget, a host and a judgement.

The client keeps connections alive, verifies TLS, follows no redirect, cuts a body that is too long
and asks again (with backoff and jitter, perhaps at another host) where that can help. A ban is
never waited for here: `Banned` goes up, so that one caller's patience does not hold another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx
import msgspec
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from contracts.market import Rejected
from ingest import metrics
from ingest.binance.bans import BanBook
from ingest.binance.endpoints import Request
from ingest.binance.hosts import Hosts
from ingest.binance.limits import DEFAULT_WEIGHT_LIMIT, Budget, silence_until, used_weight, utc_now
from ingest.binance.messages import refusal
from ingest.errors import (
    BadAnswer,
    BadRequest,
    Banned,
    RegionRefused,
    Unreachable,
    WeightExhausted,
)
from ingest.exchange import Exchange
from ingest.settings import IngestSettings, is_loopback

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

_TOO_MUCH_WEIGHT = -1003
_UNKNOWN_OUTCOME = {-1000, -1001, -1006, -1007}  # the exchange's own trouble: ask again


class Times(msgspec.Struct, frozen=True):
    """When an answer came, by our clock and by the exchange's (never ahead of it)."""

    received: datetime
    server: datetime


class Answer(msgspec.Struct, Generic[Value], frozen=True):
    """A body as read, and its size on the wire's other side of decompression, in bytes."""

    value: Value
    times: Times
    size: int


Read = Callable[[bytes, Times], Value]


class Client:
    """Asynchronous requests to one exchange; use as an async context manager."""

    def __init__(
        self,
        settings: IngestSettings,
        exchange: Exchange,
        *,
        paced: bool = False,
        quarantine: Callable[[Rejected], None] = lambda _: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`quarantine` gets the evidence of each body that could not be read."""
        self._settings = settings
        self._quarantine = quarantine
        self.budget = Budget(DEFAULT_WEIGHT_LIMIT, settings.weight_share, time.time, paced=paced)
        self.bans = BanBook(settings.run_dir, exchange.venue)
        self._clock_offset = timedelta(0)
        self._hosts = Hosts(exchange.base_urls, time.monotonic)
        local = all(is_loopback(url) for url in exchange.base_urls)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(
                settings.request_timeout_s, connect=settings.connect_timeout_s, pool=None
            ),
            transport=transport,
            follow_redirects=False,
            trust_env=not local,  # a proxy of the environment is not for this machine itself
            headers={
                "user-agent": "tidemark",
                "accept-encoding": "identity" if local else "gzip",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def set_clock(self, server_time: datetime, received: datetime) -> None:
        """Learn the exchange's clock from an answer that names it.

        The answer was on its way between the two, so the exchange is never thought to be ahead
        of where it is: no candle is taken for closed before it closes.
        """
        self._clock_offset = server_time - received

    def now(self) -> datetime:
        """The time on the exchange."""
        return utc_now() + self._clock_offset

    async def fetch(
        self, request: Request, read: Read[Value], *, patient: bool = False
    ) -> Answer[Value]:
        """The answer to a request, read by `read`; a `patient` one leaves others their weight.

        Raises Banned, RegionRefused and BadRequest at once; Unreachable and BadAnswer after
        `settings.attempts` tries.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Unreachable, BadAnswer)),
            stop=stop_after_attempt(self._settings.attempts),
            wait=wait_exponential_jitter(
                multiplier=self._settings.backoff_s, max=30, jitter=self._settings.backoff_s
            ),
            before_sleep=_log_retry,
            reraise=True,
        )
        return await retrying(self._once, request, read, patient)

    async def _once(self, request: Request, read: Read[Value], patient: bool) -> Answer[Value]:
        await self._booked(request.weight, patient)
        used = None
        try:
            self._keep_silence()
            host = self._host(request)
            response, body, times = await self._exchange_bytes(host, request)
            used = used_weight(response.headers)
        finally:
            self.budget.answered(request.weight, used)
            metrics.USED_WEIGHT.set(self.budget.used)
        self._judge(host, request, response, body)
        try:
            value = read(body, times)
        except BadAnswer as error:
            self._hosts.failed(host)
            if error.rejected is not None:
                self._quarantine(error.rejected)
            raise
        return Answer(value, times, len(body))

    async def _booked(self, weight: int, patient: bool) -> None:
        """Wait until the budget carries the weight."""
        self._keep_silence()
        while True:
            try:
                return self.budget.take(weight, patient=patient)
            except WeightExhausted as error:
                await asyncio.sleep(error.wait_s + 0.05)

    def _keep_silence(self) -> None:
        silence = self.bans.current(utc_now())
        if silence is not None:
            raise Banned(silence.status, silence.until)

    def _host(self, request: Request) -> str:
        try:
            return self._hosts.pick(market_data=request.market_data)
        except RegionRefused:
            # every host said 451: be quiet for a while, then see whether that still holds
            pause_s = self._settings.firewall_pause_s
            self._silence(451, datetime.fromtimestamp(time.time() + pause_s, UTC))
            self._hosts.forgive()
            raise

    async def _exchange_bytes(
        self, host: str, request: Request
    ) -> tuple[httpx.Response, bytes, Times]:
        """Send and receive; every way in which that can break is Unreachable."""
        started = time.perf_counter()
        status = "none"
        try:
            async with (
                asyncio.timeout(self._settings.request_timeout_s),
                self._http.stream("GET", host + request.path, params=request.params) as response,
            ):
                status = str(response.status_code)
                body = await self._bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            self._hosts.failed(host)
            reason = str(error) or type(error).__name__
            raise Unreachable(host, f"{request.endpoint}: {reason}") from error
        except _BodyTooLongError as error:
            self._hosts.failed(host)
            raise BadAnswer(request.endpoint, str(error)) from error
        finally:
            metrics.REQUESTS.labels(request.endpoint, status).inc()
        metrics.REQUEST_SECONDS.labels(request.endpoint).observe(time.perf_counter() - started)
        received = utc_now()
        return response, body, Times(received, received + self._clock_offset)

    async def _bounded(self, response: httpx.Response) -> bytes:
        limit = self._settings.body_limit_mb * 1024 * 1024
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                raise _BodyTooLongError(f"a body of more than {limit} bytes; cut off")
        return bytes(body)

    def _judge(self, host: str, request: Request, response: httpx.Response, body: bytes) -> None:
        """Return only for a 200; raise what any other answer means."""
        status = response.status_code
        if status == 200:
            return
        code, message = refusal(body) or (0, response.reason_phrase)
        if status in {403, 418, 429} or code == _TOO_MUCH_WEIGHT:
            now = utc_now()
            pause_s = self._settings.firewall_pause_s
            until = silence_until(status, response.headers, body, now, pause_s)
            self._silence(status, until)
            raise Banned(status, until)
        if 400 <= status < 500 and status != 451 and code not in _UNKNOWN_OUTCOME:
            raise BadRequest(request.endpoint, status, code, message[:200])
        self._hosts.failed(host)
        if status == 451:
            self._hosts.refused(host)
            raise Unreachable(host, "451: it refuses this machine's location")
        if 300 <= status < 400:
            raise Unreachable(host, f"{request.endpoint}: a redirect ({status}), not followed")
        raise Unreachable(host, f"{request.endpoint}: {status} {message[:200]}")

    def _silence(self, status: int, until: datetime) -> None:
        self.bans.record(status, until)
        longest = self.bans.current(utc_now())  # of several refused at once, not the last
        if longest is not None:
            metrics.BAN_UNTIL.set(longest.until.timestamp())
            metrics.BAN_STATUS.set(longest.status)
        log.warning("no request until", until=until.isoformat(), status=status)


class _BodyTooLongError(Exception):
    pass


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    log.info(
        "asking again", reason=str(error), attempt=state.attempt_number, wait_s=round(wait_s, 2)
    )
