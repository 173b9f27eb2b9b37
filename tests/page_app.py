"""A view of the page in Streamlit's own test runner, and what a person would read of it."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from streamlit.testing.v1 import AppTest

from page.feed import Feed

VIEWS = ("market", "symbol", "pipeline")
PATIENCE_S = 60  # a busy machine may take its time


def _script(feed: object, view: str) -> None:
    """What `page/app/navigation.py` does for one view; runs with nothing of this module."""
    import importlib  # noqa: PLC0415 - the runner takes the function's text alone

    importlib.import_module(f"page.views.{view}").show(feed)


def app(feed: Feed, view: str, **address: str) -> AppTest:
    """The view at an address, not run yet."""
    test = AppTest.from_function(_script, args=(feed, view), default_timeout=PATIENCE_S)
    for name, value in address.items():
        test.query_params[name] = value
    return test


def html(test: AppTest) -> str:
    """Everything that the view has drawn as HTML; AssertionError where it raised."""
    assert not test.exception, test.exception
    return "\n".join(element.proto.body for element in test.get("html"))


def text(test: AppTest) -> str:
    """The same as a person reads it."""
    return unescape(re.sub(r"<[^>]*>", " ", html(test)))


def figures(test: AppTest) -> dict[str, dict[str, Any]]:
    """Plotly's figures by their keys."""
    return {
        element.proto.id.rpartition("-")[2]: json.loads(element.proto.spec)
        for element in test.get("plotly_chart")
    }
