"""A figure in its panel, with a heading; or why there is none."""

from __future__ import annotations

from typing import Any

import streamlit as st

from page import markup
from page.figures.layout import CONFIG


def chart(key: str, title: str, note: str, figure: Any) -> None:
    """Draw a Plotly figure. `key` is its own on the view; by it a refresh keeps the zoom."""
    with st.container(border=True, key=f"panel-{key}"):
        st.html(markup.title(title, note))
        st.plotly_chart(figure, theme=None, config=CONFIG, key=key)


def nothing(title: str, why: str) -> None:
    """The panel of a figure that has no rows."""
    st.html(markup.empty(title, why))
