"""The watch's store where PostgreSQL is there and says nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from contracts.naming import Role
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import Connection, value
from watch.errors import StoreUnavailable
from watch.store import Store

pytestmark = pytest.mark.integration

PID = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND datname = current_database()"


@pytest.fixture
def store(database: PostgresEndpoint) -> Iterator[Store]:
    with closing(Store(database, timeout_s=1)) as opened:
        yield opened


def test_a_frozen_postgresql_is_away(store: Store, owner: Connection) -> None:
    """Its own time limit ends nothing then; else no alarm were raised of it, nor of anything."""
    assert store.slot("none") is None
    pid = int(value(owner, PID, Role.WATCH))
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            store.slot("none")
        assert store.slot("none") is None, "another connection is served"
    finally:
        os.kill(pid, signal.SIGCONT)
