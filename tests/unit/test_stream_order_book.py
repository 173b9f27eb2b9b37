"""A local book equals the exchange's book, or is reset: never something in between."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Depth
from ingest.binance import order_book
from ingest.binance.order_book import BookDiff, Levels, OrderBook, Step

NOW_MS = 1_785_585_600_000
PATIENCE_MS = 10_000
Side = dict[Decimal, Decimal]


def levels(*pairs: tuple[int, int]) -> Levels:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in pairs]


def diff(
    first: int, final: int, bids: Levels | None = None, asks: Levels | None = None
) -> BookDiff:
    return BookDiff(
        symbol="S",
        first_id=first,
        final_id=final,
        event_ms=NOW_MS,
        bids=bids or [],
        asks=asks or [],
    )


def shown(book: OrderBook) -> Depth | None:
    return book.depth(NOW_MS, NOW_MS)


def started(last_id: int = 10) -> OrderBook:
    """A book in step: bids 9 and 8, asks 11 and 12."""
    book = OrderBook("v", "S", patience_ms=PATIENCE_MS)
    assert book.start(last_id, levels((9, 1), (8, 2)), levels((11, 1), (12, 2))) is Step.APPLIED
    return book


def test_a_book_begins_with_a_snapshot_and_the_diffs_that_waited() -> None:
    """Those that the snapshot holds are dropped, the one that spans its end is applied."""
    book = OrderBook("v", "S")
    before = book.wants_snapshot
    for one in (
        diff(8, 10, levels((9, 99))),
        diff(11, 12, levels((9, 5))),
        diff(13, 13, asks=levels((11, 0))),
    ):
        assert book.change(one, NOW_MS) is Step.KEPT
    assert (before, book.wants_snapshot) == (False, True)
    assert book.start(11, levels((9, 1), (8, 2)), levels((11, 1), (12, 2))) is Step.APPLIED
    row = shown(book)
    assert row is not None
    assert (row.bids, row.asks) == (levels((9, 5), (8, 2)), levels((12, 2)))
    assert row.last_update_id == 13
    assert not book.wants_snapshot


def test_a_snapshot_that_is_too_old_is_asked_for_again() -> None:
    """What waits is kept for the next one."""
    book = OrderBook("v", "S")
    book.change(diff(20, 21, levels((9, 5))), NOW_MS)
    assert book.start(18, levels((9, 1)), levels((11, 1))) is Step.HOLE
    assert book.wants_snapshot
    assert shown(book) is None
    assert book.start(19, levels((9, 1)), levels((11, 1))) is Step.APPLIED
    assert book.last_id == 21


def test_a_hole_resets_the_book_and_the_diff_after_it_waits() -> None:
    """Nothing is shown until a snapshot has come that reaches it."""
    book = started()
    assert book.change(diff(12, 12), NOW_MS) is Step.HOLE
    assert (shown(book), book.wants_snapshot, book.resets) == (None, True, 1)
    assert book.start(10, levels((9, 1)), levels((11, 1))) is Step.HOLE
    assert book.start(11, levels((9, 1)), levels((11, 1))) is Step.APPLIED
    assert book.last_id == 12


def test_a_hole_among_the_diffs_that_waited_is_found() -> None:
    """The snapshot reaches the first of them, not what is missing between."""
    book = OrderBook("v", "S")
    for one in (diff(11, 11), diff(13, 13), diff(14, 14)):
        book.change(one, NOW_MS)
    assert book.start(10, levels((9, 1)), levels((11, 1))) is Step.HOLE
    assert shown(book) is None
    assert book.start(12, levels((9, 1)), levels((11, 1))) is Step.APPLIED
    assert book.last_id == 14


def test_diffs_that_repeat_or_overlap_do_no_harm() -> None:
    """Two connections in their overlap may cut the same updates differently."""
    book = started()
    assert book.change(diff(11, 14, levels((9, 4))), NOW_MS) is Step.APPLIED
    assert book.change(diff(11, 14, levels((9, 7))), NOW_MS) is Step.OLD
    assert book.change(diff(13, 16, levels((9, 6))), NOW_MS) is Step.APPLIED
    row = shown(book)
    assert row is not None
    assert row.bids[0] == (Decimal(9), Decimal(6))


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_crossed_book_is_reset(side: str) -> None:
    """By a diff or by a snapshot; bid and ask at the same price count as crossed."""
    book = started()
    change = levels((11, 1)) if side == "bids" else levels((9, 1))
    assert book.change(diff(11, 11, **{side: change}), NOW_MS) is Step.CROSSED
    assert shown(book) is None
    assert book.start(20, levels((9, 1)), levels((9, 1))) is Step.CROSSED
    assert shown(book) is None
    assert book.resets == 2


def test_a_stale_book_is_not_shown() -> None:
    """Its connection is silent, or what it says is old; a quiet symbol alone is not stale."""
    book = started()
    later = NOW_MS + 3_600_000
    assert book.depth(later, later) is not None
    assert book.depth(later, later - PATIENCE_MS) is not None
    assert book.depth(later, later - PATIENCE_MS - 1) is None
    assert book.change(diff(11, 11), NOW_MS + PATIENCE_MS + 1) is Step.APPLIED
    assert shown(book) is None
    assert book.change(diff(12, 12), NOW_MS) is Step.APPLIED
    assert shown(book) is not None


def test_an_empty_side_or_a_broken_stream_shows_nothing() -> None:
    """A halted symbol's book may be empty; a connection that broke off ends the book."""
    book = started()
    assert book.change(diff(11, 11, levels((9, 0), (8, 0))), NOW_MS) is Step.APPLIED
    assert shown(book) is None
    book = started()
    book.reset()
    assert shown(book) is None
    assert not book.wants_snapshot


