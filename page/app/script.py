"""Run by Streamlit, anew for each browser and each change of view."""

from __future__ import annotations

from page.app.navigation import run
from page.feed import live_feed

run(live_feed())
