"""The local order book of a symbol: a snapshot kept up to date by diffs. Pure, with given times.

    waiting ──snapshot that the diffs go on from──► in step ──a hole, or a crossed book──► waiting

The exchange's rule: keep the diffs that come; ask for a snapshot; drop the diffs that it holds
already; the first that is left must go on where the snapshot ends (first_id ≤ its last update + 1),
and each later one where its predecessor ends. A quantity replaces what was there, 0 removes.

A diff that overlaps the last one is applied: its quantities are those of a later update, so nothing
older can come back by it. A hole resets this book and no other. What a snapshot of limited depth
did not show, and no diff has touched since, is not in the book: only as many levels a side as were
asked for are to be believed.

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

Levels: TypeAlias = list[tuple[Decimal, Decimal]]
"""(price, quantity)"""

WAITING_LIMIT: Final = 1000  # diffs kept until a snapshot comes: 100 s of the fastest stream
PATIENCE_MS: Final = 10_000
SIDE_LIMIT: Final = 20_000  # levels a side; beyond it, the half that is farther away is forgotten


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


class _Side:
    """The levels of one side; `pick` (max or min) finds its best price."""

    def __init__(self, levels: Levels, pick: Callable[[Iterable[Decimal]], Decimal]) -> None:
        self._pick = pick
        self.levels: dict[Decimal, Decimal] = {}
        self.best: Decimal | None = None
        self.change(levels)

    def change(self, levels: Levels) -> None:
        """Set each level; quantity 0 removes it."""
        for price, quantity in levels:
            if not quantity:
                self.levels.pop(price, None)
                continue
            self.levels[price] = quantity
            if self.best is None or self._pick((price, self.best)) == price:
                self.best = price
        if self.best is not None and self.best not in self.levels:
            self.best = self._pick(self.levels) if self.levels else None
        if len(self.levels) > SIDE_LIMIT:
            nearest = sorted(self.levels, reverse=self._pick is max)[: SIDE_LIMIT // 2]
            self.levels = {price: self.levels[price] for price in nearest}


class OrderBook:
    """One symbol's book. `wants_snapshot` says when a snapshot is to be asked for."""

    def __init__(self, venue: str, symbol: str, patience_ms: int = PATIENCE_MS) -> None:
        """`patience_ms`: a book about which nothing newer is known is stale."""
        self._venue = venue
        self._symbol = symbol
        self._patience_ms = patience_ms
        self._waiting: deque[BookDiff] = deque(maxlen=WAITING_LIMIT)
        self._bids, self._asks = _Side([], max), _Side([], min)
        self._lag_ms = 0  # how old the last diff was when it came
        self.last_id: int | None = None  # of the update that the book holds; None: no book
        self.resets = 0

    @property
    def wants_snapshot(self) -> bool:
        """Whether a diff waits for a snapshot; one asked for before any diff could be too old."""
        return self.last_id is None and len(self._waiting) > 0

    def reset(self) -> None:
        """Forget the book: the stream broke off, so updates are missing."""
        if self.last_id is not None:
            self.resets += 1
        self.last_id = None
        self._bids, self._asks = _Side([], max), _Side([], min)
        self._waiting.clear()

    def change(self, diff: BookDiff, received_ms: int) -> Step:
        """Take the next diff, which came at `received_ms` by the exchange's clock."""
        if self.last_id is None:
            self._waiting.append(diff)
            return Step.KEPT
        step = self._follow(diff)
        if step is Step.APPLIED:
            self._lag_ms = received_ms - diff.event_ms
        return step

    def start(self, last_id: int, bids: Levels, asks: Levels) -> Step:
        """Take a snapshot, with the diffs that waited for it.

        HOLE: it ends before the first of them begins, or some are missing between them, so another
        is to be asked for. OLD: the book that is there is at least as new.
        """
        if self.last_id is not None and last_id <= self.last_id:
            return Step.OLD
        waiting = sorted(self._waiting, key=lambda diff: (diff.first_id, diff.final_id))
        newer = [diff for diff in waiting if diff.final_id > last_id]
        if newer and newer[0].first_id > last_id + 1:
            return Step.HOLE
        self._waiting.clear()
        self._bids, self._asks = _Side(bids, max), _Side(asks, min)
        self.last_id = last_id
        self._lag_ms = 0  # it was asked for just now
        if self._is_crossed():
            self.reset()
            return Step.CROSSED
        for place, diff in enumerate(newer):
            step = self._follow(diff)
            if step in {Step.HOLE, Step.CROSSED}:
                self._waiting.extend(newer[place + 1 :])
                return step
        return Step.APPLIED

    def depth(self, levels: int, now_ms: int, heard_ms: int) -> Depth | None:
        """The best `levels` a side as a row of `depth`, observed at `now_ms`.

        `heard_ms`: when the connection of its diffs last said anything; a quiet symbol has no
        diffs, and its book is right nevertheless. Both by the exchange's clock. None where there is
        no book to believe: none in step, a side that is empty, or a stale one.
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
            bids=heapq.nlargest(levels, self._bids.levels.items()),
            asks=heapq.nsmallest(levels, self._asks.levels.items()),
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
        if self._is_crossed():
            self.reset()
            return Step.CROSSED
        return Step.APPLIED

    def _is_crossed(self) -> bool:
        bid, ask = self._bids.best, self._asks.best
        return bid is not None and ask is not None and bid >= ask
