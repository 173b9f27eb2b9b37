"""CoinGecko's coins into the spool: a call each few minutes, and a word where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from contracts.market import Rejected
from ingest import metrics
from ingest.batch import Batch
from ingest.binance.limits import utc_now
from ingest.coingecko.client import Client
from ingest.coingecko.messages import ENDPOINT
from ingest.coingecko.quota import next_month
from ingest.errors import Banned, ExchangeError, QuotaSpent
from ingest.failing import Failing
from ingest.schedule import Poll
from ingest.settings import IngestSettings
from ingest.source import Source

log = structlog.get_logger(__name__)

Put = Callable[[Batch, int], Awaitable[None]]


class Feed:
    """Asks by the quota's clock. A failure is told and waited out, it never ends the ingester."""

    def __init__(self, settings: IngestSettings, source: Source, put: Put) -> None:
        self._settings = settings
        self._source = source
        self._put = put
        self._evidence: list[Rejected] = []
        self._client = Client(settings, source, quarantine=self._evidence.append)
        self._failing = Failing()
        self._poll = Poll(endpoint=ENDPOINT, every_s=settings.coingecko_every_s, weight=0)
        self._unknown: set[str] = set()
        self._warned_of = ""  # the month whose end was said to come without calls

    async def run(self) -> None:
        """Ask for ever."""
        quota, now = self._client.quota, utc_now()
        log.info(
            "CoinGecko's coins too",
            venue=self._source.venue,
            coins=len(self._settings.coingecko_coins),
            every_s=self._settings.coingecko_every_s,
            calls_left=quota.left(now),
            calls_forecast=quota.forecast(now),
        )
        self._show()
        while True:
            await asyncio.sleep(quota.wait_s(utc_now()))
            error = await self.ask()
            if isinstance(error, Banned | QuotaSpent):
                await _sleep_until(error.until)

    async def ask(self) -> ExchangeError | None:
        """One call into the spool; the error where it gave nothing."""
        coins, vs_currency = self._settings.coingecko_coins, self._settings.coingecko_vs_currency
        try:
            answer = await self._client.markets(coins, vs_currency)
        except ExchangeError as error:
            tell = log.warning if self._failing.failed(self._poll) else log.debug
            tell("CoinGecko's coins are missing", reason=str(error))
            return error
        else:
            self._failing.over(self._poll)
            self._look_for_unknown(coins, {row.coin_id for row in answer.value.rows})
            batch = Batch(coin_markets=answer.value.rows, rejected=answer.value.rejected)
            await self._put(batch, answer.size)
            return None
        finally:
            await self._hand_over_evidence()
            self._show()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _hand_over_evidence(self) -> None:
        rejected, self._evidence[:] = list(self._evidence), []
        if rejected:
            await self._put(Batch(rejected=rejected), sum(len(one.raw) for one in rejected))

    def _look_for_unknown(self, coins: tuple[str, ...], found: set[str]) -> None:
        """CoinGecko leaves ids that it does not know out in silence."""
        unknown = set(coins) - found
        if unknown - self._unknown:
            log.warning("CoinGecko says nothing of", coins=sorted(unknown))
        self._unknown = unknown

    def _show(self) -> None:
        now, quota = utc_now(), self._client.quota
        forecast = quota.forecast(now)
        metrics.FAILING_POLLS.labels(ENDPOINT).set(self._failing.count(ENDPOINT))
        metrics.CALLS_LEFT.labels(self._source.venue).set(quota.left(now))
        metrics.CALLS_FORECAST.labels(self._source.venue).set(forecast)
        month = f"{now:%Y-%m}"
        if forecast > self._settings.coingecko_calls_a_month and self._warned_of != month:
            self._warned_of = month
            log.warning(
                "CoinGecko's calls will be spent before the month ends",
                calls_forecast=forecast,
                plan=self._settings.coingecko_calls_a_month,
                month_ends=next_month(now).isoformat(),
            )


async def _sleep_until(moment: datetime) -> None:
    """In steps, so that a machine that slept, or whose clock was set, is noticed."""
    while utc_now() < moment:  # noqa: ASYNC110 - it is a clock that is waited for
        await asyncio.sleep(min((moment - utc_now()).total_seconds() + 0.1, 60))
