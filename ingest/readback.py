"""What is missing is read back with patience: open gaps of trades and of candles, oldest first.

After shedding, a long outage or a ban there may be millions of trades. Each page is one batch: its
trades, and the gap's row with what is still missing, which shrinks from its end, so that a restart
goes on where the last page was written. Pages take only weight that the schedule leaves over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from datetime import datetime

import msgspec
import structlog

from contracts.market import Gap
from ingest import archive_repair, candle_repair, metrics
from ingest.archive_repair import ArchiveRepair
from ingest.batch import Batch
from ingest.binance import endpoints
from ingest.binance.archive import Archive
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.candle_repair import CandleRepair
from ingest.errors import ExchangeError
from ingest.polling import Market, whole_ms
from ingest.repair import Refilled, TapeRepair
from ingest.shedding import Shedding, is_only_begun, reaching
from ingest.spare import Spare
from ingest.spool import Spool
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

LOOK_S = 30.0  # between two looks for open gaps
LOOKS = 10  # in vain, before what the exchange neither gives nor proves lost counts as unprovable
BYTES_A_TRADE = 150  # of an answer, roughly
BYTES_A_CANDLE = 200
PAGE = endpoints.PAGE - 1  # ids; the trade behind them is asked for, too
PAGE_WEIGHT = endpoints.historical_trades("", 0).weight


class Readback:
    """Works on the open gaps, the oldest first."""

    def __init__(
        self,
        client: Client,
        market: Market,
        shedding: Shedding,
        store: StoreThread,
        spool: Spool[Batch],
        archive: Archive,
        limit: int,
    ) -> None:
        """A gap of more than `limit` trades is nobody's to ask for one by one."""
        self._client = client
        self._archive = archive
        self._repair = TapeRepair(client, market.venue, endpoints.PAGE)
        self._market = market
        self._shedding = shedding
        self._store = store
        self._spool = spool
        self._limit = limit
        self._in_vain: Counter[tuple[str, int]] = Counter()

    async def run(self, spare: Spare) -> None:
        """Until it is cancelled."""
        candles = CandleRepair(self._client, self._market.venue, spare)
        files = ArchiveRepair(self._archive, self._repair, self._market.venue, spare)
        while True:
            for gap in await self._open_gaps():
                if self._is_of_another_listing(gap):
                    await self._put(gap.symbol, Refilled(gaps=[of_another_listing(gap)]))
                elif gap.stream == "depth":
                    if self._shedding.under_way(gap) and not self._is_polled(gap):
                        await self._end_unpolled(gap)
                elif not self._waits_for_a_poll(gap) and self._may_ask(gap):
                    await self._work_on(gap, candles, files, spare)
            await asyncio.sleep(LOOK_S)

    async def _work_on(
        self, gap: Gap, candles: CandleRepair, files: ArchiveRepair, spare: Spare
    ) -> None:
        if interval := candle_repair.interval_of(gap):
            found = await candles.refill(gap, interval)
            if found is not None:
                batch = Batch(klines=found.klines, gaps=found.gaps, rejected=found.rejected)
                await self._spool.put(batch, BYTES_A_CANDLE * len(found.klines))
        elif gap.stream == "trades":
            if is_only_begun(gap):
                reached = await self._reached(gap, spare)
                if reached is None:
                    return
                gap = reached
            if archive_repair.is_long(gap) and await self._from_files(gap, files):
                return
            if gap.last_missing - gap.first_missing < self._limit:
                await self._read(gap, spare)
            elif not archive_repair.may_still_come(gap):
                await self._spool.put(Batch(gaps=[too_long(gap)]), BYTES_A_TRADE)

    async def _reached(self, gap: Gap, spare: Spare) -> Gap | None:
        """A gap of which only the beginning is known, up to the next trade that is held.

        None where none is held: it goes on, or ends here if nobody polls the symbol any more.
        """
        await spare.take(PAGE_WEIGHT)
        try:
            begin = await self._repair.trade_from(gap.symbol, gap.first_missing)
        except ExchangeError:
            return None
        next_held = None if begin is None else await self._next_held(gap, whole_ms(begin.traded_at))
        if next_held is None:
            if not self._is_polled(gap):
                await self._end_unpolled(gap)
            return None
        self._shedding.forget(gap)
        reached = reaching(gap, next_held, utc_now())
        if reached.last_missing == gap.last_missing:
            return gap
        await self._put(gap.symbol, Refilled(gaps=[reached]))  # before anything of it is read
        return reached

    async def _next_held(self, gap: Gap, since: datetime) -> int | None:
        """The next trade behind where a gap begins."""
        store, of = self._store.store, (gap.venue, gap.symbol, gap.first_missing)
        return await self._store.call(lambda: store.next_trade_id(*of, since))

    async def _end_unpolled(self, gap: Gap) -> None:
        row = self._shedding.unpolled(gap, utc_now())
        await self._put(gap.symbol, Refilled(gaps=[row]))
        log.info("nobody knows how far a gap reaches", symbol=gap.symbol, stream=gap.stream)

    async def _from_files(self, gap: Gap, files: ArchiveRepair) -> bool:
        """Take what the archive has of a long gap; False where it has nothing of it."""
        told = False
        async with aclosing(files.refill(gap)) as parts:
            async for part in parts:
                if not self._may_ask(gap):  # it is shed again: another time from the beginning
                    return True
                await self._put(gap.symbol, part)
                told = True
        return told

    async def _read(self, gap: Gap, spare: Spare) -> None:
        """Read a gap; what the exchange does not give now is asked for at the next look."""
        left: Gap | None = gap
        while left and self._may_ask(gap):
            page = last_page(left)
            await spare.take(PAGE_WEIGHT)
            refilled = await self._repair.refill(gap.symbol, [page], gap.cause)
            refilled.gaps = [of_find(each, gap) for each in refilled.gaps]
            if refilled.gaps and not settle(refilled, patient=not self._given_up(gap, refilled)):
                return
            left = before(left, page)
            if left or all(each.first_missing != gap.first_missing for each in refilled.gaps):
                refilled.gaps.append(left or ended(gap))
            await self._put(gap.symbol, refilled)
        if left is None:
            log.info("read back", symbol=gap.symbol, first=gap.first_missing, last=gap.last_missing)

    def _given_up(self, gap: Gap, refilled: Refilled) -> bool:
        """Whether an answer that settles nothing came too often."""
        place = gap.symbol, gap.first_missing
        self._in_vain[place] += refilled.unsaid
        if self._in_vain[place] < LOOKS:
            return False
        del self._in_vain[place]
        return True

    def _is_polled(self, gap: Gap) -> bool:
        return gap.symbol in self._market.watched

    def _waits_for_a_poll(self, gap: Gap) -> bool:
        """Whether a poll is to come that tells how far the gap reaches."""
        return self._shedding.under_way(gap) and self._is_polled(gap)

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


