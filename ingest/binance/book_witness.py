"""A second opinion on a local book: the best levels that @bookTicker tells of. Pure.

A local book can go wrong in silence: a diff that the exchange never sent, a snapshot of another
moment. The best bid and ask come by another stream, each with the id of its update. Where a book
holds the same update, both must be the same; where the best levels go on and the diffs do not, the
book is behind. Ids that do not meet prove nothing, and most of them do not: a diff sums up many
updates. One meeting each few seconds is enough.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ingest.binance.order_book import BookTop, OrderBook

TOPS_LIMIT: Final = 64  # newest best levels that are remembered until the book reaches them


class _Heard(msgspec.Struct, frozen=True):
    top: BookTop
    at_ms: int


class Witness:
    """The best levels of one symbol that its book has not reached yet."""

    def __init__(self) -> None:
        self._heard: dict[int, _Heard] = {}  # update id → what was told of it
        self._ahead_ms: int | None = None  # since when the book is behind

    def hear(self, top: BookTop, at_ms: int, book: OrderBook) -> None:
        """Remember best levels, told at `at_ms`, unless the book is past them."""
        if book.last_id is None or top.update_id < book.last_id:
            return
        self._heard[top.update_id] = _Heard(top, at_ms)
        if len(self._heard) > TOPS_LIMIT:
            del self._heard[next(iter(self._heard))]
        if top.update_id > book.last_id and self._ahead_ms is None:
            self._ahead_ms = at_ms

    def contradicts(self, book: OrderBook) -> bool:
        """Whether the book, which holds the same update, has other best levels."""
        heard = self._heard.get(-1 if book.last_id is None else book.last_id)
        if heard is None:
            return False
        bid, ask = book.best
        told = heard.top
        return (bid or _NOTHING, ask or _NOTHING) != (
            (told.bid, told.bid_quantity),
            (told.ask, told.ask_quantity),
        )

    def passed(self, book: OrderBook) -> None:
        """The book has gone on: what it is past is forgotten."""
        last = book.last_id
        self._heard = {} if last is None else {i: h for i, h in self._heard.items() if i > last}
        self._ahead_ms = min((heard.at_ms for heard in self._heard.values()), default=None)

    def behind_ms(self, now_ms: int) -> int:
        """For how long best levels are known that the book has not reached."""
        return 0 if self._ahead_ms is None else max(now_ms - self._ahead_ms, 0)


_NOTHING: Final = (0, 0)  # an empty side, as @bookTicker tells of it
