"""Ranges of a route's time, in ms since the epoch, and how a long one is cut into short ones. Pure.

A cut lies on a full hour, so that no cell is cut in two.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cdc.times import MS_PER_DAY, MS_PER_HOUR

FIRST, END = -(2**62), 2**62  # before and after every time that a row can have

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """[start, end) of a time."""

    start: int = FIRST
    end: int = END

    def common(self, other: Span) -> Span:
        """What both cover; maybe nothing."""
        return Span(max(self.start, other.start), min(self.end, other.end))

    @property
    def empty(self) -> bool:
        return self.start >= self.end

    @property
    def bounds(self) -> tuple[object, object]:
        """The same as PostgreSQL takes it."""
        return moment(self.start), moment(self.end)


def hour_span(hour: int) -> Span:
    """The hour that is the nth since the epoch."""
    return Span(hour * MS_PER_HOUR, (hour + 1) * MS_PER_HOUR)


def day_span(day: int) -> Span:
    """The day that is the nth since the epoch."""
    return Span(day * MS_PER_DAY, (day + 1) * MS_PER_DAY)


def moment(ms: int) -> object:
    """A time as PostgreSQL takes it, also beyond the years that Python has."""
    if ms <= FIRST:
        return "-infinity"
    return "infinity" if ms >= END else EPOCH + timedelta(milliseconds=ms)


def cut(span: Span, held: Span, pieces: int) -> Iterator[Span]:
    """A range in about so many pieces; they are even where rows are held, and cover all of it."""
    within = span.common(held)
    if within.empty or pieces <= 1:
        yield span
        return
    hours = max(1, -(-(within.end - within.start) // MS_PER_HOUR // pieces))
    start = span.start
    at = within.start - within.start % MS_PER_HOUR + hours * MS_PER_HOUR
    while at < within.end:
        yield Span(start, at)
        start, at = at, at + hours * MS_PER_HOUR
    yield Span(start, span.end)
