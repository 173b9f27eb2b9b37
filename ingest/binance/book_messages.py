"""Events of the streams of order books. Pure, like `ingest.binance.stream_messages`.

| stream | becomes |
| --- | --- |
| <symbol>@depth, <symbol>@depth@100ms | a `BookDiff` |
| <symbol>@bookTicker | a `BookTop` |
"""

from __future__ import annotations

from itertools import chain

import msgspec

from ingest.binance.messages import Count, Name
from ingest.binance.order_book import BookDiff, BookTop, Levels
from ingest.binance.rows import BadValueError, amounts, moment
from ingest.binance.stream_messages import Told, check_kind, check_symbol


class _Diff(msgspec.Struct):
    e: str
    E: int
    s: Name
    U: Count
    u: Count
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


_diff = msgspec.json.Decoder(_Diff)


def read_diff(data: msgspec.Raw, venue: str, stream: str) -> Told:
    del venue
    row = _diff.decode(data)
    check_kind(row.e, "depthUpdate")
    check_symbol(stream, row.s)
    moment(row.E, "E")
    if row.u < row.U:
        raise BadValueError(f"it ends ({row.u}) before it begins ({row.U})")
    diff = BookDiff(
        symbol=row.s,
        first_id=row.U,
        final_id=row.u,
        event_ms=row.E,
        bids=_changes(row.b, "bid"),
        asks=_changes(row.a, "ask"),
    )
    return Told(stream, row.E, diffs=[diff])


def _changes(side: list[tuple[str, str]], name: str) -> Levels:
    if not side:
        return []
    flat = amounts(tuple(chain.from_iterable(side)), (name,) * (2 * len(side)))
    if min(flat[::2]) <= 0:
        raise BadValueError(f"a {name} level of price zero")
    return list(zip(flat[::2], flat[1::2], strict=True))


class _Top(msgspec.Struct):
    u: Count
    s: Name
    b: str
    B: str
    a: str
    A: str


_top = msgspec.json.Decoder(_Top)


def read_top(data: msgspec.Raw, venue: str, stream: str) -> Told:
    del venue
    row = _top.decode(data)
    check_symbol(stream, row.s)  # its kind this event does not name
    bid, bid_quantity, ask, ask_quantity = amounts((row.b, row.B, row.a, row.A), tuple("bBaA"))
    if bid and ask and bid >= ask:
        raise BadValueError(f"the book is crossed: bid {bid}, ask {ask}")
    top = BookTop(
        symbol=row.s,
        update_id=row.u,
        bid=bid,
        bid_quantity=bid_quantity,
        ask=ask,
        ask_quantity=ask_quantity,
    )
    return Told(stream, tops=[top])
