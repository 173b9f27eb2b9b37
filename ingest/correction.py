"""What makes a minute whole whose trades are not as told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from contracts.market import Trade
from ingest.aggregates import ranges
from ingest.conservation import is_odd


class Correction(msgspec.Struct, frozen=True):
    """What makes a minute whole: trades to be removed, and those to be put in or changed.

    `missing`: ids of the latter that were not held at all.
    """

    wrong: list[Trade]
    told: list[Trade]
    missing: list[range]

    def __str__(self) -> str:
        changed = ranges({trade.trade_id for trade in self.told} - _ids(self.missing))
        parts = {
            "changed": changed,
            "put in": self.missing,
            "removed": ranges(trade.trade_id for trade in self.wrong),
        }
        return ", ".join(f"{verb} trades {shown(ids)}" for verb, ids in parts.items() if ids)


def correct(held: Sequence[Trade], where: Sequence[range], told: Sequence[Trade]) -> Correction:
    """What has to change so that these ids are as told; `told` may say more than them."""
    suspected = _ids(where)
    true = {_key(trade): trade for trade in told if trade.trade_id in suspected}
    wrong = [trade for trade in held if trade.trade_id in suspected and _key(trade) not in true]
    known = {_key(trade): trade for trade in held}
    news = [trade for key, trade in true.items() if not _same(trade, known.get(key))]
    held_ids = {trade.trade_id for trade in held}
    return Correction(wrong, news, ranges({each.trade_id for each in news} - held_ids))


def after(held: Sequence[Trade], correction: Correction) -> list[Trade]:
    """The trades of a minute once it is corrected."""
    wrong = set(map(_key, correction.wrong))
    result = {_key(trade): trade for trade in held if _key(trade) not in wrong}
    result.update((_key(trade), trade) for trade in correction.told)
    return list(result.values())


def shown(where: Sequence[range]) -> str:
    """Ranges of ids as a person reads them: 5, 7–9."""
    return ", ".join(
        str(ids.start) if len(ids) == 1 else f"{ids.start}–{ids.stop - 1}" for ids in where
    )


def _key(trade: Trade) -> tuple[int, datetime]:
    return trade.trade_id, trade.traded_at


def _ids(where: Sequence[range]) -> set[int]:
    return {id_ for ids in where for id_ in ids}


def _same(told: Trade, held: Trade | None) -> bool:
    """Whether what is held says the same, perhaps with finer amounts and times."""
    return (
        held is not None
        and (told.price, told.quantity) == (held.price, held.quantity)
        and (told.is_buyer_maker, told.is_best_match) == (held.is_buyer_maker, held.is_best_match)
        and not is_odd(held)
    )
