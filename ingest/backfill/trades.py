"""The trades of a piece, each id once. What a source leaves out is asked for by its ids.

Which ids a time holds is told by aggTrades before anything is loaded: so a file that lacks its end
is noticed, too. What `historicalTrades` does not have when it is asked again is a row in `gaps`:
exchange-confirmed where aggTrades has lost it, too, else open.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from contracts.market import Gap, Rejected, Trade
from ingest.backfill.ahead import in_order
from ingest.backfill.asking import Asking
from ingest.backfill.block import Block, once
from ingest.backfill.past_prices import PastPrices
from ingest.backfill.plan import Piece, SymbolPlan
from ingest.batch import Batch
from ingest.binance import endpoints
from ingest.binance.archive import Download
from ingest.repair import trade_gap
from ingest.span import Span, in_ms
from ingest.tape import missing
from ingest.witness import VERDICTS, Witness

CAUSE = "exchange"  # of a hole that was found when the past was asked for


class _Run(msgspec.Struct):
    """Trades by rising id, what could not be read, what is missing; `count` ids are settled."""

    trades: list[Trade]
    rejected: list[Rejected]
    gaps: list[Gap]
    count: int


class TradeLoad:
    """Loads trades, by REST or from a file."""

    def __init__(self, asking: Asking, prices: PastPrices, pages_in_flight: int) -> None:
        self._asking = asking
        self._prices = prices
        self._in_flight = pages_in_flight
        self._witness = Witness(asking)
        self._ends: dict[tuple[str, int], int] = {}  # (symbol, ms) → the first id from then on

    async def blocks(
        self, plan: SymbolPlan, piece: Piece, download: Download | None
    ) -> AsyncGenerator[Block, None]:
        """What is to be stored, by rising id."""
        symbol = plan.symbol
        ids = await self._ids(symbol, piece.span)
        runs = self._rest(symbol, ids) if download is None else self._file(symbol, ids, download)
        next_ms = piece.span.start
        async with contextlib.aclosing(runs):
            async for run in runs:
                trades = await self._prices.price(symbol, run.trades)
                if trades:  # others of its millisecond may still be to come
                    next_ms = max(next_ms, in_ms(trades[-1].traded_at))
                batch = Batch(trades=trades, gaps=run.gaps, rejected=run.rejected)
                yield Block(batch, min(next_ms, piece.span.end), run.count)
        yield Block(Batch(), piece.span.end, 0, ids)

    async def _ids(self, symbol: str, span: Span) -> range:
        """The ids of the trades of a span. Where one piece ends, the next begins: asked once."""
        first = self._ends.pop((symbol, span.start), None)
        if first is None:
            first = await self._asking.first_id(symbol, span.start)
        end = self._ends[symbol, span.end] = await self._asking.first_id(symbol, span.end)
        return range(first, end)

    async def _file(
        self, symbol: str, ids: range, download: Download
    ) -> AsyncGenerator[_Run, None]:
        next_id = ids.start
        async for parsed in download.trades(self._asking.venue, symbol):
            found = {row.trade_id: row for row in parsed.rows if row.trade_id in ids}
            through = max([next_id, *(trade_id + 1 for trade_id in found)])
            for hole in missing(found, range(next_id, through)):
                async for run in self._rest(symbol, hole):
                    yield run
            rows = [found[trade_id] for trade_id in sorted(found)]
            if rows or parsed.rejected:  # a piece may begin far within its file
                yield _Run(rows, parsed.rejected, [], len(rows))
            next_id = through
        async for run in self._rest(symbol, range(next_id, ids.stop)):
            yield run

    async def _rest(self, symbol: str, ids: range) -> AsyncGenerator[_Run, None]:
        async def page(part: range) -> _Run:
            return await self._page(symbol, part)

        parts = (
            ids[place : place + endpoints.PAGE] for place in range(0, len(ids), endpoints.PAGE)
        )
        async with contextlib.aclosing(in_order(page, parts, self._in_flight)) as pages:
            async for together in pages:
                yield _joined(together)

    async def _page(self, symbol: str, ids: range) -> _Run:
        """At most PAGE ids; those that the first answer leaves out are asked for once more."""
        parsed = await self._asking.trades(symbol, ids)
        found = {row.trade_id: row for row in parsed.rows}
        rejected, gaps = parsed.rejected, []
        for hole in missing(found, ids):
            again = await self._asking.trades(symbol, hole)
            found |= {row.trade_id: row for row in again.rows}
            unread = bool(parsed.rejected or again.rejected)
            rejected = once(rejected, again.rejected)
            gaps += [await self._gap(symbol, rest, unread=unread) for rest in missing(found, hole)]
        return _Run([found[trade_id] for trade_id in sorted(found)], rejected, gaps, len(ids))

    async def _gap(self, symbol: str, ids: range, *, unread: bool) -> Gap:
        """The row of a hole; nothing is proved where an answer held what could not be read."""
        venue = self._asking.venue
        if unread:
            detail = f"{len(ids)} trades that historicalTrades does not give"
            return trade_gap(venue, symbol, ids, "open", "quarantine", detail)
        following = await self._asking.next_trade(symbol, ids.stop)
        around = [] if following is None else [following]
        state, detail = VERDICTS[await self._witness.proof(symbol, ids, around)]
        return trade_gap(venue, symbol, ids, state, CAUSE, detail)


def _joined(runs: Sequence[_Run]) -> _Run:
    return _Run(
        [one for run in runs for one in run.trades],
        [one for run in runs for one in run.rejected],
        [one for run in runs for one in run.gaps],
        sum(run.count for run in runs),
    )
