"""Holes between trade ids that a poll did not fill are read back with patience, page by page.

After shedding, a long outage or a ban there may be millions. Each page is one batch: its trades,
and the gap's row with what is still missing, which shrinks from its end, so that a restart goes on
where the last page was written. Pages take only weight that the schedule leaves over.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from contracts.market import Gap
from ingest.batch import Batch
from ingest.binance import endpoints
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.polling import Market
from ingest.repair import Refilled, TapeRepair
from ingest.shedding import Shedding
from ingest.spool import Spool
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

LOOK_S = 30.0  # between two looks for open gaps
BYTES_A_TRADE = 150  # of an answer, roughly
PAGE_WEIGHT = endpoints.historical_trades("", 0).weight


def pause_s(spare_weight: float) -> float:
    """Seconds between two pages, by the weight a minute that nobody else needs."""
    return max(60 * PAGE_WEIGHT / max(spare_weight, PAGE_WEIGHT), 0.2)


class Readback:
    """Works on the open gaps of trades, the oldest first."""

    def __init__(
        self,
        client: Client,
        market: Market,
        shedding: Shedding,
        store: StoreThread,
        spool: Spool[Batch],
    ) -> None:
        self._repair = TapeRepair(client, market.venue, endpoints.PAGE)
        self._market = market
        self._shedding = shedding
        self._store = store
        self._spool = spool

    async def run(self, spare_weight: float) -> None:
        """Until it is cancelled; `spare_weight` a minute may be used."""
        while True:
            for gap in await self._open_gaps():
                if self._is_of_another_listing(gap):
                    await self._put(gap.symbol, Refilled(gaps=[of_another_listing(gap)]))
                elif gap.stream == "trades" and not self._shedding.under_way(gap):
                    await self._read(gap, pause_s(spare_weight))
            await asyncio.sleep(LOOK_S)

    async def _read(self, gap: Gap, pause_s: float) -> None:
        """Read a gap; what the exchange does not give now is asked for at the next look."""
        left: Gap | None = gap
        while left and self._may_ask(gap):
            page = last_page(left)
            refilled = await self._repair.refill(gap.symbol, [page], gap.cause)
            if refilled.gaps and not settle(refilled):
                return
            left = before(left, page)
            if left or all(each.first_missing != gap.first_missing for each in refilled.gaps):
                refilled.gaps.append(left or ended(gap))
            await self._put(gap.symbol, refilled)
            await asyncio.sleep(pause_s)
        if left is None:
            log.info("read back", symbol=gap.symbol, first=gap.first_missing, last=gap.last_missing)

    def _is_of_another_listing(self, gap: Gap) -> bool:
        """Whether the ids that are missing were those of what the symbol stood for before."""
        since = self._market.catalogue.listings.anew_since(gap.symbol)
        return gap.stream == "trades" and since is not None and gap.detected_at < since

    def _may_ask(self, gap: Gap) -> bool:
        shed = self._shedding.sheds_stream(gap.stream)
        return not shed and self._market.catalogue.is_trading(gap.symbol)

    async def _open_gaps(self) -> list[Gap]:
        store, venue = self._store.store, self._market.venue
        return await self._store.call(lambda: store.open_gaps(venue))

    async def _put(self, symbol: str, refilled: Refilled) -> None:
        quote_asset = self._market.catalogue.quote_asset(symbol)
        trades = self._market.valuation.price(refilled.trades, quote_asset)
        batch = Batch(trades=trades, gaps=refilled.gaps, rejected=refilled.rejected)
        await self._spool.put(batch, BYTES_A_TRADE * len(trades))


def last_page(gap: Gap) -> range:
    """The ids that are read next: the gap's last ones."""
    return range(
        max(gap.first_missing, gap.last_missing + 1 - endpoints.PAGE), gap.last_missing + 1
    )


def before(gap: Gap, page: range) -> Gap | None:
    """What is still missing once its last page is stored; None where nothing is."""
    if page.start == gap.first_missing:
        return None
    return msgspec.structs.replace(gap, last_missing=page.start - 1, as_of=utc_now())


def ended(gap: Gap) -> Gap:
    """The row of a gap that was read to its beginning."""
    detail = f"{gap.detail}; read back"
    return msgspec.structs.replace(gap, state="repaired", detail=detail, as_of=utc_now())


def of_another_listing(gap: Gap) -> Gap:
    """The row of a gap whose ids may be those of another asset by now."""
    detail = f"{gap.detail}; the symbol was listed anew before it was read back"
    return msgspec.structs.replace(gap, state="unprovable", detail=detail, as_of=utc_now())


def settle(refilled: Refilled) -> bool:
    """Whether the page is done: all holes in it are the exchange's, or in rows nobody can read.

    The latter become `unprovable`: to ask again would bring the same rows.
    """
    open_ones = [gap for gap in refilled.gaps if gap.state == "open"]
    if open_ones and not refilled.rejected:
        return False
    for gap in open_ones:
        refilled.gaps.remove(gap)
        refilled.gaps.append(msgspec.structs.replace(gap, state="unprovable"))
    return True
