"""Batches that wait are written as few transactions, and nothing of them is lost on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.market import Event, Rejected
from ingest.batch import Batch, MoversPoll
from ingest.writer import merged
from tests.market_rows import (
    NOON,
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
