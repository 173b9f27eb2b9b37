"""The local order book of a symbol: a snapshot kept up to date by diffs. Pure, with given times.

    waiting ──snapshot that the diffs go on from──► in step ──a hole, a crossed book, …──► waiting

The exchange's rule: keep the diffs that come; ask for a snapshot; drop the diffs that it holds
already; the first that is left must go on where the snapshot ends (first_id ≤ its last update + 1),
and each later one where its predecessor ends. A quantity replaces what was there, 0 removes.

A diff that overlaps the last one is applied: its quantities are those of a later update, so nothing
older can come back by it. A hole resets this book and no other.

A snapshot of limited depth says nothing of what lies beyond its last level, and diffs tell of that
only what changes. So a side is known as far as the snapshot reached, and what lies farther away is
not kept. When the price has moved so far that fewer levels are known than are to be shown, the book
is reset. Memory is bounded by the same rule: where a side grows too long, it is known less far.

Source: "How to manage a local order book correctly" in Binance's WebSocket documents, August 2026.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from contracts.market import Depth

Level: TypeAlias = tuple[Decimal, Decimal]
"""(price, quantity)"""
Levels: TypeAlias = list[Level]

UNASKED_LIMIT: Final = 3  # diffs kept while nobody has asked for a snapshot: it will be newer
WAITING_LIMIT: Final = 100  # and from then on until it comes: 100 s of <symbol>@depth
PATIENCE_MS: Final = 10_000
SPAN: Final = 20  # levels kept of a side for each that is shown; then half of them is forgotten


class BookDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What updates first_id … final_id changed; a quantity of 0 removes its level."""

    symbol: str
    first_id: int
    final_id: int
    event_ms: int
    bids: Levels
    asks: Levels


class BookTop(msgspec.Struct, frozen=True, kw_only=True):
    """The best of both sides after an update; zeros where a side is empty."""

    symbol: str
    update_id: int
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


class Step(Enum):
    """What became of a diff or of a snapshot."""

    KEPT = "kept until a snapshot comes"
    APPLIED = "applied"
    OLD = "older than the book"
    HOLE = "updates are missing: the book is reset"
    CROSSED = "the best bid reached the best ask: the book is reset"
    SHALLOW = "fewer levels are known than are to be shown: the book is reset"


