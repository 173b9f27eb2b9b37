"""The candles of a piece. What a source leaves out is asked for once more, by its own range.

What the exchange does not have then either is a row in `gaps`, exchange-confirmed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence

import msgspec

from contracts.market import Gap, Kline, Rejected
from ingest.backfill.ahead import in_order
from ingest.backfill.asking import Asking
from ingest.backfill.block import Block, once
from ingest.backfill.plan import Piece, SymbolPlan
from ingest.batch import Batch
from ingest.binance import endpoints
from ingest.binance.archive import Download
from ingest.binance.archive_files import interval_of
from ingest.binance.limits import utc_now
from ingest.span import Grid, Span, from_ms, in_ms


class _Page(msgspec.Struct):
    """The candles of one span, what could not be read, and what is missing."""

    span: Span
    klines: list[Kline]
    rejected: list[Rejected]
    gaps: list[Gap]


class _Wanted(msgspec.Struct, frozen=True):
    """Candles of one symbol and interval."""

    symbol: str
    interval: str
    grid: Grid


class KlineLoad:
    """Loads candles, by REST or from a file."""

    def __init__(self, asking: Asking, pages_in_flight: int) -> None:
        self._asking = asking
        self._in_flight = pages_in_flight

    async def blocks(
        self, plan: SymbolPlan, piece: Piece, download: Download | None
    ) -> AsyncGenerator[Block, None]:
        """What is to be stored, in the order of time."""
        if plan.grid is None:
            raise AssertionError("a plan of candles has their grid")
        wanted = _Wanted(plan.symbol, interval_of(plan.stream), plan.grid)
        pages = (
            self._rest(wanted, piece) if download is None else self._file(wanted, piece, download)
        )
        async with contextlib.aclosing(pages):
            async for together in pages:
                yield _block(wanted.grid, together)
        yield Block(Batch(), piece.span.end, 0, range(piece.span.start, piece.span.end))

    async def _rest(self, wanted: _Wanted, piece: Piece) -> AsyncGenerator[list[_Page], None]:
        async def page(span: Span) -> _Page:
            parsed = await self._asking.klines(wanted.symbol, wanted.interval, span)
            return await self._completed(wanted, span, parsed.rows, parsed.rejected)

        spans = wanted.grid.pages(piece.span, endpoints.PAGE)
        async with contextlib.aclosing(in_order(page, spans, self._in_flight)) as pages:
            async for together in pages:
                yield together

    async def _file(
        self, wanted: _Wanted, piece: Piece, download: Download
    ) -> AsyncGenerator[list[_Page], None]:
        span, grid = piece.span, wanted.grid
        next_ms = span.start
        async for parsed in download.klines(self._asking.venue, wanted.symbol, wanted.interval):
            rows = [
                row
                for row in parsed.rows
                if row.is_closed and span.start <= in_ms(row.open_time) < span.end
            ]
            if not (rows or parsed.rejected):  # a piece may begin far within its file
                continue
            through = max([next_ms, *(grid.after(time) for time in _open_times(rows))])
            here = Span(next_ms, through)
            yield [await self._completed(wanted, here, rows, parsed.rejected)]
            next_ms = through
        if next_ms < span.end:
            yield [await self._completed(wanted, Span(next_ms, span.end), [], [])]

    async def _completed(
        self, wanted: _Wanted, span: Span, klines: list[Kline], rejected: list[Rejected]
    ) -> _Page:
        """The candles of a span, with those that were left out at first.

        A row that cannot be read either time is set aside once, where its bytes are the same.
        """
        grid, page = wanted.grid, _Page(span, klines, rejected, [])
        for hole in grid.missing(span, _open_times(klines)):
            for part in grid.pages(hole, endpoints.PAGE):
                again = await self._asking.klines(wanted.symbol, wanted.interval, part)
                page.klines = page.klines + again.rows
                page.rejected = once(page.rejected, again.rejected)
                unread = bool(rejected or again.rejected)
                for rest in grid.missing(part, _open_times(again.rows)):
                    page.gaps.append(self._gap(wanted, rest, unread=unread))
        return page

    def _gap(self, wanted: _Wanted, hole: Span, *, unread: bool) -> Gap:
        """A hole; not confirmed where either answer held a row that could not be read."""
        now = utc_now()
        return Gap(
            venue=self._asking.venue,
            symbol=wanted.symbol,
            stream=f"klines_{wanted.interval}",
            first_missing=hole.start,
            last_missing=max(wanted.grid.times(hole)),
            state="open" if unread else "exchange-confirmed",
            cause="quarantine" if unread else "exchange",
            detail=f"{wanted.grid.count(hole)} candles from {from_ms(hole.start)} on",
            detected_at=now,
            as_of=now,
        )


def _block(grid: Grid, pages: Sequence[_Page]) -> Block:
    batch = Batch(
        klines=[one for page in pages for one in page.klines],
        gaps=[one for page in pages for one in page.gaps],
        rejected=[one for page in pages for one in page.rejected],
    )
    return Block(batch, pages[-1].span.end, sum(grid.count(page.span) for page in pages))


def _open_times(klines: Iterable[Kline]) -> list[int]:
    return [in_ms(kline.open_time) for kline in klines]
