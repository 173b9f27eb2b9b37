"""The books of many symbols: each for itself, snapshots in turn, and a second opinion on each."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Depth
from ingest.binance import books as module
from ingest.binance.book_witness import TOPS_LIMIT, Witness
from ingest.binance.books import STABLE_S, Books
from ingest.binance.order_book import PATIENCE_MS, BookDiff, BookTop, Levels, OrderBook
from ingest.book_snapshots import snapshot_levels

NOW_MS = 1_785_585_600_000
ONE = Decimal(1)
BIDS: Levels = [(Decimal(9), ONE), (Decimal(8), ONE)]
ASKS: Levels = [(Decimal(11), ONE), (Decimal(12), ONE)]


def diff(symbol: str, first: int, final: int | None = None, bids: Levels | None = None) -> BookDiff:
    return BookDiff(
        symbol=symbol,
        first_id=first,
        final_id=first if final is None else final,
        event_ms=NOW_MS,
        bids=bids or [],
        asks=[],
    )


def top(update_id: int, bid: int = 9, symbol: str = "A") -> BookTop:
    return BookTop(
        symbol=symbol,
        update_id=update_id,
        bid=Decimal(bid),
        bid_quantity=ONE,
        ask=Decimal(11),
        ask_quantity=ONE,
    )


def snapshot(symbol: str, update_id: int) -> Depth:
    at = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    return Depth(
        venue="v", symbol=symbol, observed_at=at, last_update_id=update_id, bids=BIDS, asks=ASKS
    )


def tell(books: Books, *diffs: BookDiff, now_s: float = 0, after_ms: int = 0) -> None:
    at_ms = NOW_MS + after_ms
    books.take([msgspec.structs.replace(each, event_ms=at_ms) for each in diffs], [], at_ms, now_s)


def hear(books: Books, *tops: BookTop, now_s: float = 0, after_ms: int = 0) -> None:
    books.take([], tops, NOW_MS + after_ms, now_s)


def followed(*symbols: str) -> Books:
    made = Books("v", levels=2)
    made.follow(symbols)
    return made


def live(*symbols: str) -> Books:
    """Books in step at update 10, since time 0."""
    made = followed(*symbols)
    for symbol in symbols:
        tell(made, diff(symbol, 10))
        assert made.next_wanting(0) == symbol
        assert made.start(snapshot(symbol, 10), 1000, 0)
    return made


def shown(books: Books, symbol: str = "A", after_ms: int = 0) -> Depth | None:
    now_ms = NOW_MS + after_ms
    return books.show(symbol, now_ms, now_ms)


def test_a_hole_resets_its_own_symbol_and_no_other() -> None:
    """The other is shown on; the first wants another snapshot at once."""
    books = live("A", "B")
    tell(books, diff("A", 13), diff("B", 11), now_s=100)
    assert (shown(books, "A"), books.is_live("A")) == (None, False)
    assert shown(books, "B") is not None
    assert books.resets == {"hole": 1}
    assert (books.next_wanting(100), books.next_wanting(100)) == ("A", None)
    assert books.start(snapshot("A", 12), 1000, 101)
    assert books.live() == 2


def test_snapshots_are_asked_for_one_after_the_other_the_longest_wait_first() -> None:
    """And never twice at once for one symbol, however many diffs come meanwhile."""
    books = followed("A", "B", "C")
    assert books.next_wanting(0) is None, "nobody has heard of them yet"
    for now_s, symbol in enumerate("BCA"):
        tell(books, diff(symbol, 10), now_s=now_s)
    tell(books, diff("B", 11), now_s=9)
    assert [books.next_wanting(10) for _ in range(4)] == ["B", "C", "A", None]
    tell(books, diff("B", 12), now_s=11)
    assert books.next_wanting(12) is None


def test_a_book_that_does_not_stand_waits_longer_each_time() -> None:
    """At once, then after 1, 2, 4 … 60 s; one that stood for a minute begins anew."""
    books = live("A")
    waits, now_s, update_id = [], 1.0, 10
    for _ in range(9):
        update_id += 5
        tell(books, diff("A", update_id), now_s=now_s)
        asked_s = now_s
        while books.next_wanting(asked_s) is None:
            asked_s += 0.5
        waits.append(asked_s - now_s)
        assert books.start(snapshot("A", update_id), 1000, asked_s)
        now_s = asked_s + 1
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    tell(books, diff("A", update_id + 5), now_s=now_s + STABLE_S)
    assert books.next_wanting(now_s + STABLE_S) == "A"


def test_a_snapshot_that_does_not_come_is_asked_for_again_later() -> None:
    books = followed("A")
    tell(books, diff("A", 10))
    for now_s in (0.0, 0.1):
        assert books.next_wanting(now_s) == "A"
        books.refused("A", now_s)
    assert books.next_wanting(0.2) is None
    assert books.next_wanting(1.2) == "A"


def test_a_book_whose_stream_breaks_off_takes_no_snapshot_that_was_asked_for_before() -> None:
    """Nothing would say that it is out of date until the stream is there again."""
    books = live("A")
    books.break_off("A")
    assert (shown(books), dict(books.resets)) == (None, {"stream away": 1})
    tell(books, diff("A", 20))
    assert books.next_wanting(100) == "A"
    books.break_off("A")
    assert not books.start(snapshot("A", 20), 1000, 101)
    assert shown(books) is None
    tell(books, diff("A", 30), now_s=102)
    assert books.next_wanting(102) == "A"


def test_symbols_come_and_go() -> None:
    """One that is followed on keeps its book; what is told of others is nobody's."""
    books = live("A", "B")
    books.follow(["B", "C"])
    assert [books.is_live(each) for each in "ABC"] == [False, True, False]
    tell(books, diff("A", 11), diff("C", 5))
    hear(books, top(11, symbol="A"))
    books.break_off("A")
    books.refused("A", 0)
    assert not books.start(snapshot("A", 12), 1000, 0)
    assert (books.next_wanting(0), books.next_wanting(0)) == ("C", None)


