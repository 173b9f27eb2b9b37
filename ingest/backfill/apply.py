"""Carries a plan out, piece by piece, a transaction at a time.

Rows travel together with how far they bring their piece (`backfills`), so a killed backfill goes on
after the last transaction. A file that is refused costs only itself. Gaps that a piece fills, of
whatever cause, become repaired.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from contracts.market import Gap
from ingest.backfill.asking import Asking
from ingest.backfill.block import Block
from ingest.backfill.calm import Calm
from ingest.backfill.downloads import with_downloads
from ingest.backfill.klines import KlineLoad
from ingest.backfill.past_prices import PastPrices
from ingest.backfill.plan import Piece, SymbolPlan
from ingest.backfill.trades import TradeLoad
from ingest.batch import BackfillProgress, Batch
from ingest.binance.archive import Archive, Download
from ingest.binance.archive_files import TRADES, interval_of
from ingest.binance.limits import utc_now
from ingest.errors import ArchiveRefused, ExchangeError
from ingest.settings import IngestSettings
from ingest.span import from_ms
from ingest.writer import StoreThread

Progress = Callable[[str, int, int], None]
"""symbol, rows done, rows in all."""

REST = "rest"


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
        self.venue = asking.venue
        self.archive = archive
        self.store = store
        self.calm = Calm(store, settings.shedding_valid_s)
        self._klines = KlineLoad(asking, pages)
        self._trades = TradeLoad(asking, prices, pages)

    async def run(self, plan: SymbolPlan, progress: Progress) -> Outcome:
        """Load what is planned; call `progress` after each transaction. Raises StoreError."""
        return await _Run(self, plan, progress).outcome()

    def load_of(self, stream: str) -> KlineLoad | TradeLoad:
        """What brings the rows of a stream."""
        return self._trades if stream == TRADES else self._klines


class _Run:
    """The way of one symbol's plan, with what was done so far."""

    def __init__(self, backfill: Backfill, plan: SymbolPlan, progress: Progress) -> None:
        self._backfill = backfill
        self._store = backfill.store
        self._plan = plan
        self._progress = progress
        self._done = max(plan.rows - sum(piece.rows for piece in plan.pieces), 0)
        self._received = self._stored = self._quarantined = 0
        self._missing: list[Gap] = []
        self._failures = [plan.failure] if plan.failure else []

    async def outcome(self) -> Outcome:
        started, plan = time.monotonic(), self._plan
        self._show(self._done)
        try:
            await self._load_all()
        except ExchangeError as error:  # it is not one file's: the next piece would meet it, too
            self._failures.append(f"{plan.symbol}: {error}")
        if not self._failures:
            self._show(plan.rows)
        return Outcome(
            symbol=plan.symbol,
            stream=plan.stream,
            start=from_ms(plan.span.start),
            end=from_ms(plan.span.end),
            received=self._received,
            stored=self._stored,
            quarantined=self._quarantined,
            gaps=[(gap.first_missing, gap.last_missing) for gap in self._missing]
            if plan.stream == TRADES
            else await self._holes(),
            failures=self._failures,
            seconds=time.monotonic() - started,
        )

    async def _load_all(self) -> None:
        pieces = with_downloads(self._backfill.archive, self._plan.pieces)
        async with contextlib.aclosing(pieces):
            async for piece, download in pieces:
                if isinstance(download, ArchiveRefused):
                    self._failures.append(str(download))
                    continue
                try:
                    await self._load(piece, download)
                except ArchiveRefused as error:
                    self._failures.append(str(error))

    async def _load(self, piece: Piece, download: Download | None) -> None:
        blocks = self._backfill.load_of(self._plan.stream).blocks(self._plan, piece, download)
        async with contextlib.aclosing(blocks):
            async for block in blocks:
                await self._backfill.calm.wait()
                await self._keep(block, self._made(piece, download, block))
                self._show(self._done)

    def _made(self, piece: Piece, download: Download | None, block: Block) -> BackfillProgress:
        """How far a block brings its piece."""
        return BackfillProgress(
            venue=self._backfill.venue,
            symbol=self._plan.symbol,
            stream=self._plan.stream,
            start_time=from_ms(piece.span.start),
            next_time=from_ms(block.next_ms),
            source=download.path if download else REST,
            checksum=download.checksum if download else "",
        )

    async def _keep(self, block: Block, made: BackfillProgress) -> None:
        batch = block.batch
        self._missing += batch.gaps
        if block.proved:
            batch = Batch(gaps=await self._filled(block.proved))
        written = await self._store.call(partial(self._store.store.copy, batch, made))
        self._done += block.count
        self._received += len(batch.klines) + len(batch.trades)
        self._stored += written.rows.get("klines", 0) + written.rows.get("trades", 0)
        self._quarantined += written.quarantined

    async def _filled(self, proved: range) -> list[Gap]:
        """Gaps of before that lie in what was proved: what was found again of them, or repaired."""
        store = self._store.store
        of = (self._backfill.venue, self._plan.symbol, self._plan.stream)
        known = await self._store.call(lambda: store.gaps_within(*of, proved))
        found = {gap.first_missing: gap for gap in self._missing}
        return [filled(gap, found.get(gap.first_missing)) for gap in known]

    async def _holes(self) -> list[tuple[datetime, datetime]]:
        """Holes among all the candles that the database holds of the span."""
        span, store = self._plan.span, self._store.store
        of = (self._backfill.venue, self._plan.symbol, interval_of(self._plan.stream))
        return await self._store.call(
            lambda: store.missing_klines(*of, from_ms(span.start), from_ms(span.end))
        )

    def _show(self, done: int) -> None:
        self._progress(self._plan.symbol, min(done, self._plan.rows), self._plan.rows)


def filled(gap: Gap, found: Gap | None) -> Gap:
    """A gap of before, as the proof leaves it; `found` begins with it, and may end sooner."""
    now = utc_now()
    if found is not None:  # it follows from the one of before (`gap_rows`)
        return msgspec.structs.replace(found, detected_at=gap.detected_at, as_of=now)
    detail = f"{gap.detail}; backfilled"
    return msgspec.structs.replace(gap, state="repaired", detail=detail, as_of=now)
