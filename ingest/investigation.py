"""Minutes that differ are looked into: the exchange is asked again, and what is wrong is put right.

1. The candle again: it may have been revised.
2. The minute's aggregate trades against the trades that are held: which ids are not as told.
3. Those trades again, singly. Where with them the minute makes its candle, the wrong ones are
   removed or changed and the missing ones put in, in one transaction, with an event and, for what
   was missing, a row of `gaps`. Otherwise the certificate says which ids, and what differs still.

What the exchange does not settle is asked again later and later, and for as long as it is held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from contracts.market import Certificate, Event, Kline, Trade
from ingest.admission import OLDEST
from ingest.aggregates import Aggregate, pages, suspects
from ingest.backoff import Backoff
from ingest.batch import Batch
from ingest.binance import endpoints, messages
from ingest.binance.client import Client, Times
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.conservation import differences, rebuild
from ingest.correction import Correction, after, correct, shown
from ingest.errors import BadAnswer, ExchangeError, RowsRefused
from ingest.judging import CAUSE, Judge, certificate
from ingest.ledger import MINUTE, Minute
from ingest.polling import Market
from ingest.repair import TapeRepair, trade_gap
from ingest.span import in_ms
from ingest.spare import Spare
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

LOOK_S = 15.0  # between two rounds
AGAIN: Final = timedelta(minutes=1)  # until a minute is asked again, then twice as long, …
SELDOM: Final = timedelta(hours=1)  # … up to this
A_ROUND: Final = 50  # minutes
PAGE: Final = endpoints.PAGE - 1  # ids; the trade behind them is asked for, too
BEGINNING: Final = OLDEST, ""


class Investigator:
    """Works on the minutes that differ, oldest first."""

    def __init__(
        self, client: Client, market: Market, store: StoreThread, judge: Judge, spare: Spare
    ) -> None:
        self._client = client
        self._market = market
        self._store = store
        self._judge = judge
        self._spare = spare
        self._repair = TapeRepair(client, market.venue, endpoints.PAGE)
        self._backoff = Backoff(AGAIN, SELDOM)
        self._place = BEGINNING

    async def round(self) -> None:
        """One look at some of the minutes that differ; the next one goes on behind them."""
        find = partial(self._judge.ledger.unsettled_minutes, "differs", self._place, A_ROUND)
        minutes = await self._call(find)
        last = minutes[-1] if len(minutes) == A_ROUND else None
        self._place = BEGINNING if last is None else (last.open_time, last.symbol)
        for minute in minutes:
            if self._backoff.is_due(_place(minute), utc_now()):
                await self._look_into(minute)

    async def _look_into(self, minute: Minute) -> None:
        try:
            row = await self._answer(minute)
        except ExchangeError as error:
            log.info("asked later", symbol=minute.symbol, minute=minute.open_time, why=str(error))
            return
        if row.state != "differs":
            self._backoff.over(_place(minute))
        log.info(
            "a minute was looked into",
            symbol=row.symbol, minute=row.open_time.isoformat(), state=row.state, what=row.detail,
        )  # fmt: skip

    async def _answer(self, before: Minute) -> Certificate:
        """The certificate after all that the exchange has to say."""
        minute, candle = await self._with_candle_again(before)
        if not differences(candle, minute.made):
            revised = "the candle was revised" if candle != before.candle else ""
            return await self._told(certificate(minute, "certified", revised))
        aggregates = await self._aggregates(minute)
        held = await self._call(partial(self._judge.ledger.trades, minute.symbol, minute.open_time))
        where = suspects(aggregates, held)
        correction = correct(held, where, await self._singly(minute, where))
        still = differences(candle, rebuild(after(held, correction)))
        if still:
            return await self._not_settled(minute, where, still)
        try:
            return await self._put_right(minute, correction)
        except RowsRefused as error:  # others have written meanwhile
            return await self._not_settled(minute, where, [str(error)])

    async def _with_candle_again(self, minute: Minute) -> tuple[Minute, Kline]:
        """The minute with what the exchange says of its candle now."""

        def read(body: bytes, times: Times) -> Parsed[Kline]:
            return messages.klines(body, minute.venue, minute.symbol, "1m", times.server)

        start = in_ms(minute.open_time)
        request = endpoints.klines(minute.symbol, "1m", limit=1, start_ms=start, end_ms=start)
        await self._spare.take(request.weight)
        answer = (await self._client.fetch(request, read)).value
        closed = [kline for kline in answer.rows if kline.is_closed]
        ledger = self._judge.ledger
        await self._call(lambda: ledger.write(Batch(klines=closed, rejected=answer.rejected)))
        again = await self._call(partial(ledger.minute, minute.symbol, minute.open_time)) or minute
        candle = again.candle or minute.candle
        if candle is None:
            raise ValueError(f"{minute.symbol} {minute.open_time}: a minute without a candle")
        return again, candle

    async def _aggregates(self, minute: Minute) -> list[Aggregate]:
        """All aggregates of a minute."""
        found: list[Aggregate] = []
        end = minute.open_time + MINUTE
        next_id: int | None = None
        while True:
            await self._spare.take(endpoints.aggregate_trades("").weight)
            start_ms = in_ms(minute.open_time) if next_id is None else None
            page = await self._repair.aggregates(minute.symbol, from_id=next_id, start_ms=start_ms)
            if page.rejected:  # a part of the proof is not readable
                raise BadAnswer("aggTrades", page.rejected[0].reason)
            found += [each for each in page.rows if each.traded_at < end]
            if len(page.rows) < endpoints.PAGE or page.rows[-1].traded_at >= end:
                return found
            next_id = page.rows[-1].aggregate_id + 1

    async def _singly(self, minute: Minute, where: Sequence[range]) -> list[Trade]:
        """The trades of these ids that the exchange has in the minute."""
        found: list[Trade] = []
        for page in pages(where, PAGE):
            await self._spare.take(endpoints.historical_trades("", 0).weight)
            answer = await self._repair.trades(minute.symbol, page)
            if answer.rejected:
                await self._call(partial(self._judge.ledger.write, Batch(rejected=answer.rejected)))
            found += [trade for trade in answer.rows if trade.trade_id in page]
        end = minute.open_time + MINUTE
        quote_asset = self._market.catalogue.quote_asset(minute.symbol)
        inside = [trade for trade in found if minute.open_time <= trade.traded_at < end]
        return self._market.valuation.price(inside, quote_asset)

    async def _put_right(self, minute: Minute, correction: Correction) -> Certificate:
        """Store the correction, an event, and what was missing; then certify."""
        ledger = self._judge.ledger
        wrong, told = correction.wrong, correction.told
        await self._call(lambda: ledger.correct(minute.symbol, minute.open_time, wrong, told))
        again = await self._call(partial(ledger.minute, minute.symbol, minute.open_time)) or minute
        row = certificate(again, "certified", str(correction))
        if not (wrong or told):  # others have put it right meanwhile
            return await self._told(row)
        event = Event(
            venue=minute.venue,
            kind="conservation",
            symbol=minute.symbol,
            severity="warning",
            message=f"{minute.symbol} {minute.open_time:%Y-%m-%d %H:%M}: {correction}",
        )
        detail = f"missed by the candle of {minute.open_time:%Y-%m-%d %H:%M}; read back"
        gaps = [
            trade_gap(minute.venue, minute.symbol, ids, "repaired", CAUSE, detail)
            for ids in correction.missing
        ]
        await self._call(lambda: self._judge.tell([row], gaps, [event]))
        return row

    async def _not_settled(
        self, minute: Minute, where: Sequence[range], still: Sequence[str]
    ) -> Certificate:
        """Say which ids, and what differs even with the exchange's own trades."""
        around = await self._call(partial(self._judge.around, minute))
        gaps = await self._call(partial(self._judge.gaps_of, minute, around))
        state = "unprovable" if gaps else "differs"
        place = f"trades {shown(where)}: " if where else "all trades are as the exchange's own: "
        return await self._told(certificate(minute, state, place + "; ".join(still)))

    async def _told(self, row: Certificate) -> Certificate:
        await self._call(lambda: self._judge.tell([row]))
        return row

    async def _call(self, work: Callable[[], Value]) -> Value:
        return await self._store.call(work)


def _place(minute: Minute) -> tuple[str, datetime]:
    return minute.symbol, minute.open_time