def test_best_levels_that_contradict_a_book_reset_it() -> None:
    """They are of the same update, so one of the two is wrong; whichever comes first."""
    for later in (False, True):
        books = live("A")
        if later:
            tell(books, diff("A", 11), now_s=1)
            hear(books, top(11, bid=10), now_s=1)
        else:
            hear(books, top(11, bid=10), now_s=1)
            tell(books, diff("A", 11), now_s=1)
        assert (shown(books), dict(books.resets)) == (None, {"contradicted": 1})


def test_best_levels_of_another_update_or_the_same_ones_change_nothing() -> None:
    books = live("A")
    hear(books, top(9, bid=7), top(10), top(12, bid=7))
    tell(books, diff("A", 11))
    tell(books, diff("A", 12, 14))
    assert shown(books) is not None
    assert not books.resets


def test_a_book_that_best_levels_leave_behind_is_stale() -> None:
    """The stream of its diffs has died, and its connection has not: others speak on it."""
    books = live("A")
    for seconds in range(PATIENCE_MS // 1000 + 1):
        for place in range(2 * TOPS_LIMIT):  # more than are remembered
            update_id = 1000 * (seconds + 1) + place
            hear(books, top(update_id, bid=8), after_ms=1000 * seconds)
    assert shown(books, after_ms=PATIENCE_MS) is not None
    assert shown(books, after_ms=PATIENCE_MS + 1) is None
    tell(books, diff("A", 11, 20_000), after_ms=PATIENCE_MS + 1)
    assert shown(books, after_ms=PATIENCE_MS + 1) is not None


def test_an_empty_side_agrees_with_zeros() -> None:
    """As @bookTicker tells of a symbol that nobody sells."""
    book, witness = OrderBook("v", "A", levels=2), Witness()
    book.start(10, BIDS, [])
    told = BookTop(
        symbol="A", update_id=10, bid=Decimal(9), bid_quantity=ONE,
        ask=Decimal("0.00"), ask_quantity=Decimal("0.00"),
    )  # fmt: skip
    witness.hear(told, NOW_MS, book)
    assert not witness.contradicts(book)


def test_a_snapshot_is_as_deep_as_its_weight_allows() -> None:
    """Ten levels for each that is shown, up to the next step of the exchange's weights."""
    assert [snapshot_levels(shown) for shown in (5, 10, 20, 100, 101, 1000)] == [
        100, 100, 500, 1000, 5000, 5000,
    ]  # fmt: skip


EVENTS = st.lists(
    st.tuples(st.sampled_from(("diff", "skip", "ask", "answer", "late", "cut")), st.integers(0, 1)),
    max_size=60,
)


@given(EVENTS)
def test_whatever_is_lost_a_book_gets_in_step_again(events: list[tuple[str, int]]) -> None:
    """Diffs, losses, cuts, snapshots asked and answered in any order; then all goes well."""
    books, symbols = followed("A", "B"), ("A", "B")
    newest, asked, now_s = [10, 10], list[tuple[str, int]](), 0.0

    def answer(place: int, age: int) -> None:
        symbol, _ = asked.pop(place)
        books.start(snapshot(symbol, max(newest[symbols.index(symbol)] - age, 1)), 1000, now_s)

    well = [(what, place) for what in ("diff", "ask", "answer") for place in (0, 1)]
    for what, place in [*events, *well * 4]:
        now_s += module.WAIT_LIMIT_S + 1
        if what in {"diff", "skip"}:
            newest[place] += 1
            if what == "diff":
                tell(books, diff(symbols[place], newest[place]), now_s=now_s)
        elif what == "ask" and (symbol := books.next_wanting(now_s)) is not None:
            asked.append((symbol, 0))
        elif what in {"answer", "late"} and asked:
            answer(min(place, len(asked) - 1), 3 if what == "late" else 0)
        elif what == "cut":
            books.break_off(symbols[place])
    assert books.live() == 2
