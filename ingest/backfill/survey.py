"""Asks what there is and what is stored already, and makes the plan of each symbol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import structlog

from contracts.market import Instrument
from ingest.backfill.asking import Asking
from ingest.backfill.plan import (
    Cost,
    Piece,
    Prefer,
    RowsIn,
    SymbolPlan,
    Tariff,
    cheapest,
    joined,
    month_wins,
    not_stored,
    worth_a_file,
)
from ingest.batch import BackfillProgress
from ingest.binance import endpoints
from ingest.binance.archive import Archive
from ingest.binance.archive_files import (
    TRADES,
    ArchiveFile,
    days,
    is_archived,
    klines_stream,
    months,
    of_day,
    of_month,
)
from ingest.binance.exchange_info import ExchangeInfo
from ingest.catalogue import TRADING, Catalogue
from ingest.errors import ArchiveRefused, BadAnswer, BadRange, Unreachable
from ingest.intervals import DAY
from ingest.span import Grid, Span, in_ms
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

Value = TypeVar("Value")

_MEGABYTE = 1024 * 1024
_SETTLED_MS = 10_000  # a trade is told by every endpoint so long after it happened


class Survey:
    """Makes plans for one venue."""

    def __init__(
        self,
        asking: Asking,
        store: StoreThread,
        archive: Archive | None,
        *,
        prefer: Prefer,
        file_limit_mb: int,
    ) -> None:
        """Without an archive everything comes by REST."""
        self._asking = asking
        self._store = store
        self._archive = archive if prefer != "rest" else None
        self._prefer = prefer
        self._file_limit = file_limit_mb * _MEGABYTE
        self._alone, self._reached = asyncio.Lock(), False
        self._listed: dict[str, Instrument] = {}

    async def listing(self) -> ExchangeInfo:
        """Learn what is listed, the weight limit and the clock."""
        info = await self._asking.exchange_info()
        self._listed = {one.symbol: one for one in info.instruments}
        return info

    def chosen(self, symbols: Sequence[str], quote_asset: str | None) -> list[str]:
        """The named symbols, or all that are quoted in an asset; UnknownSymbol, BadRange."""
        if quote_asset is None:
            Catalogue(self._asking.venue, self._listed.values()).require(symbols)
            return list(dict.fromkeys(symbols))
        found = [one.symbol for one in self._listed.values() if one.quote_asset == quote_asset]
        if not found:
            raise BadRange(f"no symbol on {self._asking.venue} is quoted in {quote_asset!r}")
        return found

    async def klines(self, symbol: str, interval: str, span: Span) -> SymbolPlan:
        """The closed candles whose open times lie in `span`."""
        grid, wanted = await self._candles_there_are(symbol, interval, span)
        stream, weight = klines_stream(interval), endpoints.klines("", "1m", limit=1).weight
        tariff = Tariff(weight, self._asking.weight_a_s)
        pieces, reissued = await self._pieces((symbol, stream), wanted, grid.count, tariff)
        return SymbolPlan(
            symbol=symbol,
            stream=stream,
            span=wanted,
            rows=grid.count(wanted),
            pieces=pieces,
            tariff=tariff,
            grid=grid,
            reissued=reissued,
        )

    async def trades(self, symbol: str, span: Span) -> SymbolPlan:
        """The settled trades of `span`; how many there are is told by its days' candles."""
        settled = in_ms(self._asking.now()) - _SETTLED_MS
        end = min(span.end, settled)
        counts = await self._trades_a_day(symbol, Span(span.start, max(end, span.start)))
        start = min(max(span.start, min(counts, default=end)), max(end, span.start))
        wanted = Span(start, max(end, start))

        def rows_in(part: Span) -> int:
            return round(
                sum(_share(day, settled) * counts.get(_begin(day), 0) for day in days(part))
            )

        page = endpoints.historical_trades("", 0)
        aggregates = endpoints.aggregate_trades("", limit=1)
        tariff = Tariff(page.weight, self._asking.weight_a_s)
        pieces, reissued = await self._pieces((symbol, TRADES), wanted, rows_in, tariff)
        bounds = len(pieces) + 1 if pieces else 0
        return SymbolPlan(
            symbol=symbol,
            stream=TRADES,
            span=wanted,
            rows=rows_in(wanted),
            pieces=pieces,
            tariff=tariff,
            reissued=reissued,
            certifying=Cost(weight=bounds * aggregates.weight, requests=bounds),
        )

    # What there is

    async def _candles_there_are(self, symbol: str, interval: str, span: Span) -> tuple[Grid, Span]:
        """The part of `span` in which there can be closed candles, and their grid.

        It begins with the symbol's first candle, and ends with its last one where it is not
        traded any more.
        """
        first = await self._asking.klines(symbol, interval, Span(0, span.end), limit=1)
        if first.rejected:
            raise BadAnswer("klines", f"the first candle of {symbol}: {first.rejected[0].reason}")
        if not first.rows:
            return Grid(interval, span.end), Span(span.end, span.end)
        grid = Grid(interval, in_ms(first.rows[0].open_time))
        end = min(span.end, in_ms(self._asking.now()))
        if self._listed[symbol].status != TRADING:
            last = await self._asking.klines(symbol, interval, limit=1)
            end = min([end, *(grid.after(in_ms(one.open_time)) for one in last.rows)])
        begin = grid.at_or_after(span.start)
        return grid, Span(begin, max(grid.closed_before(end), begin))

    async def _trades_a_day(self, symbol: str, span: Span) -> dict[int, int]:
        """Midnight → trades of the day that begins there, of the days that the symbol had."""
        counts: dict[int, int] = {}
        start = span.start // DAY * DAY
        while start < span.end:
            page = await self._asking.klines(symbol, "1d", Span(start, span.end))
            if page.rejected:
                raise BadAnswer("klines", f"a day of {symbol}: {page.rejected[0].reason}")
            counts |= {in_ms(day.open_time): day.trade_count for day in page.rows}
            if len(page.rows) < endpoints.PAGE:
                break
            start = max(counts) + DAY
        return counts

    # What is stored, and what the rest costs

    async def _pieces(
        self, of: tuple[str, str], wanted: Span, rows_in: RowsIn, tariff: Tariff
    ) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
        """What of a (symbol, stream) is to be loaded, and which files of it were reissued.

        What came from a file counts as stored as long as its checksum is the one that was loaded.
        """
        venue, (symbol, stream) = self._asking.venue, of
        known = await self._store.call(lambda: self._store.store.backfills(venue, symbol, stream))
        files = sorted({each.source for each in known if each.checksum and _meets(each, wanted)})
        now = dict(zip(files, await asyncio.gather(*map(self._checksum, files)), strict=True))
        fresh = [each for each in known if now.get(each.source) in {None, each.checksum}]
        stretches = not_stored(wanted, map(_span, fresh))
        mixes = [await self._mix(of, stretch, rows_in, tariff) for stretch in stretches]
        stale = {
            each.source
            for each in known
            if each not in fresh and any(_meets(each, stretch) for stretch in stretches)
        }
        return joined(piece for mix in mixes for piece in mix), tuple(sorted(stale))

    async def _mix(
        self, of: tuple[str, str], stretch: Span, rows_in: RowsIn, tariff: Tariff
    ) -> list[Piece]:
        """The cheapest mix for a stretch; where files are preferred, as if REST were dear."""
        if self._archive is None or not is_archived(of[1]):
            return [Piece(stretch, rows_in(stretch))]
        if self._prefer == "archive":
            tariff = tariff.disliked()
        parts = (self._month(of, month, rows_in, tariff) for month in months(stretch))
        return [piece for part in await asyncio.gather(*parts) for piece in part]

    async def _month(
        self, of: tuple[str, str], part: Span, rows_in: RowsIn, tariff: Tariff
    ) -> Sequence[Piece]:
        rest = Piece(part, rows_in(part))
        if not worth_a_file(rest.rows, tariff):
            return [rest]
        by_day = [Piece(day, rows_in(day)) for day in days(part)]
        file = of_month(*of, part)
        month = await self._find(file, rest)
        whole = (file.span.end - file.span.start) // DAY
        if month and month_wins(month, by_day, whole, tariff):
            return [month]
        chosen = await asyncio.gather(*(self._day(of, day, tariff) for day in by_day))
        return cheapest([chosen, [month]] if month else [chosen], tariff)

    async def _day(self, of: tuple[str, str], rest: Piece, tariff: Tariff) -> Piece:
        if not worth_a_file(rest.rows, tariff):
            return rest
        file = await self._find(of_day(*of, rest.span), rest)
        return cheapest([[rest], [file]] if file else [[rest]], tariff)[0]

    async def _find(self, file: ArchiveFile, rest: Piece) -> Piece | None:
        """A piece from a file, where there is one that is not too long."""
        if file.span.end > in_ms(self._asking.now()):
            return None
        size = await self._told(lambda archive: archive.size(file.path))
        if size is None or size > self._file_limit:
            return None
        return msgspec.structs.replace(rest, file=file, size=size)

    async def _checksum(self, path: str) -> str | None:
        try:
            return await self._told(lambda archive: archive.checksum(path))
        except ArchiveRefused as error:  # what was loaded was right when it was
            log.warning("nobody can say whether a file was published anew", reason=str(error))
            return None

    async def _told(self, ask: Callable[[Archive], Awaitable[Value | None]]) -> Value | None:
        """What the archive says, None where it is away; the first question is asked alone."""
        if not self._reached:
            async with self._alone:
                if not self._reached:
                    return await self._tried(ask)
        return await self._tried(ask)

    async def _tried(self, ask: Callable[[Archive], Awaitable[Value | None]]) -> Value | None:
        if self._archive is None:
            return None
        try:
            value = await ask(self._archive)
        except Unreachable as error:
            if self._prefer == "archive":
                raise
            log.warning("the archive cannot be reached: planning by REST alone", reason=str(error))
            self._archive = None
            return None
        self._reached = True
        return value


def _begin(day: Span) -> int:
    return day.start // DAY * DAY


def _share(day: Span, settled: int) -> float:
    """How much of a day, as far as it has gone, a part of it is."""
    gone = min(_begin(day) + DAY, settled) - _begin(day)
    return min((day.end - day.start) / gone, 1.0) if gone > 0 else 0.0


def _span(known: BackfillProgress) -> Span:
    return Span(in_ms(known.start_time), in_ms(known.next_time))


def _meets(known: BackfillProgress, wanted: Span) -> bool:
    span = _span(known)
    return span.start < wanted.end and span.end > wanted.start
