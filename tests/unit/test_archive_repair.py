"""How often the archive's files are downloaded for a gap, and what its row says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from contracts.market import Gap, Trade
from ingest import archive_repair
from ingest.archive_repair import AGAIN, ArchiveRepair
from ingest.binance.rows import Parsed
from ingest.errors import ArchiveRefused
from ingest.repair import Refilled
from ingest.span import Span
from tests.market_rows import NOON, SYMBOL, VENUE, gap, trade

GAP = gap(1, last_missing=9)
NAME = f"{SYMBOL}-trades-{NOON:%Y-%m-%d}.zip"


class Files:
    """One file with one of the gap's trades; `refuse`: with none, for it is damaged."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.downloads = 0
        self.refuse = refuse

    async def is_published(self, _symbol: str, _day: Span) -> bool:
        return True

    async def with_ids(
        self, _symbol: str, _ids: range, _day: Span
    ) -> AsyncGenerator[Parsed[Trade], None]:
        self.downloads += 1
        if self.refuse:
            raise ArchiveRefused(f"data/{NAME}", "no zip file")
        yield Parsed([trade(1)], [])


class Exchange:
    """Knows when the ends of the gap were traded."""

    async def trade_from(self, _symbol: str, trade_id: int) -> Trade:
        return trade(trade_id)

    async def take(self, _weight: int) -> None:
        """As `Spare`: there is weight enough."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    now = [NOON + timedelta(days=2)]
    monkeypatch.setattr(archive_repair, "utc_now", lambda: now[0])
    return now


def repair_from(files: Files) -> ArchiveRepair:
    exchange = cast("Any", Exchange())
    made = ArchiveRepair(cast("Any", None), exchange, VENUE, exchange)
    made._files = cast("Any", files)
    return made


def look(repair: ArchiveRepair, wanted: Gap = GAP, parts: int = 99) -> list[Refilled]:
    """What a look brings, of which the first parts are taken."""

    async def main() -> list[Refilled]:
        found: list[Refilled] = []
        async with aclosing(repair.refill(wanted)) as refilled:
            async for part in refilled:
                found.append(part)
                if len(found) == parts:
                    break
        return found

    return asyncio.run(main())


def test_a_damaged_file_is_tried_later_and_told_once(clock: list[datetime]) -> None:
    files = Files(refuse=True)
    repair = repair_from(files)
    (told,) = look(repair)
    assert [(row.state, row.detail) for row in told.gaps] == [("open", f"; {NAME} is damaged")]
    assert look(repair) == []
    clock[0] += AGAIN
    assert look(repair, told.gaps[0]) == []
    assert files.downloads == 2


def test_a_file_that_was_left_in_the_middle_is_due_at_once(clock: list[datetime]) -> None:
    """Trades are shed again: whether it helps nobody knows yet."""
    files = Files()
    repair = repair_from(files)
    assert len(look(repair, parts=1)) == 1
    _, ended = look(repair)
    assert [(row.first_missing, row.state) for row in ended.gaps] == [(2, "open"), (1, "repaired")]
    assert look(repair) == []
    assert (files.downloads, clock) == (2, [NOON + timedelta(days=2)])
