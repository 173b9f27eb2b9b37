"""Trades that a poll missed are asked for by their ids, at once, while they are few.

A poll sees the last 1,000 trades. After a burst or a short outage more than those are new: what
lies between is asked for by `historicalTrades`. What stays missing becomes a row in `gaps`: of what
the exchange does not give, `aggTrades` says whether it has lost it (`exchange-confirmed`) or has it
nevertheless.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contracts.market import Gap, Rejected, Trade
from ingest import metrics
from ingest.aggregates import Aggregate
from ingest.binance import endpoints, messages
from ingest.binance.aggregate_messages import aggregates
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.errors import ExchangeError
from ingest.tape import missing
from ingest.witness import VERDICTS, Witness


class Refilled(msgspec.Struct):
    """What was found for some holes, what stays missing, and what could not be read.

    `unsaid`: the exchange answered, and that neither gives all trades nor proves them lost.
    """

    trades: list[Trade] = []
    gaps: list[Gap] = []
    rejected: list[Rejected] = []
    unsaid: bool = False


class TapeRepair:
    """Fills holes between trade ids."""

    def __init__(self, client: Client, venue: str, limit: int) -> None:
        """Holes of more than `limit` trades together are left to a repair with more patience."""
        self._client = client
        self._venue = venue
        self._limit = limit
        self._witness = Witness(self)

    async def refill(self, symbol: str, holes: Sequence[range], cause: str = "poll") -> Refilled:
        """Ask for the ids in `holes`; an exchange that fails leaves them as open gaps.

        `cause`: why they are missing, for the rows of `gaps`.
        """
        refilled = Refilled()
        wanted = sum(map(len, holes))
        for hole in holes:
            if wanted > self._limit:
                lacking = [(hole, "open", f"{wanted} trades: more than a poll asks back")]
            else:
                lacking = await self._ask(symbol, hole, refilled)
            refilled.gaps += [
                trade_gap(self._venue, symbol, rest, state, cause, detail)
                for rest, state, detail in lacking
            ]
        return refilled

    async def trades(self, symbol: str, ids: range) -> Parsed[Trade]:
        """The trades that the exchange has of these ids, and the next one behind them."""
        found = Parsed[Trade]([], [])
        next_id = ids.start
        while next_id <= ids.stop:
            limit = min(endpoints.PAGE, ids.stop + 1 - next_id)
            answer = await self._client.fetch(
                endpoints.historical_trades(symbol, next_id, limit),
                lambda body, _: messages.trades(body, self._venue, symbol, "historicalTrades"),
            )
            found.rejected.extend(answer.value.rejected)
            page = [trade for trade in answer.value.rows if trade.trade_id >= next_id]
            found.rows.extend(page)
            if not page:
                break
            next_id = max(trade.trade_id for trade in page) + 1
        return found

    async def trade_from(self, symbol: str, trade_id: int) -> Trade | None:
        """A trade, or the next one behind it; None where the exchange gives neither."""
        rows = (await self.trades(symbol, range(trade_id, trade_id))).rows
        return rows[0] if rows else None

    async def aggregates(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None
    ) -> Parsed[Aggregate]:
        """A page of aggregates, from an id of theirs or a time on."""
        request = endpoints.aggregate_trades(symbol, from_id=from_id, start_ms=start_ms)
        answer = await self._client.fetch(request, lambda body, _: aggregates(body, self._venue))
        return answer.value

    async def _ask(
        self, symbol: str, hole: range, refilled: Refilled
    ) -> list[tuple[range, str, str]]:
        """Collect the trades of a hole; of what is not among them, state and reason."""
        try:
            answer = await self.trades(symbol, hole)
        except ExchangeError as error:
            return [(hole, "open", str(error))]
        refilled.rejected += answer.rejected
        refilled.trades += [trade for trade in answer.rows if trade.trade_id in hole]
        rests = missing((trade.trade_id for trade in answer.rows), hole)
        if answer.rejected:  # unread is not proven to be missing
            return [(rest, "open", "a row of historicalTrades could not be read") for rest in rests]
        lacking = []
        for rest in rests:
            try:
                found = await self._witness.proof(symbol, rest, answer.rows)
            except ExchangeError as error:
                lacking.append((rest, "open", str(error)))
                continue
            refilled.unsaid |= found != "lost"
            lacking.append((rest, *VERDICTS[found]))
        return lacking


def trade_gap(venue: str, symbol: str, ids: range, state: str, cause: str, detail: str) -> Gap:
    """A row of `gaps` for trades that are missing, as of now."""
    metrics.GAPS.labels("trades", state).inc()
    now = utc_now()
    return Gap(
        venue=venue,
        symbol=symbol,
        stream="trades",
        first_missing=ids.start,
        last_missing=ids.stop - 1,
        state=state,
        cause=cause,
        detail=detail,
        detected_at=now,
        as_of=now,
    )
