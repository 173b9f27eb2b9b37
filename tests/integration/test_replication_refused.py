"""Connect comes back by itself after somebody moved its slot: the watch notices, and stops it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import httpx
import pytest

from cdc.connector import preflight
from cdc.connector.client import ConnectClient
from cdc.errors import CdcError
from contracts.naming import Role, slot_name
from stack import launcher
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration

ALARM = "SELECT message FROM events WHERE kind = 'alarm' AND message LIKE 'replication_refused:%%'"
ACTIVE = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active"


def _until(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True


def _looks(replica: Replica) -> bool:
    """Whether the watch has made a look at the slot and the offsets."""
    port = replica.stack.env["TIDEMARK_WATCH_METRICS_PORT"]
    try:
        shown = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return False
    return 'last_success_timestamp_seconds{check="replication"}' in shown


def _state(replica: Replica) -> str:
    try:
        with ConnectClient(replica.settings) as connect:
            status = connect.status()
    except CdcError:
        return "away"
    return "absent" if status is None else status.state


def test_a_slot_advanced_while_connect_was_dead_is_refused_for_ever(replica: Replica) -> None:
    """Debezium itself would read on behind the rows in between, and nothing would show it."""
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    slot = slot_name(replica.settings.generation)
    assert _until(20, lambda: bool(replica.sql(ACTIVE, slot)))
    with replica.process("watch", TIDEMARK_WATCH_VERIFY_PERIOD_S="0"):
        assert _until(60, lambda: _looks(replica)), "the watch does not look"
        launcher.kill(replica.stack.settings, "connect", signal.SIGKILL)
        assert _until(20, lambda: not replica.sql(ACTIVE, slot))
        time.sleep(2)  # several looks at a slot that nobody reads
        replica.sql("INSERT INTO events (venue, kind, message) VALUES ('test', 'lost', '')")
        replica.sql(
            "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())",
            slot,
            role=Role.POSTGRES_ADMIN,
        )
        assert _until(30, lambda: bool(replica.sql(ALARM))), "no alarm"
        assert _until(120, lambda: _state(replica) == "STOPPED"), _state(replica)
    found = preflight.check(replica.settings)
    assert found[0].code == "broken"
    assert "was advanced" in found[0].message
    refused = replica.tidemark("connector", "apply")
    assert (refused.returncode, "`tidemark resync`" in refused.stderr) == (1, True)
