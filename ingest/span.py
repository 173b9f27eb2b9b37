"""The time range of a backfill and the open times within it; pure.

Times inside are milliseconds since the epoch. Ranges are half-open: the end is not part of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from ingest.errors import BadRange
from ingest.intervals import INTERVALS, MONTH, following

NOW = "now"


class Span(msgspec.Struct, frozen=True):
    """[start, end) in milliseconds."""

    start: int
    end: int


def parse_span(start: str, end: str, interval: str, now: datetime) -> Span:
    """What a person typed; BadRange says what is wrong with it.

    Dates are ISO 8601, UTC where no zone is named; `now` is allowed as the end.
    """
    if interval not in INTERVALS:
        raise BadRange(f"{interval!r} is no interval; choose from {' '.join(INTERVALS)}")
    first = _moment(start, "--start")
    last = now if end == NOW else _moment(end, "--end")
    if last > now:
        raise BadRange(
            f"--end {end} lies in the future (it is {now:%Y-%m-%dT%H:%M:%S} UTC); "
            "--end now goes as far as there are closed candles"
        )
    if first >= last:
        raise BadRange(f"--start {start} is not before --end {end}")
    return Span(in_ms(first), in_ms(last))


def _moment(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRange(
            f"{name} {text!r} is no date; write 2026-01-31 or 2026-01-31T12:00:00 (UTC)"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Grid:
    """The open times that candles of one interval can have: `first` and what follows it.

    The exchange decides where its weeks and three-day candles begin, so the grid hangs on a candle
    that it sent. Months are walked by the calendar.
    """

    def __init__(self, interval: str, first: int) -> None:
        self._interval = interval
        self._first = first

    def at_or_after(self, ms: int) -> int:
        """The first open time that is not before ms."""
        if ms <= self._first:
            return self._first
        if self._interval == MONTH:
            return next(time for time in self._walk() if time >= ms)
        step = INTERVALS[self._interval]
        return self._first - (self._first - ms) // step * step

    def closed_before(self, ms: int) -> int:
        """The open time of the candle that is open at ms: all before it are closed."""
        if ms <= self._first:
            return self._first
        candidate = self.at_or_after(ms)
        if candidate == ms:
            return ms
        if self._interval == MONTH:
            return max(itertools.takewhile(lambda time: time < ms, self._walk()))
        return candidate - INTERVALS[self._interval]

    def after(self, time: int) -> int:
        """The open time that follows `time`."""
        return following(self._interval, time)

    def times(self, span: Span) -> Iterable[int]:
        """The open times in a span that starts at one."""
        if self._interval == MONTH:
            return self._months(span)
        return range(span.start, span.end, INTERVALS[self._interval])

    def _months(self, span: Span) -> Iterator[int]:
        time = span.start
        while time < span.end:
            yield time
            time = following(self._interval, time)

    def count(self, span: Span) -> int:
        """How many open times a span holds."""
        if self._interval == MONTH:
            return sum(1 for _ in self.times(span))
        return max(-(-(span.end - span.start) // INTERVALS[self._interval]), 0)

    def pages(self, span: Span, rows: int) -> Iterator[Span]:
        """The span cut into pieces of `rows` open times."""
        time = span.start
        while time < span.end:
            end = time
            if self._interval == MONTH:
                for _ in range(rows):
                    end = following(self._interval, end)
            else:
                end += rows * INTERVALS[self._interval]
            yield Span(time, min(end, span.end))
            time = end

    def missing(self, span: Span, found: Iterable[int]) -> list[Span]:
        """The runs of open times in `span` that are not in `found`."""
        known = set(found)
        if known.issuperset(self.times(span)):
            return []
        runs: list[Span] = []
        for time in self.times(span):
            if time in known:
                continue
            after = following(self._interval, time)
            if runs and runs[-1].end == time:
                runs[-1] = Span(runs[-1].start, after)
            else:
                runs.append(Span(time, after))
        return runs

    def _walk(self) -> Iterator[int]:
        time = self._first
        while True:
            yield time
            time = following(self._interval, time)


def in_ms(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """An aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)
