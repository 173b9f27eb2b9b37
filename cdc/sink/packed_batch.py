"""A BATCH message whose statements are packed already, and how it goes out.

The driver's `BatchStatement.add` costs 22 µs a row and its preset values 5, of which most is the
packing of values one by one; here a row is bytes already (cdc.sink.encoder). The message says the
same as the driver's BatchMessage; tests/integration/test_sink_applies.py reads back what it stores.
Source: native_protocol_v5.spec, 4.1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.cluster import ResponseFuture, Session
from cassandra.policies import FallthroughRetryPolicy
from cassandra.protocol import BatchMessage
from cassandra.query import BatchStatement, BatchType, PreparedStatement

_head = Struct(">BH").pack  # type of the batch, number of statements
_statement = Struct(">BH").pack  # kind (1: prepared), length of the id
_count = Struct(">H").pack
_tail = Struct(">HI").pack  # consistency, flags

_ANY = BatchStatement(BatchType.UNLOGGED)  # what the driver asks about retries and routing
_NO_RETRY = FallthroughRetryPolicy()


def prefix(prepared: PreparedStatement, values: int) -> bytes:
    """What stands before a prepared statement's values in a batch."""
    query_id = bytes(prepared.query_id)
    return _statement(1, len(query_id)) + query_id + _count(values)


class PackedBatch(BatchMessage):  # type: ignore[misc]  # the driver ships no types
    """An UNLOGGED batch of packed statements."""

    def __init__(self, statements: Sequence[bytes], consistency: int) -> None:
        super().__init__(BatchType.UNLOGGED, (), consistency)
        self._statements = statements

    def send_body(self, f: Any, protocol_version: int) -> None:
        """Write the message; protocol version 5 (flags are an int, none is set)."""
        del protocol_version
        f.write(_head(BatchType.UNLOGGED.value, len(self._statements)))
        f.write(b"".join(self._statements))
        f.write(_tail(self.consistency_level, 0))


def send(
    session: Session,
    statements: Sequence[bytes],
    timeout_s: float,
    done: Callable[[Exception | None], None],
) -> None:
    """Send a batch; `done` hears None or the error, on the driver's thread or on this one."""
    future = ResponseFuture(
        session,
        PackedBatch(statements, ConsistencyLevel.LOCAL_QUORUM),
        _ANY,
        timeout_s,
        retry_policy=_NO_RETRY,
        load_balancer=session.cluster.load_balancing_policy,
    )
    future.add_callbacks(lambda _rows: done(None), done)
    future.send_request()
