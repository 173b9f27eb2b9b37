"""The local books of all symbols that are followed, and which of them wants a snapshot. Pure.

    diffs, best levels ──► book of the symbol ──► a row of `depth`, when one is due
                                │
                                └──► wants a snapshot: one after the other, the longest wait first

A book that is reset wants another snapshot. One that is reset again before it has stood for
`STABLE_S`, or whose snapshot does not come or does not fit, waits twice as long each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from contracts.market import Depth
from ingest.binance.book_witness import Witness
from ingest.binance.order_book import PATIENCE_MS, BookDiff, BookTop, OrderBook, Step

STABLE_S: Final = 60.0
WAIT_S: Final = 1.0  # before a snapshot is asked for again; then 2, 4, 8 …
WAIT_LIMIT_S: Final = 60.0
_RESETS: Final = {Step.HOLE, Step.CROSSED, Step.SHALLOW}


class _Followed(msgspec.Struct):
    """A symbol's book and what is known about it."""

    book: OrderBook
    witness: Witness = msgspec.field(default_factory=Witness)
    wanted_s: float | None = None  # from when on a snapshot is wanted that nobody has asked for
    asking: bool = False  # one is on its way
    not_before_s: float = 0.0
    failures: int = 0
    live_s: float = 0.0  # since when the book is in step


class Books:
    """The books of one venue by symbol; `resets` counts why they were given up."""

    def __init__(self, venue: str, levels: int) -> None:
        """`levels` a side are shown."""
        self._venue = venue
        self._levels = levels
        self._followed: dict[str, _Followed] = {}
        self.resets: Counter[str] = Counter()

    def follow(self, symbols: Collection[str]) -> None:
        """Have a book of each of these, and of no other."""
        for symbol in self._followed.keys() - set(symbols):
            del self._followed[symbol]
        for symbol in symbols:
            if symbol not in self._followed:
                book = OrderBook(self._venue, symbol, self._levels)
                self._followed[symbol] = _Followed(book)

    def take(
        self, diffs: Iterable[BookDiff], tops: Iterable[BookTop], received_ms: int, now_s: float
    ) -> None:
        """Take what streams told; `received_ms` by the exchange's clock."""
        for diff in diffs:
            if (one := self._followed.get(diff.symbol)) is not None:
                self._judge(one, one.book.change(diff, received_ms), now_s)
                one.witness.passed(one.book)
                if one.book.wants_snapshot and one.wanted_s is None and not one.asking:
                    one.wanted_s = max(now_s, one.not_before_s)
        for top in tops:
            if (one := self._followed.get(top.symbol)) is not None:
                one.witness.hear(top, received_ms, one.book)
                self._judge(one, Step.APPLIED, now_s)

    def break_off(self, symbol: str) -> None:
        """Its stream is away: what was said meanwhile is missing."""
        one = self._followed.get(symbol)
        if one is None:
            return
        if one.book.last_id is not None:
            self.resets["stream away"] += 1
        one.book.reset()
        one.witness.passed(one.book)
        one.wanted_s, one.asking = None, False

    def next_wanting(self, now_s: float) -> str | None:
        """The symbol whose snapshot is to be asked for now; it is then taken as asked."""
        wanting = {
            symbol: one.wanted_s
            for symbol, one in self._followed.items()
            if one.wanted_s is not None and one.wanted_s <= now_s and one.book.wants_snapshot
        }
        if not wanting:
            return None
        symbol = min(wanting, key=wanting.__getitem__)
        one = self._followed[symbol]
        one.book.asked()
        one.wanted_s, one.asking = None, True
        return symbol

    def start(self, snapshot: Depth, limit: int, now_s: float) -> bool:
        """Take a snapshot of at most `limit` levels a side; whether the book is in step with it.

        One that nobody waits for any more, as the stream broke off meanwhile, is not taken: until
        the next diff nobody could say whether it is out of date.
        """
        one = self._followed.get(snapshot.symbol)
        if one is None or not (one.asking and one.book.wants_snapshot):
            return False
        one.asking = False
        step = one.book.start(snapshot.last_update_id, snapshot.bids, snapshot.asks, limit)
        if step is Step.APPLIED:
            one.live_s = now_s
            one.witness.passed(one.book)
            return True
        self._fail(one, now_s)
        return False

    def refused(self, symbol: str, now_s: float) -> None:
        """No snapshot came."""
        if (one := self._followed.get(symbol)) is not None:
            one.asking = False
            self._fail(one, now_s)

    def is_live(self, symbol: str) -> bool:
        """Whether the book is in step."""
        one = self._followed.get(symbol)
        return one is not None and one.book.last_id is not None

    def live(self) -> int:
        """How many are."""
        return sum(map(self.is_live, self._followed))

    def show(self, symbol: str, now_ms: int, heard_ms: int) -> Depth | None:
        """The book as a row of `depth`, as `OrderBook.depth`; None where it cannot be believed."""
        one = self._followed.get(symbol)
        if one is None or one.witness.behind_ms(now_ms) > PATIENCE_MS:
            return None
        return one.book.depth(now_ms, heard_ms)

    def _judge(self, one: _Followed, step: Step, now_s: float) -> None:
        """Count a reset, a contradicted book's among them, and let it wait if it did not stand."""
        reason = step.name.lower()
        if one.witness.contradicts(one.book):
            one.book.reset()
            reason = "contradicted"
        elif step not in _RESETS:
            return
        self.resets[reason] += 1
        self._fail(one, now_s)

    def _fail(self, one: _Followed, now_s: float) -> None:
        if one.live_s and now_s - one.live_s >= STABLE_S:
            one.failures = 0
        wait_s = WAIT_S * 2.0 ** (one.failures - 1) if one.failures else 0.0
        one.failures = min(one.failures + 1, 10)
        one.live_s = 0.0
        one.not_before_s = now_s + min(wait_s, WAIT_LIMIT_S)
        one.wanted_s = one.not_before_s if one.book.wants_snapshot else None
