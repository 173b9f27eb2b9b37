"""`make screenshots`: pictures of the page that runs, into docs/.

    python -m tests.screenshots

Needs `tidemark up` and Debian's Chromium. What is shown is whatever runs: real data.
"""

from __future__ import annotations

import sys

from page.settings import PageSettings
from runtime.settings import PROJECT_ROOT
from tests import browser
from tests.browser import Browser

DRAWN = (
    "document.querySelectorAll('.js-plotly-plot').length > 0 && "
    "[...document.querySelectorAll('.stPlotlyChart')].every(e => e.querySelector('.main-svg')) && "
    "document.querySelectorAll('.tm-panel').length > 1"
)


def main() -> None:
    """Write docs/page-<view>.png of each view."""
    if browser.installed() is None:
        sys.exit("chromium is not installed; `apt install chromium`, then `make screenshots`")
    url = PageSettings().page_url
    with Browser.started() as opened:
        for view in ("market", "symbol", "pipeline"):
            opened.open(f"{url}/" if view == "market" else f"{url}/{view}")
            try:
                opened.wait_for(DRAWN, 60)
            except AssertionError as error:
                sys.exit(f"{url} shows no {view}; does `tidemark up` run?\n{error}")
            opened.wait_for(f"document.querySelector('[data-stale=true]') === null && {DRAWN}", 30)
            path = PROJECT_ROOT / "docs" / f"page-{view}.png"
            opened.picture(path)
            sys.stdout.write(f"{path.relative_to(PROJECT_ROOT)}\n")


if __name__ == "__main__":
    main()
