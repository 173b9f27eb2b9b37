"""Changing the schema while everything runs: what the docs say is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.connector.client import ConnectClient
from tests.documents import DOCS
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until
from tests.integration.walkthrough import Load, released, walk

pytestmark = pytest.mark.integration


@pytest.mark.timeout(900)  # a minute on a machine that has nothing else to do
def test_the_walkthrough_is_walked_to_its_end(replica: Replica, tmp_path: Path) -> None:
    """Rows are written all the while, the connector restarts after each migration; both equal."""

    def restart_connector() -> None:
        with ConnectClient(replica.settings) as connect:
            connect.restart_task(0)

    load = Load(replica, seed=1)
    with released(replica, tmp_path) as release:
        with load.running():
            text = (DOCS / "schema-changes.md").read_text(encoding="utf-8")
            reasons = walk(release, text, load, restart_connector)
        assert [reason.partition(" is ")[0] for reason in reasons] == [
            "coin_markets: column max_supply",
            "coin_markets: column total_volume",
            "coin_markets: column market_cap_rank",
        ]
        expected = release.coins_of_postgresql()
        assert len(expected) > 100
        wait_until(lambda: release.coins() == expected)
