"""docs/how-to.md: a table and a panel are added as it says, by its own blocks."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from tests.documents import blocks, chapter
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until
from tests.integration.walkthrough import EXECUTED, Copy, follow, released

pytestmark = pytest.mark.integration


@pytest.mark.timeout(600)  # half a minute on a machine that has nothing else to do
def test_a_table_is_added_as_told(replica: Replica, tmp_path: Path) -> None:
    """While everything runs: its rows arrive, verification compares them, the checks pass."""
    with released(replica, tmp_path) as release:
        done = [
            line
            for block in blocks(chapter("how-to.md", "A table"), *EXECUTED)
            for line in follow(release, block)
        ]
        assert "tidemark verify fees" in done

        def fees() -> list[tuple[str, Decimal, Decimal]]:
            rows = release.cassandra.execute("SELECT symbol, maker, taker FROM fees")
            return [tuple(row) for row in rows]

        told = [("BTCUSDT", Decimal("0.001"), Decimal("0.00075"))]
        wait_until(lambda: fees() == told)
        replica.sql("UPDATE fees SET maker = 0, as_of = now()")
        wait_until(lambda: [maker for _, maker, _ in fees()] == [0])
        assert release.command("tidemark resync fees").returncode == 0
        verified = release.command("tidemark verify fees --json")
        (report,) = json.loads(verified.stdout)["tables"]
        assert (verified.returncode, report["rows"]) == (0, 1), verified.stdout


def test_a_panel_is_added_as_told(tmp_path: Path) -> None:
    """The linter accepts its query, and the file that Grafana reads has it."""
    copy = Copy(tmp_path, dict(os.environ))
    for block in blocks(chapter("how-to.md", "A panel"), "diff", "sh"):
        for _ in follow(copy, block):
            pass
    market = json.loads((tmp_path / "grafana" / "dashboards" / "market.json").read_text())
    assert "Newest listings" in {panel["title"] for panel in market["panels"]}