class _Side:
    """The known levels of one side; `pick` (max or min) finds its best price."""

    def __init__(
        self,
        pick: Callable[[Iterable[Decimal]], Decimal],
        most: int,
        levels: Levels,
        *,
        whole: bool = True,
    ) -> None:
        """`most`: levels to keep. Not `whole`: there may be more beyond the last of `levels`."""
        self._pick = pick
        self._most = most
        self.levels = dict(levels)
        self.end = None if whole else levels[-1][0]  # known up to here; None: to its end
        self.best = pick(self.levels) if levels else None

    def change(self, levels: Levels) -> None:
        """Set each level that is not beyond what is known; quantity 0 removes it."""
        for price, quantity in levels:
            if self.end is not None and self._pick((price, self.end)) != price:
                continue
            if not quantity:
                self.levels.pop(price, None)
                continue
            self.levels[price] = quantity
            if self.best is None or self._pick((price, self.best)) == price:
                self.best = price
        if self.best is not None and self.best not in self.levels:
            self.best = self._pick(self.levels) if self.levels else None
        if len(self.levels) > self._most:
            nearest = sorted(self.levels, reverse=self._pick is max)[: self._most // 2]
            self.levels = {price: self.levels[price] for price in nearest}
            self.end = nearest[-1]

    def reaches(self, levels: int) -> bool:
        """Whether the best `levels` are known, or all that there are."""
        return self.end is None or len(self.levels) >= levels


class OrderBook:
    """One symbol's book. `wants_snapshot` says when a snapshot is to be asked for."""

    def __init__(
        self, venue: str, symbol: str, levels: int = 100, patience_ms: int = PATIENCE_MS
    ) -> None:
        """`levels` a side are to be shown.

        `patience_ms`: a book about which nothing newer is known is stale.
        """
        self._venue = venue
        self._symbol = symbol
        self._levels = levels
        self._patience_ms = patience_ms
        self.last_id: int | None = None  # of the update that the book holds; None: no book
        self._waiting: deque[BookDiff] = deque()
        self._lag_ms = 0  # how old the last diff was when it came
        self._forget(UNASKED_LIMIT)
        self.resets = 0

    @property
    def wants_snapshot(self) -> bool:
        """Whether a diff waits for a snapshot; one asked for before any diff could be too old."""
        return self.last_id is None and len(self._waiting) > 0

    @property
    def best(self) -> tuple[Level | None, Level | None]:
        """The best bid and ask of a book that is in step; None for a side that is empty."""
        return _best(self._bids), _best(self._asks)

    def asked(self) -> None:
        """A snapshot is on its way: from now on keep the diffs that it may not hold."""
        self._waiting = deque(self._waiting, maxlen=WAITING_LIMIT)

    def reset(self) -> None:
        """Forget the book: the stream broke off, so updates are missing."""
        if self.last_id is not None:
            self.resets += 1
        self._forget(UNASKED_LIMIT)

    def change(self, diff: BookDiff, received_ms: int) -> Step:
        """Take the next diff, which came at `received_ms` by the exchange's clock."""
        if self.last_id is None:
            self._waiting.append(diff)
            return Step.KEPT
        step = self._follow(diff)
        if step is Step.APPLIED:
            self._lag_ms = received_ms - diff.event_ms
        return step

    def start(self, last_id: int, bids: Levels, asks: Levels, limit: int | None = None) -> Step:
        """Take a snapshot, best levels first, with the diffs that waited for it.

        `limit`: levels a side that were asked for; a side of so many may go on beyond them.
        HOLE: it ends before the first of them begins, or some are missing between them, so another
        is to be asked for. OLD: the book that is there is at least as new.
        """
        if self.last_id is not None and last_id <= self.last_id:
            return Step.OLD
        waiting = sorted(self._waiting, key=lambda diff: (diff.first_id, diff.final_id))
        newer = [diff for diff in waiting if diff.final_id > last_id]
        if newer and newer[0].first_id > last_id + 1:
            return Step.HOLE
        self._forget(UNASKED_LIMIT)
        most = SPAN * self._levels
        self._bids = _Side(max, most, bids, whole=limit is None or len(bids) < limit)
        self._asks = _Side(min, most, asks, whole=limit is None or len(asks) < limit)
        self.last_id = last_id
        step = self._judge()
        for place, diff in enumerate(newer):
            if step not in {Step.APPLIED, Step.OLD}:  # reset: the rest waits for the next snapshot
                self._waiting.extend(newer[place:])
                break
            step = self._follow(diff)
        return Step.APPLIED if step is Step.OLD else step

    def depth(self, now_ms: int, heard_ms: int) -> Depth | None:
        """The best levels as a row of `depth`, observed at `now_ms`.

        `heard_ms`: when the connection of its diffs last said anything; a quiet symbol has no
        diffs, and its book is right nevertheless. Both by one clock. None where there is no book to
        believe: none in step, a side that is empty, or a stale one.
        """
        if self.last_id is None or self._bids.best is None or self._asks.best is None:
            return None
        if max(now_ms - heard_ms, self._lag_ms) > self._patience_ms:
            return None
        return Depth(
            venue=self._venue,
            symbol=self._symbol,
            observed_at=datetime.fromtimestamp(now_ms / 1000, UTC),
            last_update_id=self.last_id,
            bids=heapq.nlargest(self._levels, self._bids.levels.items()),
            asks=heapq.nsmallest(self._levels, self._asks.levels.items()),
        )

    def _follow(self, diff: BookDiff) -> Step:
        """Apply a diff to the book that is there, or reset it."""
        if self.last_id is None or diff.final_id <= self.last_id:
            return Step.OLD
        if diff.first_id > self.last_id + 1:
            self.reset()
            self._waiting.append(diff)
            return Step.HOLE
        self._bids.change(diff.bids)
        self._asks.change(diff.asks)
        self.last_id = diff.final_id
        return self._judge()

    def _judge(self) -> Step:
        """Whether the book can be believed as it is now; reset it where not."""
        bid, ask = self._bids.best, self._asks.best
        step = Step.APPLIED
        if bid is not None and ask is not None and bid >= ask:
            step = Step.CROSSED
        elif not (self._bids.reaches(self._levels) and self._asks.reaches(self._levels)):
            step = Step.SHALLOW
        if step is not Step.APPLIED:
            self.reset()
        return step

    def _forget(self, waiting_limit: int) -> None:
        self.last_id = None
        self._bids, self._asks = _Side(max, 0, []), _Side(min, 0, [])
        self._waiting = deque(maxlen=waiting_limit)
        self._lag_ms = 0


def _best(side: _Side) -> Level | None:
    return None if side.best is None else (side.best, side.levels[side.best])
