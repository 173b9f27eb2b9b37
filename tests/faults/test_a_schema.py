"""Row A19: the schema changes in mid-stream, and Connect dies in between."""

from __future__ import annotations

from pathlib import Path
from signal import SIGKILL

from cdc.connector.client import ConnectClient
from tests.documents import DOCS
from tests.faults.matrix import row
from tests.faults.rig import Rig
from tests.faults.trial import Counts, Trial
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until
from tests.integration.walkthrough import Load, Release, released, walk


def compare(release: Release) -> Counts:
    """coin_markets of both stores, each read with its own client, column by column."""
    expected, found = release.coins_of_postgresql(), release.coins()
    different = sum(found[coin] != expected[coin] for coin in expected.keys() & found.keys())
    return Counts(
        rows=len(expected),
        missing=len(expected.keys() - found.keys()),
        extra=len(found.keys() - expected.keys()),
        different=different,
    )


@row("A19")
def test_a19_schema_changes(rig: Rig, replica: Replica, trial: Trial, tmp_path: Path) -> None:
    """Added, dropped, renamed, retyped, under load; Connect is killed after each migration."""

    def kill_connect() -> None:
        pid = rig.kill("connect", SIGKILL)
        trial.happened(f"a migration under load, then SIGKILL of Connect, pid {pid}")
        rig.wait_ready("connect")
        with ConnectClient(replica.settings) as connect:
            connect.wait_running(120)

    text = (DOCS / "schema-changes.md").read_text(encoding="utf-8")
    load = Load(replica, seed=trial.random.randrange(1_000_000))
    with released(replica, tmp_path) as release:
        with load.running():
            reasons = walk(release, text, load, kill_connect)
        assert len(reasons) == 3, "three changes halt the table"
        wait_until(lambda: compare(release).equal, 120)
        trial.note(f"{load.written} transactions; halted 3 times, each time with its column")
        trial.prove(compare(release))
