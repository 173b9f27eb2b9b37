"""The thread that publishes positions outlives everything that the driver may raise."""

from __future__ import annotations

import threading
from argparse import Namespace
from typing import Any

import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ServerError

from cdc.sink.positions import PositionsPublisher

FAILURES = [
    OperationTimedOut(),
    NoHostAvailable("none", {}),
    ConnectionShutdown("the connection is gone"),
    ServerError(0, "overloaded", {}),
]


class Session:
    """Fails once, then keeps what it is given."""

    def __init__(self, failure: Exception) -> None:
        self._failure: Exception | None = failure
        self.failed = threading.Event()
        self.stored: list[Any] = []

    def execute_succeeds(self) -> None:
        """Fail no more."""
        self._failure = None

    def execute(self, statement: Any, values: Any = None) -> list[Any]:
        if statement.startswith("SELECT"):
            return [Namespace(generation=7, system_identifier="1")]
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.failed.set()
            raise failure
        self.stored.append((statement, values))
        return []


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: type(each).__name__)
def test_positions_are_published_after_a_failure(failure: Exception) -> None:
    """What failed is tried again in the next round."""
    session = Session(failure)
    publisher = PositionsPublisher(lambda: session, generation=4, group="group", every_s=0.01)
    publisher.offer({("topic", 0): 7}, snapshot_seen_lsn=0)
    assert session.failed.wait(5)
    publisher.close(5)
    assert session.stored


def test_the_snapshots_lsn_is_published_before_the_positions_behind_its_rows() -> None:
    """Whoever sees them acknowledged must know it; a partition that leaves does not unsay it."""
    session = Session(OperationTimedOut())
    publisher = PositionsPublisher(lambda: session, generation=4, group="group", every_s=60)
    publisher.offer({("topic", 0): 7}, snapshot_seen_lsn=8000)
    publisher.offer({("topic", 1): 9}, snapshot_seen_lsn=0)
    session.execute_succeeds()
    publisher.close(5)
    (seen, values), (position, _) = session.stored
    assert "snapshot_seen_lsn" in seen
    assert values == (8000, 8000, 4)
    assert "sink_positions" in position
    assert publisher.newest_generation == 7
