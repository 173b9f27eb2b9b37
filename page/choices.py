"""What a person looks at: venue, quote asset, symbol; from the data, and kept in the address.

An address that names what there is not says so. Where nothing can be read yet, the page waits and
begins by itself.

What is remembered is a resource, not data: all browsers share the same rows, which nobody changes,
instead of a copy each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from page import markup
from page.errors import NothingYet, PageError
from page.feed import Feed
from page.live import complaint
from page.rows import Instrument

T = TypeVar("T")
FAVOURITE_QUOTE = "USDT"
TRADING, DELISTED = "TRADING", "DELISTED"  # of `instruments.status`; others are halted
MAX_QUOTES = 8
SHOWN_CHARACTERS = 40  # of what an address names: it may be anything


def begun(feed: Feed, read: Callable[[], T], *, quiet: bool = False) -> T | None:
    """What `read` gives; None where it raises PageError, which is shown, and tried again.

    `quiet`: a part of the view says already what is wrong, unless it is that nothing came yet.
    """
    try:
        return read()
    except PageError as error:
        if error.lost:
            feed.lost()
        told = not quiet or isinstance(error, NothingYet)
        _wait(feed, complaint(error) if told else "")
        return None


def _wait(feed: Feed, text: str) -> None:
    looks = count()

    @st.fragment(run_every=feed.refresh_s)
    def again() -> None:
        if text:
            st.html(markup.notice(text, bad=True))
        if next(looks):  # not while the page is being drawn for the first time
            st.rerun()

    again()


def venue(feed: Feed, above: DeltaGenerator, *, quiet: bool = False) -> str | None:
    """The exchange; a choice only where there are several. `above`: where to say what is wrong.

    `quiet`: see `begun`.
    """
    venues = begun(feed, lambda: _venues(feed), quiet=quiet)
    if not venues:
        return None
    wanted = _wanted("venue", venues[0])
    if wanted not in venues:
        above.html(markup.notice(f"there are no rows of a venue “{_cut(wanted)}”", bad=True))
        wanted = venues[0]
    if len(venues) > 1:
        wanted = (
            st.selectbox(
                "Venue", venues, index=venues.index(wanted), width=160, label_visibility="collapsed"
            )
            or wanted
        )
    _keep("venue", wanted)
    return wanted


def quote_asset(instruments: Sequence[Instrument]) -> str:
    """The asset in which prices are told; the one of most pairs first."""
    pairs = Counter(each.quote_asset for each in instruments)
    quotes = [quote for quote, _ in pairs.most_common(MAX_QUOTES)]
    wanted = _wanted("quote", FAVOURITE_QUOTE)
    index = quotes.index(wanted) if wanted in quotes else 0
    chosen = st.selectbox(
        "Quote asset", quotes, index=index, width=160, label_visibility="collapsed"
    )
    chosen = chosen or quotes[index]
    _keep("quote", chosen)
    return chosen


def symbol(
    instruments: Sequence[Instrument],
    watched: Sequence[str],
    venue_name: str,
    above: DeltaGenerator,
) -> Instrument | None:
    """One of what is listed, the watched ones first; None until one is chosen.

    What is halted is offered where it is watched, or where the address names it.
    """
    listed = {each.symbol: each for each in instruments}
    first = [each for each in watched if each in listed]
    now = [each.symbol for each in traded(instruments)]
    wanted = _wanted("symbol", next(iter((*first, *now, *listed))))
    others = (name for name, each in listed.items() if each.status == TRADING or name == wanted)
    options = [*first, *(each for each in others if each not in first)]
    if wanted not in listed:
        above.html(
            markup.notice(
                f"{venue_name} lists no symbol “{_cut(wanted)}”; choose one of {len(listed):,}",
                bad=True,
            )
        )
    chosen = st.selectbox(
        "Symbol",
        options,
        index=options.index(wanted) if wanted in listed else None,
        placeholder="choose a symbol",
        width=220,
        label_visibility="collapsed",
    )
    if chosen is None:
        return None
    _keep("symbol", chosen)
    return listed[chosen]


def traded(instruments: Sequence[Instrument]) -> list[Instrument]:
    """Those that are traded now."""
    return [each for each in instruments if each.status == TRADING]


def instruments(feed: Feed, venue_name: str) -> list[Instrument]:
    """What the venue lists, by symbol, halted or not; remembered for a minute. Raises PageError."""
    return _instruments(feed, feed.name, venue_name)


def watched(feed: Feed, venue_name: str) -> list[str]:
    """Symbols that are watched in full, the most traded first; remembered for a minute.

    Raises PageError. Where there are none yet, the next look asks again.
    """
    try:
        return _watched(feed, feed.name, venue_name)
    except NothingYet:
        return []


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8)
def _instruments(_feed: Feed, feed_name: str, venue_name: str) -> list[Instrument]:
    del feed_name  # part of the key
    rows = [each for each in _feed.reader().instruments(venue_name) if each.status != DELISTED]
    if not rows:
        raise NothingYet(f"no data yet: what {venue_name} lists has not arrived")
    return rows


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8)
def _watched(_feed: Feed, feed_name: str, venue_name: str) -> list[str]:
    del feed_name  # part of the key
    turnover = {each.symbol: each.quote_volume for each in _feed.reader().tickers(venue_name)}
    symbols = _feed.reader().watched(venue_name)
    if not symbols:
        raise NothingYet(f"no data yet: no order book of {venue_name} has arrived")
    return sorted(symbols, key=lambda each: (-turnover.get(each, 0), each))


def _venues(feed: Feed) -> list[str]:
    venues = feed.reader().venues()
    if not venues:
        raise NothingYet("no data yet: no exchange has told its 24 h statistics")
    return venues


def _wanted(name: str, default: str) -> str:
    """Of the address, else what was chosen before on another view."""
    kept: str = st.query_params.get(name) or st.session_state.get(f"chosen {name}") or default
    return kept


def _keep(name: str, value: str) -> None:
    st.session_state[f"chosen {name}"] = value
    if st.query_params.get(name) != value:
        st.query_params[name] = value


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
