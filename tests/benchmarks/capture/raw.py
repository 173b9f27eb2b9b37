"""A slot read as plainly as can be: pgoutput over the replication protocol, nothing decoded.

The ceiling of whoever captures: PostgreSQL's own decoding and sending, and a reader that looks at
one byte of each message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import psycopg2
from psycopg2.extras import LogicalReplicationConnection, StopReplication

from cdc.settings import CdcSettings
from contracts.naming import PUBLICATION, Role
from tests.benchmarks.capture.flow import Flow, Look
from tests.integration import scratch

SLOT = "bench_raw"
INSERT = b"I"  # pgoutput's first byte of an inserted row
CREATE = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"
DROP = "SELECT pg_drop_replication_slot(%s)"
LEAVE_S = 60.0

M = TypeVar("M")


@contextmanager
def slot(settings: CdcSettings) -> Iterator[None]:
    """A slot from this moment of the WAL on, for the length of a block."""
    with closing(scratch.connect(settings, Role.CDC)) as connection:
        scratch.fetch(connection, CREATE, SLOT)
        try:
            yield
        finally:
            _drop(connection)


def _drop(connection: scratch.Connection) -> None:
    """Drop the slot; its walsender may take a moment to notice that nobody reads."""
    deadline = time.monotonic() + LEAVE_S
    while True:
        try:
            scratch.fetch(connection, DROP, SLOT)
        except psycopg2.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def drained(settings: CdcSettings, protocol: int, rows: int, moment: Callable[[], M]) -> Flow[M]:
    """Read the slot until it has given so many inserted rows."""
    dsn: dict[str, Any] = settings.postgres_dsn(Role.CDC)
    first: list[Look[M]] = []
    count = 0

    def take(message: Any) -> None:
        nonlocal count
        if message.payload[:1] != INSERT:
            return
        count += 1
        if count == 1:
            first.append(Look(count, moment()))
        if count == rows:
            raise StopReplication

    connection = psycopg2.connect(**dsn, connection_factory=LogicalReplicationConnection)
    with closing(connection), connection.cursor() as cursor:
        options = {"proto_version": str(protocol), "publication_names": PUBLICATION}
        cursor.start_replication(slot_name=SLOT, options=options, decode=False)
        try:
            cursor.consume_stream(take)
        except StopReplication:
            return Flow(first[0], Look(count, moment()))
    raise AssertionError("the stream ends only when it is stopped")
