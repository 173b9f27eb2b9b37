"""Long gaps of trades are filled from the archive's daily files, which cost no weight.

Asked for page by page, a million trades take 25,000 weight, hours of what the schedule leaves over.
A day's file comes on the next day. When the gap's days are all over, their files are read once, and
what they lack is left to whoever asks for ids. A file that did not help, because it is damaged or
lacks what is missing, is downloaded again an hour later, then two, up to a day: it may have been
published anew. The gap's row says which file was refused.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final

import msgspec
import structlog

from contracts.market import Gap, Trade
from ingest.backoff import Backoff
from ingest.binance import endpoints
from ingest.binance.archive import Archive
from ingest.binance.archive_files import days
from ingest.binance.archived_trades import ArchivedTrades, path_of
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.errors import ArchiveRefused, ExchangeError
from ingest.repair import Refilled, TapeRepair
from ingest.span import Span, in_ms
from ingest.spare import Spare
from ingest.tape import missing

log = structlog.get_logger(__name__)

LEAST = 50_000  # ids; fewer are asked for within the hour
PATIENCE: Final = timedelta(days=3)  # for the files of a gap that is too long for ids
AGAIN: Final = timedelta(hours=1)  # until a file that did not help is downloaded again, …
SELDOM: Final = timedelta(days=1)  # … then twice as long, up to this
TWO_WEIGHT: Final = 2 * endpoints.historical_trades("", 0).weight


class ArchiveRepair:
    """Of one venue's archive."""

    def __init__(self, archive: Archive, repair: TapeRepair, venue: str, spare: Spare) -> None:
        self._files = ArchivedTrades(archive, venue)
        self._repair = repair
        self._spare = spare
        self._spans: dict[tuple[str, int, int], Span] = {}
        self._backoff = Backoff(AGAIN, SELDOM)

    async def refill(self, gap: Gap) -> AsyncGenerator[Refilled, None]:
        """What the files have of a gap; with the last of it, the gap's rows as they are then.

        Nothing where they have nothing of it, or are not published yet.
        """
        span = await self._span(gap)
        if span is None or span.end > _midnight_ms():
            return
        ids = range(gap.first_missing, gap.last_missing + 1)
        place = ids.start
        rests: list[range] = []
        found = 0
        refused: list[str] = []
        try:
            pages = self._pages(gap.symbol, ids, span, refused)
            async with aclosing(pages):
                async for page in pages:
                    through = max((row.trade_id for row in page.rows), default=place - 1) + 1
                    known = [row.trade_id for row in page.rows]
                    rests += missing(known, range(place, max(through, place)))
                    place, found = max(through, place), found + len(page.rows)
                    yield Refilled(trades=page.rows, rejected=page.rejected)
        except ExchangeError as error:
            log.warning("the archive does not help", symbol=gap.symbol, reason=str(error))
        told = with_refused(gap, refused)
        if found:
            rests += [range(place, ids.stop)] if place < ids.stop else []
            log.info("filled from the archive", symbol=gap.symbol, trades=found, rests=len(rests))
            yield Refilled(gaps=filled(told, rests))
        elif told.detail != gap.detail:
            yield Refilled(gaps=[told])

    async def _pages(
        self, symbol: str, ids: range, span: Span, refused: list[str]
    ) -> AsyncGenerator[Parsed[Trade], None]:
        """What the files have that are there and due; `refused` gets those that are damaged."""
        for day in days(span):
            if not await self._files.is_published(symbol, day):
                continue
            path = path_of(symbol, day)
            attempt = path, ids.start, ids.stop
            if not self._backoff.is_due(attempt, utc_now()):
                continue
            try:
                async with aclosing(self._files.with_ids(symbol, ids, day)) as pages:
                    async for page in pages:
                        yield page
            except ArchiveRefused as error:
                log.warning("the archive does not help", symbol=symbol, reason=str(error))
                refused.append(path)
            except GeneratorExit:  # left in the middle: nobody knows yet whether it helps
                self._backoff.over(attempt)
                raise

    async def _span(self, gap: Gap) -> Span | None:
        """From the gap's first to its last trade, as the exchange tells; None where it does not."""
        place = gap.symbol, gap.first_missing, gap.last_missing
        if place not in self._spans:
            await self._spare.take(TWO_WEIGHT)
            try:
                first = await self._repair.trade_from(gap.symbol, gap.first_missing)
                last = await self._repair.trade_from(gap.symbol, gap.last_missing)
            except ExchangeError:
                return None
            if first is None or last is None or first.traded_at > last.traded_at:
                return None  # asked again: an exchange that is away now may tell later
            self._spans[place] = Span(in_ms(first.traded_at), in_ms(last.traded_at) + 1)
        return self._spans[place]


def is_long(gap: Gap) -> bool:
    """Whether a gap is worth a file."""
    return gap.last_missing - gap.first_missing + 1 >= LEAST


def may_still_come(gap: Gap) -> bool:
    """Whether files of a gap that is too long for ids may be published yet."""
    return utc_now() - gap.detected_at < PATIENCE


def with_refused(gap: Gap, paths: Sequence[str]) -> Gap:
    """The gap's row with the damaged files in it, each once."""
    names = [path.rpartition("/")[2] for path in paths]
    said = "".join(f"; {name} is damaged" for name in names if name not in gap.detail)
    if not said:
        return gap
    return msgspec.structs.replace(gap, detail=f"{gap.detail}{said}", as_of=utc_now())


def filled(gap: Gap, rests: list[range]) -> list[Gap]:
    """The rows of a gap of which only these ids are still missing."""
    now = utc_now()
    rows = [
        msgspec.structs.replace(
            gap, first_missing=rest.start, last_missing=rest.stop - 1, as_of=now
        )
        for rest in rests
    ]
    if all(row.first_missing != gap.first_missing for row in rows):
        last = min((rest.start for rest in rests), default=gap.last_missing + 1) - 1
        detail = f"{gap.detail}; filled from the archive"
        rows.append(
            msgspec.structs.replace(
                gap, last_missing=last, state="repaired", detail=detail, as_of=now
            )
        )
    return rows


def _midnight_ms() -> int:
    return in_ms(utc_now().replace(hour=0, minute=0, second=0, microsecond=0))
