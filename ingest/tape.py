"""Which trades of a symbol are new, and which ids are missing between them; pure.

Trade ids of one symbol rise by one. Time never identifies a trade: many fall into one millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from contracts.market import Trade


def missing(ids: Iterable[int], within: range) -> list[range]:
    """The ranges of `within` that no id covers."""
    known = sorted({trade_id for trade_id in ids if trade_id in within})
    edges = [within.start - 1, *known, within.stop]
    return [range(a + 1, b) for a, b in pairwise(edges) if b > a + 1]


class Tape:
    """The last trade id taken of each symbol of one venue."""

    def __init__(self, last_ids: Mapping[str, int]) -> None:
        """`last_ids` are those that the database holds."""
        self._last = dict(last_ids)
        self._last_at: dict[str, datetime] = {}
        self._doubted: set[str] = set()

    def last_id(self, symbol: str) -> int | None:
        """The last id taken; None before the first page."""
        return self._last.get(symbol)

    def last_at(self, symbol: str) -> datetime | None:
        """When the newest trade was made that was taken since the start; None before that."""
        return self._last_at.get(symbol)

    def doubt(self, symbols: Iterable[str]) -> None:
        """They were listed anew: the next page of each tells whether its ids begin anew, too."""
        self._doubted |= self._last.keys() & set(symbols)

    def fresh(self, symbol: str, page: Iterable[Trade]) -> list[Trade]:
        """The trades not taken before, by rising id, each once."""
        if symbol in self._doubted:
            page = list(page)
            self._resolve(symbol, page)
        last = self._last.get(symbol, -1)
        by_id = {trade.trade_id: trade for trade in page if trade.trade_id > last}
        return [by_id[trade_id] for trade_id in sorted(by_id)]

    def holes(self, symbol: str, fresh: Sequence[Trade]) -> list[range]:
        """Ranges of ids that are missing before and between fresh trades (rising ids)."""
        if not fresh:
            return []
        ids = [trade.trade_id for trade in fresh]
        first = self._last.get(symbol, ids[0] - 1) + 1
        return missing(ids, range(first, ids[-1] + 1))

    def rewind(self, symbol: str, last_id: int) -> None:
        """Trades after last_id were taken, and then not stored."""
        if symbol in self._last:
            self._last[symbol] = min(last_id, self._last[symbol])

    def take(self, symbol: str, fresh: Sequence[Trade]) -> None:
        """Remember that these were handed on."""
        if fresh:
            self._last[symbol] = max(fresh[-1].trade_id, self._last.get(symbol, -1))
            self._last_at[symbol] = fresh[-1].traded_at

    def _resolve(self, symbol: str, page: Sequence[Trade]) -> None:
        """Ids that have fallen are those of another listing: nothing of it is known yet."""
        if page:
            self._doubted.discard(symbol)
            if max(trade.trade_id for trade in page) < self._last[symbol]:
                del self._last[symbol]