def of_find(row: Gap, gap: Gap) -> Gap:
    """A row of what stays missing of a gap: it follows from that one (`gap_rows`)."""
    return msgspec.structs.replace(row, detected_at=gap.detected_at)


def last_page(gap: Gap) -> range:
    """The ids that are read next: the gap's last ones."""
    return range(max(gap.first_missing, gap.last_missing + 1 - PAGE), gap.last_missing + 1)


def before(gap: Gap, page: range) -> Gap | None:
    """What is still missing once its last page is stored; None where nothing is."""
    if page.start == gap.first_missing:
        return None
    return msgspec.structs.replace(gap, last_missing=page.start - 1, as_of=utc_now())


def ended(gap: Gap) -> Gap:
    """The row of a gap that was read to its beginning."""
    detail = f"{gap.detail}; read back"
    return msgspec.structs.replace(gap, state="repaired", detail=detail, as_of=utc_now())


def too_long(gap: Gap) -> Gap:
    """The row of a gap that is longer than anybody would ask for by ids, and in no file."""
    metrics.GAPS.labels(gap.stream, "unprovable").inc()
    count = gap.last_missing - gap.first_missing + 1
    detail = f"{gap.detail}; {count} trades, more than TIDEMARK_READBACK_LIMIT"
    return msgspec.structs.replace(gap, state="unprovable", detail=detail, as_of=utc_now())


def of_another_listing(gap: Gap) -> Gap:
    """The row of a gap whose ids may be those of another asset by now."""
    detail = f"{gap.detail}; the symbol was listed anew before it was read back"
    return msgspec.structs.replace(gap, state="unprovable", detail=detail, as_of=utc_now())


def settle(refilled: Refilled, *, patient: bool = True) -> bool:
    """Whether the page is done: all holes in it are the exchange's, or nobody can fill them.

    The latter become `unprovable`: rows that nobody can read, for to ask again would bring the same
    ones; and, where patience is over, what the exchange neither gives nor proves lost.
    """
    open_ones = [gap for gap in refilled.gaps if gap.state == "open"]
    if open_ones and patient and not refilled.rejected:
        return False
    for gap in open_ones:
        refilled.gaps.remove(gap)
        refilled.gaps.append(msgspec.structs.replace(gap, state="unprovable"))
    return True
