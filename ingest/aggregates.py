"""What aggregate trades prove of single ones: that ids are missing, or which are not as told. Pure.

An aggregate is what one taker order bought or sold at one price and time: its first and last trade
id, and the sum of their quantities. Aggregates have contiguous ids of their own and leave no trade
out, so they certify where a hole is the exchange's own, and locate a trade that was lost, changed,
or moved, to a range of ids. The single trades they cannot restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from itertools import pairwise
from typing import Literal

import msgspec

from contracts.market import Trade
from ingest.conservation import is_odd

_EXACT = Context(prec=200)


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """A row of aggTrades; it stands for the trades first_id … last_id."""

    aggregate_id: int
    first_id: int
    last_id: int
    traded_at: datetime
    price: Decimal
    quantity: Decimal
    is_buyer_maker: bool


Proof = Literal["lost", "withheld", "unknown"]
"""Of ids that were asked for and not given: the exchange has lost them, has them, or who knows."""


def proof(hole: range, row: Sequence[Aggregate]) -> Proof:
    """What adjacent aggregates, by rising id, say of the trades of a hole."""
    if any(each.first_id < hole.stop and each.last_id >= hole.start for each in row):
        return "withheld"
    for one, following in pairwise(row):
        if one.last_id < hole.start and following.first_id >= hole.stop:
            return "lost"
    return "unknown"


def suspects(aggregates: Iterable[Aggregate], held: Iterable[Trade]) -> list[range]:
    """Ids of a minute that are not held as all of its aggregates say, as rising ranges.

    Also those that are held and stand in no aggregate: not of this minute, or not the exchange's.
    """
    by_id: dict[int, list[Trade]] = {}
    for trade in held:
        by_id.setdefault(trade.trade_id, []).append(trade)
    found: set[int] = set()
    for each in aggregates:
        ids = range(each.first_id, each.last_id + 1)
        if not _holds(each, [trade for id_ in ids for trade in by_id.get(id_, ())], len(ids)):
            found.update(ids)
        for id_ in ids:
            by_id.pop(id_, None)
    return ranges(found | by_id.keys())


def ranges(ids: Iterable[int]) -> list[range]:
    """The ids as ranges that do not touch, rising."""
    found: list[range] = []
    for id_ in sorted(ids):
        if found and found[-1].stop == id_:
            found[-1] = range(found[-1].start, id_ + 1)
        else:
            found.append(range(id_, id_ + 1))
    return found


def pages(wanted: Sequence[range], most: int) -> list[range]:
    """As few ranges of at most `most` ids as cover the wanted ones; they may hold others, too."""
    found: list[range] = []
    for each in wanted:
        start = each.start
        if found and each.start < found[-1].start + most:
            page = found[-1]
            found[-1] = range(page.start, min(each.stop, page.start + most))
            start = max(start, found[-1].stop)
        while start < each.stop:
            found.append(range(start, min(start + most, each.stop)))
            start = found[-1].stop
    return found


def _holds(told: Aggregate, trades: Sequence[Trade], count: int) -> bool:
    """Whether these trades are those that the aggregate stands for, each id once."""
    total = Decimal(0)
    for trade in trades:
        total = _EXACT.add(total, trade.quantity)
    return (
        len(trades) == count
        and len({trade.trade_id for trade in trades}) == count
        and total == told.quantity
        and all(
            (trade.price, trade.is_buyer_maker, trade.traded_at)
            == (told.price, told.is_buyer_maker, told.traded_at)
            and not is_odd(trade)
            for trade in trades
        )
    )
