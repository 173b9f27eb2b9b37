"""Candles by the page: the rules of `messages.candle`, a column at a time.

A page is almost always well. To see that takes half as long when no line of Python runs a value or
a row: one match for all amounts, one call a column for the rest. Where anything is not well nothing
is said here; `candle` then takes the rows one by one and says which, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, repeat
from operator import le, lt

import msgspec

from contracts.market import Kline
from ingest.binance.rows import BadValueError, in_range, plain_amounts

Texts = Sequence[str]


class Columns(msgspec.Struct, frozen=True):
    """What `messages.Candle` says, of many: times in ms, and amounts in the order of its names."""

    opened: Sequence[int]
    closed: Sequence[int]
    amounts: tuple[Texts, Texts, Texts, Texts, Texts, Texts, Texts, Texts]
    counts: Sequence[int]


def candles(venue: str, symbol: str, interval: str, said: Columns, as_of: datetime) -> list[Kline]:
    """The candles of a page; BadValueError where `candle` would refuse one of them."""
    opened, closed = said.opened, said.closed
    if not (in_range(opened) and in_range(closed) and all(map(le, opened, closed))):
        raise BadValueError("a time")
    open_, high, low, close, volume, quote, taker, taker_quote = _decimals(said.amounts)
    within = (map(le, low, open_), map(le, open_, high), map(le, low, close), map(le, close, high))
    if min(low) <= 0 or not all(map(all, within)):
        raise BadValueError("a crossed candle")
    opened_at, closed_at = _moments(opened), _moments(closed)
    are_closed = map(lt, closed_at, repeat(as_of))
    amounts = (open_, high, low, close, volume, quote, taker, taker_quote)
    return [
        Kline(
            venue=venue,
            symbol=symbol,
            interval=interval,
            open_time=start,
            close_time=end,
            open=o,
            high=h,
            low=bottom,
            close=c,
            volume=v,
            quote_volume=qv,
            trade_count=count,
            taker_buy_volume=tb,
            taker_buy_quote_volume=tq,
            is_closed=is_closed,
            as_of=as_of,
        )
        for start, end, o, h, bottom, c, v, qv, tb, tq, count, is_closed in zip(
            opened_at, closed_at, *amounts, said.counts, are_closed, strict=True
        )
    ]


def _decimals(columns: Iterable[Texts]) -> list[list[Decimal]]:
    columns = list(columns)
    if not plain_amounts(chain.from_iterable(columns)):
        raise BadValueError("an amount")
    return [list(map(Decimal, column)) for column in columns]


def _moments(times: Sequence[int]) -> list[datetime]:
    return list(map(datetime.fromtimestamp, [ms / 1000 for ms in times], repeat(UTC)))
