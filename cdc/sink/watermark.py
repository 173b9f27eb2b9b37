"""How far a topic partition is acknowledged, and up to where its offset may be committed. Pure.

Events are counted in spans: the events of one partition in one poll. A span is done when all that
came of it is acknowledged; the partition is acknowledged up to the first span that is not. Offsets
are committed at transaction boundaries only, because a rank needs its transaction's beginning.
"""

from __future__ import annotations

from collections import deque


class Span:
    """A run of offsets that is acknowledged as a whole.

    `pending` counts what is still to be acknowledged; the reader itself holds one until it seals.
    """

    __slots__ = ("boundary", "next_offset", "pending")

    def __init__(self) -> None:
        self.pending = 1
        self.next_offset = -1
        self.boundary = -1  # the last offset in it at which a transaction begins; −1: none

    def seal(self, next_offset: int) -> None:
        """All events of the span are read; the next one has `next_offset`."""
        self.next_offset = next_offset
        self.pending -= 1


class Watermark:
    """The contiguous acknowledged part of one topic partition."""

    def __init__(self, start: int) -> None:
        self.acknowledged = start  # every event before it is in Cassandra or a dead letter
        self.committable = start  # the last transaction boundary at or before it
        self._spans: deque[Span] = deque()

    def begin(self) -> Span:
        """Open the next span; seal it before the next is begun."""
        span = Span()
        self._spans.append(span)
        return span

    def advance(self) -> None:
        """Take up what was acknowledged since the last call."""
        spans = self._spans
        while spans and spans[0].pending == 0:
            span = spans.popleft()
            self.acknowledged = span.next_offset
            if span.boundary >= 0:
                self.committable = span.boundary

    def settled(self) -> bool:
        """Whether nothing is waiting for an acknowledgement."""
        self.advance()
        return not self._spans
