"""Trades that a benchmark lets ingest's own store write, made from a number and a moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from contracts.market import Trade
from ingest.batch import Batch
from tests.benchmarks.events import trade_row

SYMBOLS = 10


def trade(number: int, at: datetime, symbol: str = "") -> Trade:
    """The trade of that number; of one of some symbols, unless one is named."""
    us = round(at.timestamp() * 1_000_000)
    row = trade_row(number, SYMBOLS) | {"traded_at": at, "traded_at_us": us}
    return msgspec.convert(row | ({"symbol": symbol} if symbol else {}), Trade)


def batch(numbers: Iterable[int]) -> Batch:
    """Trades of this moment, to be written together."""
    now = datetime.now(UTC)
    return Batch(trades=[trade(number, now) for number in numbers])
