"""The three views, behind one bar."""

from __future__ import annotations

from functools import partial

import streamlit as st

from page.feed import Feed
from page.theme import STYLE
from page.views import market, pipeline, symbol


def run(feed: Feed) -> None:
    """Draw the view that the address names."""
    st.set_page_config(page_title="Tidemark", page_icon=":material/waves:", layout="wide")
    st.html(STYLE)
    views = [
        st.Page(partial(market.show, feed), title="Market", url_path="market", default=True),
        st.Page(partial(symbol.show, feed), title="Symbol", url_path="symbol"),
        st.Page(partial(pipeline.show, feed), title="Pipeline", url_path="pipeline"),
    ]
    st.navigation(views, position="top").run()
