"""The page over recorded rows instead of a database, as Streamlit's script: rows of this moment.

python -m tests.browser FOLDER      pictures of each view of it
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from page.app.navigation import run
from page.feed import Feed
from page.rows import Gap
from tests.page_rows import Recorded


def reader() -> Recorded:
    """Rows as of now, with one gap that is open."""
    now = datetime.now(UTC)
    gap = Gap(now - timedelta(minutes=4), "ETHUSDT", "trades", 9101, 9140, "open", "disconnect")
    done = Gap(now - timedelta(hours=4), "BTCUSDT", "trades", 51, 90, "repaired", "disconnect")
    return Recorded(now, found_gaps=[done, gap])


run(Feed("recorded", reader, lambda: datetime.now(UTC), refresh_s=2.0))
