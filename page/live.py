"""How a view looks again and again, and what it says while there is no answer.

A part of a view gathers rows, then draws them. Where gathering fails, what was seen last stays
there, with its age, under a message that says what is wrong; the next look may succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import streamlit as st

from page import formats, markup
from page.errors import PageError, Unreachable
from page.feed import Feed
from page.reader import Reader

T = TypeVar("T")
CHARTS_S = 1.5  # between two looks, at least: a figure costs a browser ten times what a table does
POLLED_S = 7.5  # the same, for what changes by polls of ten seconds and more


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What was gathered, of what, and when."""

    of: str
    rows: T
    at: datetime


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of a view: `name`, and `of` which venue, symbol or width it is.

    `gather` may raise PageError; `draw` gets the rows and the time of the look. `least_s` lie
    between two looks, however often the page refreshes. A `quiet` part leaves it to another one of
    its view to say what is wrong.
    """

    name: str
    of: str
    gather: Callable[[Reader, datetime], T]
    draw: Callable[[T, datetime], None]
    least_s: float = 0.0
    quiet: bool = False

    def pause_s(self, refresh_s: float) -> float:
        """Seconds between two looks of a page that refreshes so often."""
        return max(refresh_s, self.least_s)


@dataclass(frozen=True)
class Parts:
    """The parts of one `view`, all `of` the same; `loud` is the one that says what is wrong."""

    feed: Feed
    view: str
    of: str
    loud: str

    def show(
        self,
        name: str,
        gather: Callable[[Reader, datetime], T],
        draw: Callable[[T, datetime], None],
        *,
        least_s: float = 0.0,
    ) -> None:
        """Draw a part where the script is, and go on doing so."""
        quiet = name != self.loud
        part = Part(f"{self.view}/{name}", self.of, gather, draw, least_s=least_s, quiet=quiet)
        live(self.feed, part)


def live(feed: Feed, part: Part[T]) -> None:
    """Draw the part now and at each refresh, alone, without the rest of the page."""

    @st.fragment(run_every=part.pause_s(feed.refresh_s))
    def look() -> None:
        _look(feed, part)

    look()


def _look(feed: Feed, part: Part[T]) -> None:
    now = feed.now()
    kept = f"seen {part.name}"
    try:
        seen: Seen[T] | None = Seen(part.of, part.gather(feed.reader(), now), now)
        st.session_state[kept] = seen
    except PageError as error:
        if error.lost:
            feed.lost()
        seen = st.session_state.get(kept)
        if seen is not None and seen.of != part.of:
            seen = None
        if not part.quiet:
            st.html(markup.notice(complaint(error), bad=True))
        if seen is not None:
            st.html(_as_of(seen.at, now))
    if seen is not None:
        part.draw(seen.rows, now)


def complaint(error: PageError) -> str:
    """The message while nothing can be read."""
    if isinstance(error, Unreachable):
        return f"Cassandra is down: {error}; it comes back by itself"
    return f"{error}; the page looks again by itself"


def _as_of(at: datetime, now: datetime) -> str:
    ago = formats.age((now - at).total_seconds())
    return markup.status("stale", f"as of {formats.clock(at)} UTC", aside=f"· {ago} ago")