def test_an_older_snapshot_does_not_take_the_book_back() -> None:
    """Two may be under way at once."""
    book = started(10)
    book.change(diff(11, 12, levels((9, 7))), NOW_MS)
    assert book.start(11, levels((9, 1)), levels((11, 1))) is Step.OLD
    assert book.last_id == 12


def test_a_book_does_not_grow_without_end() -> None:
    """What is farthest from the best price is forgotten, on both sides, and what was not is whole.

    Of what lies beyond it nothing is taken any more: it would stand beside what is missing.
    """
    book = OrderBook("v", "S", levels=2)
    most = order_book.SPAN * 2
    assert book.start(10, levels((900, 1)), levels((1100, 1))) is Step.APPLIED
    for n in range(1, most + 1):
        change = diff(10 + n, 10 + n, levels((900 - n, 1)), levels((1100 + n, 1)))
        assert book.change(change, NOW_MS) is Step.APPLIED
    sides = book._bids, book._asks
    assert [len(side.levels) for side in sides] == [most // 2] * 2
    assert [side.end for side in sides] == [901 - most // 2, 1099 + most // 2]
    beyond = diff(11 + most, 11 + most, levels((100, 7)), levels((9999, 7)))
    assert book.change(beyond, NOW_MS) is Step.APPLIED
    assert [len(side.levels) for side in sides] == [most // 2] * 2
    row = shown(book)
    assert row is not None
    assert (row.bids, row.asks) == (levels((900, 1), (899, 1)), levels((1100, 1), (1101, 1)))


def test_levels_that_a_snapshot_did_not_reach_are_never_shown() -> None:
    """The price moves to where nobody knows every level: the book is reset, not shown with holes.

    The exchange has bids at 100, 99, 98, 97, …; a snapshot of three shows 100 to 98. Diffs tell of
    96, which is new, and nothing of 97, which does not change.
    """
    book = OrderBook("v", "S", levels=2)
    bids, asks = levels((100, 1), (99, 1), (98, 1)), levels((101, 1))
    assert book.start(10, bids, asks, limit=3) is Step.APPLIED
    assert book.change(diff(11, 11, levels((96, 5), (100, 0))), NOW_MS) is Step.APPLIED
    row = shown(book)
    assert row is not None
    assert row.bids == levels((99, 1), (98, 1))
    assert book.change(diff(12, 12, levels((99, 0))), NOW_MS) is Step.SHALLOW
    assert (shown(book), book.wants_snapshot) == (None, False)
    assert book.change(diff(13, 13), NOW_MS) is Step.KEPT
    assert book.wants_snapshot


def test_a_side_that_a_snapshot_showed_to_its_end_may_be_short() -> None:
    """Fewer levels than were asked for are all that there are; one that comes is taken."""
    book = OrderBook("v", "S", levels=5)
    assert book.start(10, levels((100, 1)), levels((101, 1)), limit=3) is Step.APPLIED
    assert book.change(diff(11, 11, levels((50, 2))), NOW_MS) is Step.APPLIED
    row = shown(book)
    assert row is not None
    assert row.bids == levels((100, 1), (50, 2))


def test_before_a_snapshot_is_asked_for_only_the_newest_diffs_are_kept() -> None:
    """It will be newer than they are; hundreds of books that wait must not fill the memory."""
    book = OrderBook("v", "S")
    for n in range(1, 50):
        book.change(diff(n, n), NOW_MS)
    assert len(book._waiting) == order_book.UNASKED_LIMIT
    book.asked()
    for n in range(50, 500):
        book.change(diff(n, n), NOW_MS)
    assert len(book._waiting) == order_book.WAITING_LIMIT
    assert book.start(450, levels((9, 1)), levels((11, 1))) is Step.APPLIED
    assert book.last_id == 499


class Truth:
    """The exchange's own book: its state after each update, and the diffs between."""

    def __init__(self, updates: list[tuple[int, int, int]]) -> None:
        self.states: list[tuple[Side, Side]] = [
            ({Decimal(9): Decimal(1)}, {Decimal(11): Decimal(1)})
        ]
        self.changes: list[tuple[Levels, Levels]] = [([], [])]
        for side, place, quantity in updates:
            # bids 1…9, asks 11…19; the best of each never goes away
            price = Decimal(9 - place if side == 0 else 11 + place)
            amount = Decimal(quantity + (place == 0))
            bids, asks = dict(self.states[-1][0]), dict(self.states[-1][1])
            changed = bids if side == 0 else asks
            if amount:
                changed[price] = amount
            else:
                changed.pop(price, None)
            self.states.append((bids, asks))
            self.changes.append(([(price, amount)], []) if side == 0 else ([], [(price, amount)]))

    def diff(self, first: int, final: int) -> BookDiff:
        spanned = self.changes[first : final + 1]
        bids = dict(level for change, _ in spanned for level in change)
        asks = dict(level for _, change in spanned for level in change)
        return diff(first, final, list(bids.items()), list(asks.items()))

    def snapshot(self, update_id: int) -> tuple[int, Levels, Levels]:
        bids, asks = self.states[update_id]
        return update_id, list(bids.items()), list(asks.items())


updates = st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 3))


@given(st.lists(updates, min_size=1, max_size=40), st.data())
def test_whatever_happens_to_diffs_a_book_that_is_shown_is_the_exchange_s(
    made: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Diffs are lost, repeated, reordered and cut differently; snapshots come at any time."""
    truth = Truth(made)
    last = len(made)
    book = OrderBook("v", "S")
    cuts = st.tuples(st.integers(1, last), st.integers(1, last)).map(sorted)
    events = st.lists(st.one_of(cuts.map(tuple), st.integers(0, last)), max_size=60)
    for event in data.draw(events):
        if isinstance(event, int):
            book.start(*truth.snapshot(event))
        else:
            book.change(truth.diff(*event), NOW_MS)
        row = shown(book)
        assert (row is None) == (book.last_id is None)
        if row is not None:
            bids, asks = truth.states[row.last_update_id]
            assert row.bids == sorted(bids.items(), reverse=True)
            assert row.asks == sorted(asks.items())


@given(st.lists(updates, min_size=1, max_size=30), st.data())
def test_a_book_gets_in_step_again_as_soon_as_nothing_is_lost(
    made: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """After any losses, a fresh snapshot and the diffs that follow bring it to the last update."""
    truth = Truth(made)
    last = len(made)
    book = OrderBook("v", "S")
    for update_id in range(1, last + 1):
        if data.draw(st.booleans()):
            book.change(truth.diff(update_id, update_id), NOW_MS)
    book.start(*truth.snapshot(last))
    assert book.last_id == last
