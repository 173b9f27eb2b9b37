"""What a view looks at: a reader, a clock, and how often.

The live feed opens one session for the whole process, which all browsers share. Where a question
shows that the session is of no more use, it is closed and the next look opens another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from page.history import History
from page.reader import Reader
from page.settings import PageSettings


@dataclass(frozen=True)
class Feed:
    """`reader` gives one or raises PageError; `lost` gives the present one up."""

    name: str
    reader: Callable[[], Reader]
    now: Callable[[], datetime]
    refresh_s: float
    lost: Callable[[], None] = lambda: None


@st.cache_resource(show_spinner=False)
def _settings() -> PageSettings:
    return PageSettings()


def _close(history: History) -> None:
    history.close()


@st.cache_resource(show_spinner=False, on_release=_close)
def _history() -> History:
    return History(_settings())


def live_feed() -> Feed:
    """The history in Cassandra, now."""
    settings = _settings()
    return Feed(
        name=f"{settings.cassandra_hosts}/{settings.cassandra_keyspace}",
        reader=_history,
        now=lambda: datetime.now(UTC),
        refresh_s=settings.page_refresh_s,
        lost=_history.clear,
    )
