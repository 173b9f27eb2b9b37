"""What may be committed: the contiguous acknowledged part, cut at a transaction boundary."""

from __future__ import annotations

import random

from cdc.sink.watermark import Span, Watermark


def test_nothing_is_acknowledged_before_its_writes_are() -> None:
    """A span that is still being read is not done either."""
    mark = Watermark(10)
    span = mark.begin()
    span.pending += 2
    mark.advance()
    assert mark.acknowledged == 10
    span.seal(15)
    span.pending -= 1
    mark.advance()
    assert mark.acknowledged == 10
    span.pending -= 1
    mark.advance()
    assert mark.acknowledged == 15
    assert mark.settled()


def test_a_hole_holds_back_what_is_behind_it() -> None:
    """Acknowledgements come in any order."""
    mark = Watermark(0)
    spans = [_sealed(mark, end, boundary=end - 10) for end in (10, 20, 30)]
    spans[2].pending -= 1
    spans[1].pending -= 1
    mark.advance()
    assert (mark.acknowledged, mark.committable) == (0, 0)
    spans[0].pending -= 1
    mark.advance()
    assert (mark.acknowledged, mark.committable) == (30, 20)


def test_only_boundaries_are_committed() -> None:
    """Inside a transaction the ranks of its later changes would be lost."""
    mark = Watermark(5)
    first = _sealed(mark, 10, boundary=7)
    second = _sealed(mark, 20, boundary=-1)
    for span in (first, second):
        span.pending -= 1
    mark.advance()
    assert (mark.acknowledged, mark.committable) == (20, 7)


def test_any_order_of_acknowledgements_ends_at_the_end() -> None:
    """And on the way never passes a span that is open."""
    for seed in range(50):
        draw = random.Random(seed)
        mark = Watermark(0)
        spans = [_sealed(mark, 10 * (n + 1), boundary=10 * n) for n in range(30)]
        todo = list(range(30))
        draw.shuffle(todo)
        while todo:
            spans[todo.pop()].pending -= 1
            mark.advance()
            assert mark.acknowledged == 10 * min(todo, default=30)
        assert mark.settled()


def _sealed(mark: Watermark, end: int, boundary: int) -> Span:
    """A span with one write under way."""
    span = mark.begin()
    span.pending += 1
    span.boundary = boundary
    span.seal(end)
    return span
