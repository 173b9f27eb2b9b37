"""Carries a plan out, piece by piece, a transaction at a time.

Rows travel together with how far they bring the piece (`backfills`), so a killed backfill goes on
after the last transaction. While one piece is stored, the next file is downloaded. A file that is
refused costs only itself. While the watch sheds load, nothing is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from functools import partial

import msgspec
import structlog

from contracts.shedding import NONE
from ingest.backfill.asking import Asking
from ingest.backfill.block import Block, received
from ingest.backfill.klines import KlineLoad
from ingest.backfill.past_prices import PastPrices
from ingest.backfill.plan import Piece, SymbolPlan
from ingest.backfill.trades import TradeLoad
from ingest.batch import BackfillProgress
from ingest.binance.archive import Archive, Download
from ingest.binance.archive_files import TRADES, interval_of
from ingest.errors import ArchiveRefused, ExchangeError
from ingest.settings import IngestSettings
from ingest.shedding import obeyed
from ingest.span import from_ms
from ingest.writer import StoreThread

log = structlog.get_logger(__name__)

Progress = Callable[[str, int, int], None]
"""symbol, rows done, rows in all."""

REST = "rest"
_LOOK_S = 2.0  # between two looks at what the watch wants
_AHEAD = 1  # files that are downloaded before they are needed


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill of one symbol did.

    `gaps`: first and last of each hole: open times of candles in the whole span, ids of trades that
    were found to be missing now. `failures`: what could not be loaded, and why.
    """

    symbol: str
    stream: str
    start: datetime
    end: datetime
    received: int
    stored: int
    quarantined: int
    gaps: list[tuple[datetime, datetime]] | list[tuple[int, int]]
    failures: list[str]
    seconds: float


class _Tally(msgspec.Struct):
    """What was done so far."""

    done: int
    received: int = 0
    stored: int = 0
    quarantined: int = 0
    missing: list[tuple[int, int]] = []
    failures: list[str] = []


