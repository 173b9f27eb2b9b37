"""Streamed trades on their way to the tape: in the order of their ids, and holes named. Pure.

A hole (a cut connection, a lost frame, a connection that lags behind another in their overlap) is
given `HOLD_S`: what comes after it is held, and a poll asks for what is missing. What is still
missing then is named together with the trades that follow it, so that they are stored in one
transaction, and a crash loses nothing of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from contracts.market import Trade
from ingest.tape import Tape

HOLD_S: Final = 5.0
LIMIT: Final = 50_000  # trades held, of all symbols; more are dropped, which makes a hole of them


class Run(msgspec.Struct, frozen=True):
    """Fresh trades of a symbol by rising id, and the ranges that are missing before or in them."""

    symbol: str
    trades: list[Trade]
    holes: list[range]


class HeldTrades:
    """What was streamed and not yet taken by the tape, which polls advance, too."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._held: dict[str, dict[int, Trade]] = {}
        self._count = 0
        self._holes: dict[str, tuple[int, float]] = {}  # symbol → its first hole, found when

    def take(self, trade: Trade) -> bool:
        """Hold a trade; False where there is no room."""
        if self._count >= LIMIT:
            return False
        held = self._held.setdefault(trade.symbol, {})
        self._count += trade.trade_id not in held
        held.setdefault(trade.trade_id, trade)
        return True

    def clear(self) -> int:
        """Forget what is held; how much that was."""
        count, self._count = self._count, 0
        self._held.clear()
        self._holes.clear()
        return count

    def waiting(self) -> set[str]:
        """Symbols whose trades wait for what is missing before them."""
        return set(self._holes)

    def release(self, now_s: float) -> Iterator[Run]:
        """What may go on; its taker advances the tape before it asks for the next."""
        for symbol in list(self._held):
            fresh = self._tape.fresh(symbol, self._held[symbol].values())
            end = self._end(symbol, fresh, now_s)
            ready = [trade for trade in fresh if trade.trade_id < end]
            self._hold(symbol, fresh[len(ready) :])
            if ready:
                yield Run(symbol, ready, self._tape.holes(symbol, ready))

    def _end(self, symbol: str, fresh: list[Trade], now_s: float) -> int:
        """Trades before this id need not wait."""
        hole = self._first_hole(symbol, fresh)
        if hole is None:
            self._holes.pop(symbol, None)
        elif hole != self._holes.get(symbol, (None, 0.0))[0]:
            self._holes[symbol] = hole, now_s
        if hole is not None and now_s - self._holes[symbol][1] < HOLD_S:
            return hole
        self._holes.pop(symbol, None)
        return fresh[-1].trade_id + 1 if fresh else 0

    def _first_hole(self, symbol: str, fresh: list[Trade]) -> int | None:
        """Where the first hole begins; a symbol of which nothing is known waits for its poll."""
        if fresh and self._tape.last_id(symbol) is None:
            return 0
        holes = self._tape.holes(symbol, fresh)
        return holes[0].start if holes else None

    def _hold(self, symbol: str, trades: list[Trade]) -> None:
        self._count += len(trades) - len(self._held[symbol])
        self._held[symbol] = {trade.trade_id: trade for trade in trades}
        if not trades:
            del self._held[symbol]
