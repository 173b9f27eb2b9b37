"""Streamlit as a process of ours: configured by us alone, until SIGTERM."""

from __future__ import annotations

from pathlib import Path

import structlog
from streamlit.web import bootstrap

from page import theme
from page.settings import PageSettings

log = structlog.get_logger(__name__)
SCRIPT = Path(__file__).with_name("app") / "script.py"


def run(settings: PageSettings, script: Path = SCRIPT) -> None:
    """Serve the page on its port; returns on SIGTERM or SIGINT."""
    options = theme.options(settings)
    bootstrap.load_config_options(options)
    log.info("the page is served", url=settings.page_url)
    bootstrap.run(str(script), is_hello=False, args=[], flag_options=options)