class Backfill:
    """Applies plans on one venue; use one for all symbols, that they share what they learn."""

    def __init__(
        self,
        settings: IngestSettings,
        asking: Asking,
        archive: Archive | None,
        store: StoreThread,
        quote_assets: dict[str, str],
    ) -> None:
        """`quote_assets`: of every listed symbol. Without an archive, plans must have no files."""
        pages = settings.backfill_pages_in_flight
        prices = PastPrices(asking, settings.usd_quotes, quote_assets)
        self._venue = asking.venue
        self._archive = archive
        self._store = store
        self._klines = KlineLoad(asking, pages)
        self._trades = TradeLoad(asking, prices, pages)
        self._calm = _Calm(store, settings.shedding_valid_s)

    async def run(self, plan: SymbolPlan, progress: Progress) -> Outcome:
        """Load what is planned; call `progress` after each transaction."""
        started = time.monotonic()
        tally = _Tally(done=max(plan.rows - sum(piece.rows for piece in plan.pieces), 0))
        if plan.failure:
            tally.failures.append(plan.failure)
        progress(plan.symbol, tally.done, plan.rows)
        async with contextlib.aclosing(self._with_downloads(plan.pieces)) as pieces:
            try:
                async for piece, download in pieces:
                    await self._load(plan, piece, download, tally, progress)
            except (
                ExchangeError
            ) as error:  # not of one file alone: the next piece would fare no better
                tally.failures.append(str(error))
        if not tally.failures:
            progress(plan.symbol, plan.rows, plan.rows)
        return Outcome(
            symbol=plan.symbol,
            stream=plan.stream,
            start=from_ms(plan.span.start),
            end=from_ms(plan.span.end),
            received=tally.received,
            stored=tally.stored,
            quarantined=tally.quarantined,
            gaps=tally.missing if plan.stream == TRADES else await self._holes(plan),
            failures=tally.failures,
            seconds=time.monotonic() - started,
        )

    async def _load(
        self,
        plan: SymbolPlan,
        piece: Piece,
        download: Download | ArchiveRefused | None,
        tally: _Tally,
        progress: Progress,
    ) -> None:
        if isinstance(download, ArchiveRefused):
            tally.failures.append(str(download))
            return
        load = self._trades if plan.stream == TRADES else self._klines
        try:
            async with contextlib.aclosing(load.blocks(plan, piece, download)) as blocks:
                async for block in blocks:
                    await self._calm.wait()
                    await self._keep(plan, piece, download, block, tally)
                    progress(plan.symbol, min(tally.done, plan.rows), plan.rows)
        except ArchiveRefused as error:
            tally.failures.append(str(error))

    async def _keep(
        self,
        plan: SymbolPlan,
        piece: Piece,
        download: Download | None,
        block: Block,
        tally: _Tally,
    ) -> None:
        """Store a block, and the progress that it makes."""
        made = BackfillProgress(
            venue=self._venue,
            symbol=plan.symbol,
            stream=plan.stream,
            start_time=from_ms(piece.span.start),
            next_time=from_ms(block.next_ms),
            source=download.path if download else REST,
            checksum=download.checksum if download else "",
        )
        store = self._store.store
        written = await self._store.call(partial(store.copy, block.batch, made))
        tally.done += block.count
        tally.received += len(received(block.batch))
        tally.stored += written.rows.get("klines", 0) + written.rows.get("trades", 0)
        tally.quarantined += written.quarantined
        tally.missing += [(gap.first_missing, gap.last_missing) for gap in block.batch.gaps]

    async def _holes(self, plan: SymbolPlan) -> list[tuple[datetime, datetime]]:
        """Holes among all the candles that the database holds of the span."""
        start, end = from_ms(plan.span.start), from_ms(plan.span.end)
        interval = interval_of(plan.stream)
        store = self._store.store
        return await self._store.call(
            lambda: store.missing_klines(self._venue, plan.symbol, interval, start, end)
        )

    async def _with_downloads(
        self, pieces: Sequence[Piece]
    ) -> AsyncGenerator[tuple[Piece, Download | ArchiveRefused | None], None]:
        """Each piece with its file, if it has one, or with why the file is refused."""
        under_way: dict[int, asyncio.Task[Download | ArchiveRefused]] = {}
        try:
            for number, piece in enumerate(pieces):
                for near in range(number, min(number + 1 + _AHEAD, len(pieces))):
                    if (file := pieces[near].file) and near not in under_way:
                        under_way[near] = asyncio.create_task(self._download(file.path))
                if number not in under_way:
                    yield piece, None
                    continue
                download = await under_way[number]
                try:
                    yield piece, download
                finally:
                    del under_way[number]
                    _close(download)
        finally:
            await _abandon(list(under_way.values()))

    async def _download(self, path: str) -> Download | ArchiveRefused:
        if self._archive is None:
            raise AssertionError("a plan that was made without an archive has no files")
        try:
            return await self._archive.download(path)
        except ArchiveRefused as error:
            return error


async def _abandon(tasks: Sequence[asyncio.Task[Download | ArchiveRefused]]) -> None:
    """End downloads that nobody wants any more, and close those that are complete."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, BaseException):
            _close(ended)


def _close(download: Download | ArchiveRefused) -> None:
    if isinstance(download, Download):
        download.close()


class _Calm:
    """Whether the replication slot has room for what a backfill adds to the log."""

    def __init__(self, store: StoreThread, valid_s: float) -> None:
        self._store = store
        self._valid_s = valid_s
        self._looked = 0.0

    async def wait(self) -> None:
        """Until the watch sheds nothing; it is looked at now and then."""
        told = False
        while time.monotonic() - self._looked >= _LOOK_S or told:
            level, age_s = await self._store.call(self._store.store.load_shedding)
            self._looked = time.monotonic()
            if obeyed(level, age_s, self._valid_s) == NONE:
                return
            if not told:
                log.warning("waiting: replication is behind, and the watch sheds load", level=level)
            told = True
            await asyncio.sleep(_LOOK_S)
