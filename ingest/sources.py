"""The sources beside the exchange, as tasks of the ingester: CoinGecko and CoinCap.

They share the spool and the writer with the exchange and nothing else: while it is silent or banned
they go on, and their trouble is never the exchange's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from contracts.market import Gap
from ingest.batch import Batch
from ingest.coincap.feed import Feed as CoinCapFeed
from ingest.coingecko import quota
from ingest.coingecko.feed import Feed as CoinGeckoFeed
from ingest.exchange import Exchange
from ingest.settings import IngestSettings
from ingest.shedding import CAUSE
from ingest.source import HOSTS, Source, find
from ingest.spool import Spool
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)


def check(settings: IngestSettings, venue: str) -> tuple[Source | None, Source | None]:
    """CoinGecko and CoinCap as the settings mean them beside an exchange; None for none.

    Raises SettingsError for a key that is missing or is none, ScheduleTooHeavy where the plan
    cannot carry the interval.
    """
    simulator_url = settings.simulator_url if venue == "simulator" else None
    coingecko = find(settings, "coingecko", simulator_url)
    if coingecko is not None:
        plan = quota.Plan(settings.coingecko_calls_a_month, settings.coingecko_calls_a_minute)
        quota.check(plan, settings.coingecko_every_s)
    return coingecko, find(settings, "coincap", simulator_url)


class Sources:
    """Both sources of one ingester."""

    def __init__(
        self,
        settings: IngestSettings,
        exchange: Exchange,
        spool: Spool[Batch],
        level: Callable[[], int],
    ) -> None:
        """As `check`. `level` is what the watch wants shed."""
        coingecko, self._coincap = found = check(settings, exchange.venue)
        for name, source in zip(HOSTS, found, strict=True):
            if source is None and getattr(settings, name) == "auto":
                file = str(settings.key_path(name))
                log.info("a source is left out: it has no key", source=name, key_file=file)
        self._settings, self._spool, self._level = settings, spool, level
        self._coins = None if coingecko is None else CoinGeckoFeed(settings, coingecko, spool.put)

    async def run(self, store: StoreThread, *, once: bool) -> list[str]:
        """Fetch for ever; with `once` ask once what can be asked, and say what failed."""
        try:
            if not once:
                await self._for_ever(store)
            elif self._coins is not None and (error := await self._coins.ask()) is not None:
                return [f"CoinGecko: {error}"]
        finally:
            if self._coins is not None:
                await self._coins.close()
        return []

    async def _for_ever(self, store: StoreThread) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._coins is not None:
                    tasks.create_task(self._coins.run())
                if self._coincap is not None:
                    tasks.create_task(self._listen(self._coincap, store))
        except ExceptionGroup as group:  # one reason to end is enough to say
            raise _first(group) from group

    async def _listen(self, source: Source, store: StoreThread) -> None:
        gaps: list[Gap] = await store.call(partial(store.store.open_gaps, source.venue))
        feed = CoinCapFeed(self._settings, source, self._spool.put, self._level)
        await feed.run([gap for gap in gaps if gap.cause == CAUSE])


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
