"""Trades that a poll missed are asked for by their ids, at once, while they are few.

A poll sees the last 1,000 trades. After a burst or a short outage more than those are new: what
lies between is asked for by `historicalTrades`. What stays missing becomes a row in `gaps`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contracts.market import Gap, Rejected, Trade
from ingest import metrics
from ingest.binance import endpoints, messages
from ingest.binance.client import Client
from ingest.binance.limits import utc_now
from ingest.errors import ExchangeError
from ingest.tape import missing


class Refilled(msgspec.Struct):
    """What was found for some holes, what stays missing, and what could not be read."""

    trades: list[Trade] = []
    gaps: list[Gap] = []
    rejected: list[Rejected] = []


class TapeRepair:
    """Fills holes between trade ids."""

    def __init__(self, client: Client, venue: str, limit: int) -> None:
        """Holes of more than `limit` trades together are left to a repair with more patience."""
        self._client = client
        self._venue = venue
        self._limit = limit

    async def refill(self, symbol: str, holes: Sequence[range], cause: str = "poll") -> Refilled:
        """Ask for the ids in `holes`; an exchange that fails leaves them as open gaps.

        `cause`: why they are missing, for the rows of `gaps`.
        """
        refilled = Refilled()
        wanted = sum(map(len, holes))
        for hole in holes:
            state, detail = "open", f"{wanted} trades: more than a poll asks back"
            if wanted <= self._limit:
                state, detail = await self._ask(symbol, hole, refilled)
            ids = (trade.trade_id for trade in refilled.trades)
            for rest in missing(ids, hole):
                refilled.gaps.append(trade_gap(self._venue, symbol, rest, state, cause, detail))
        return refilled

    async def _ask(self, symbol: str, hole: range, refilled: Refilled) -> tuple[str, str]:
        """Collect the trades of a hole; state and reason for what is not among them."""
        verdict = "exchange-confirmed", "historicalTrades does not have them"
        next_id = hole.start
        while next_id < hole.stop:
            limit = min(endpoints.PAGE, hole.stop - next_id)
            request = endpoints.historical_trades(symbol, next_id, limit)
            try:
                answer = await self._client.fetch(
                    request,
                    lambda body, _: messages.trades(body, self._venue, symbol, "historicalTrades"),
                )
            except ExchangeError as error:
                return "open", str(error)
            refilled.rejected += answer.value.rejected
            if answer.value.rejected:  # unread is not proven to be missing
                verdict = "open", "a row of historicalTrades could not be read"
            page = [trade for trade in answer.value.rows if trade.trade_id >= next_id]
            refilled.trades += [trade for trade in page if trade.trade_id < hole.stop]
            if not page:
                break
            next_id = max(trade.trade_id for trade in page) + 1
        return verdict


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
