"""Batches that wait are written as few transactions, and nothing of them is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from contracts.market import Event, Rejected
from contracts.shedding import ALL
from ingest.batch import Batch, MoversPoll, Written
from ingest.shedding import Shedding
from ingest.spool import Spool
from ingest.writer import Writer, merged
from tests.market_rows import (
    NOON,
    VENUE,
    certificate,
    coin_market,
    depth,
    gap,
    instrument,
    kline,
    listing,
    price,
    ticker,
    trade,
)

POLL = MoversPoll(venue="v", snapshot_at=NOON, quote_assets=("USDT",))
ROWS: dict[str, Any] = {
    "instruments": [instrument()],
    "listings": [listing()],
    "prices": [price()],
    "depth": [depth()],
    "trades": [trade()],
    "klines": [kline()],
    "tickers": [ticker()],
    "watched": frozenset({"BTCUSDT"}),
    "movers": POLL,
    "coin_markets": [coin_market()],
    "gaps": [gap()],
    "certificates": [certificate()],
    "events": [Event(venue="v", kind="ban", message="m")],
    "rejected": [Rejected(source="v", endpoint="e", reason="r", raw=b"")],
}


def test_the_rows_of_this_test_are_all_that_a_batch_can_hold() -> None:
    """A field that is added to Batch has to be added here, and to `merged`."""
    assert ROWS.keys() == {each.name for each in msgspec.structs.fields(Batch)}


@pytest.mark.parametrize("name", ROWS)
def test_nothing_of_a_batch_is_lost_in_merging(name: str) -> None:
    """Whatever it holds, first or second of two."""
    full, empty = Batch(**{name: ROWS[name]}), Batch()
    assert merged([full, empty]) == merged([empty, full]) == [full]


def test_rows_keep_their_order() -> None:
    """Of two polls of one price the later one stays the later one."""
    first, second = price("1"), price("2")
    assert merged([Batch(prices=[first]), Batch(prices=[second])]) == [
        Batch(prices=[first, second])
    ]


def test_two_rankings_are_two_transactions() -> None:
    """Each ranks what its own poll has stored."""
    assert len(merged([Batch(movers=POLL), Batch(prices=[price()]), Batch(movers=POLL)])) == 2


class AwayStore:
    """PostgreSQL: away for its first call, for ever."""

    def __init__(self) -> None:
        self.written: list[Batch] = []
        self.asked = asyncio.Event()
        self.store = self

    async def call(self, work: Callable[[], Written]) -> Written:
        if not self.asked.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        return work()

    def write(self, batch: Batch) -> Written:
        self.written.append(batch)
        return Written()


def test_what_is_shed_is_on_record_though_its_write_was_cancelled() -> None:
    """At the end what waits is written once more; its rows are dropped, so their gap must be in."""

    async def main() -> list[Batch]:
        store, spool, shedding = AwayStore(), Spool[Batch](1000), Shedding(VENUE)
        writer = Writer(cast("Any", store), spool, shedding)
        shedding.level = ALL
        await spool.put(Batch(depth=[depth()], events=ROWS["events"]), 1)
        await spool.close()
        running = asyncio.create_task(writer.run())
        await store.asked.wait()
        running.cancel()
        await asyncio.wait({running})
        await writer.run()
        return store.written

    (batch,) = asyncio.run(main())
    assert batch.depth == []
    assert batch.events == ROWS["events"]
    assert [(each.stream, each.state) for each in batch.gaps] == [("depth", "open")]
