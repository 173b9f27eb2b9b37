"""Trades of the past by their ids, from daily files of the archive: a source for repairs.

Beside `historicalTrades`, where that is not served or would cost more weight than there is. They
are the very rows that a backfill loads; what they are worth in dollars is for the caller to say.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import closing

from contracts.market import Trade
from ingest.binance.archive import Archive
from ingest.binance.archive_files import TRADES, days, of_day
from ingest.binance.rows import Parsed
from ingest.span import Span


class ArchivedTrades:
    """Trades of one venue's archive."""

    def __init__(self, archive: Archive, venue: str) -> None:
        self._archive = archive
        self._venue = venue

    async def is_published(self, symbol: str, day: Span) -> bool:
        """Whether there is a file of the UTC day in which a span begins. Raises Unreachable."""
        return await self._archive.size(path_of(symbol, day)) is not None

    async def with_ids(
        self, symbol: str, ids: range, span: Span
    ) -> AsyncGenerator[Parsed[Trade], None]:
        """What the files of the UTC days of `span` have of `ids`, in the files' order.

        A day's file is published on the next day; what is not there is not told, so the caller
        counts. Rows that could not be read may be of any id. Raises Unreachable, ArchiveRefused.
        """
        for day in days(span):
            if not await self.is_published(symbol, day):
                continue
            with closing(await self._archive.download(path_of(symbol, day))) as download:
                async for parsed in download.trades(self._venue, symbol):
                    rows = [row for row in parsed.rows if row.trade_id in ids]
                    if rows or parsed.rejected:
                        yield Parsed(rows, parsed.rejected)
                    if parsed.rows and parsed.rows[-1].trade_id >= ids.stop - 1:
                        return


def path_of(symbol: str, day: Span) -> str:
    """The file of the UTC day in which a span begins."""
    return of_day(symbol, TRADES, day).path
