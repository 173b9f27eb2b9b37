"""The store when things fail: lost connections and answers, refusals, locks, two writers."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import psycopg2
import pytest

from contracts.market import Event
from contracts.naming import Role
from ingest.batch import Batch
from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import Connection, connect, fetch, value
from tests.market_rows import (
    NOON,
    SYMBOL,
    VENUE,
    kline,
    price,
)

pytestmark = pytest.mark.integration
LATER = NOON + timedelta(minutes=5)


def test_a_connection_asks_whether_postgresql_is_still_there(
    database: PostgresEndpoint, owner: Connection
) -> None:
    """Else who waits for an answer of a host that vanished waits for two hours: TCP's default."""
    del owner
    dsn: dict[str, Any] = database.postgres_dsn(Role.WATCH)
    with (
        closing(psycopg2.connect(**dsn)) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle_s, every_s, times = (line.getsockopt(socket.IPPROTO_TCP, each) for each in options)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert idle_s + every_s * times <= 30


def test_repeated_write_of_an_event_is_one_row(
    store: Store, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to COMMIT was lost, the transaction is run again."""
    happened = Event(venue=VENUE, kind="halt", symbol=SYMBOL, message="BREAK", severity="warning")
    session = store._session
    once = session._once

    def twice(work: Any) -> Any:
        once(work)
        return once(work)

    monkeypatch.setattr(session, "_once", twice)
    store.write(Batch(events=[happened]))
    assert fetch(owner, "SELECT kind, symbol, severity, message FROM events") == [
        ("halt", SYMBOL, "warning", "BREAK")
    ]


def test_batch_is_all_or_nothing(store: Store, owner: Connection) -> None:
    """A failure in its last table leaves no row of its first."""
    owner.cursor().execute("ALTER TABLE events RENAME TO elsewhere")
    try:
        with pytest.raises(StoreRefused, match="tidemark migrate"):
            store.write(Batch(prices=[price()], events=[Event(venue=VENUE, kind="x", message="x")]))
    finally:
        owner.cursor().execute("ALTER TABLE elsewhere RENAME TO events")
    assert value(owner, "SELECT count(*) FROM prices") == 0


def test_lost_connection_is_opened_again(store: Store, owner: Connection) -> None:
    """The server ended our backend; the next write does not notice."""
    store.write(Batch(prices=[price("1")]))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s "
    assert fetch_as_admin(store, kill + "AND datname = current_database()", Role.INGEST)
    store.write(Batch(prices=[price("2", observed_at=LATER)]))
    assert value(owner, "SELECT count(*) FROM prices") == 2


def fetch_as_admin(store: Store, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    settings = store._session._settings
    with closing(connect(settings, Role.POSTGRES_ADMIN)) as admin:
        return fetch(admin, sql, *parameters)


def test_absent_server_is_retryable_and_said_in_one_line(database: PostgresEndpoint) -> None:
    """After its patience; the caller keeps the batch and comes again."""
    absent = Store(database.model_copy(update={"postgres_port": 1}), patience_s=0.5)
    with pytest.raises(StoreUnavailable, match="is not available") as failure:
        absent.write(Batch(prices=[price()]))
    assert failure.value.retryable
    assert "\n" not in str(failure.value)


def test_wrong_password_is_not_retried(
    database: PostgresEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A person must act, and the message says on what."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / f"{Role.INGEST}.password").write_text("not-it")
    with pytest.raises(StoreRefused, match="password authentication failed") as failure:
        Store(database.model_copy(update={"secrets_dir": folder}), patience_s=60).connect()
    assert "not-it" not in str(failure.value)


def test_heartbeat_does_not_wait_for_a_write(store: Store, owner: Connection) -> None:
    """It has a connection of its own; a batch that hangs on a lock delays no beat."""
    with store._session._turn:  # a write is under way
        store.beat("ingest")
    assert value(owner, "SELECT count(*) FROM heartbeat WHERE source = 'ingest'") == 1


def test_heartbeat_makes_todays_partition(store: Store, owner: Connection) -> None:
    """The watch was away for a week."""
    today = datetime.now(UTC).date()
    owner.cursor().execute(f"DROP TABLE heartbeat_p{today:%Y%m%d}")
    store.beat("ingest")
    assert value(owner, "SELECT count(*) FROM heartbeat") == 1


def test_two_writers_of_the_same_rows_do_not_deadlock(
    store: Store, database: PostgresEndpoint, owner: Connection
) -> None:
    """A backfill beside the live stream, the same candles in opposite orders."""
    other = Store(database, patience_s=5)
    candles = [kline(minute) for minute in range(2000)]
    with ThreadPoolExecutor(2) as pool:
        for round_ in range(5):
            changed = [msgspec.structs.replace(one, close=Decimal(round_)) for one in candles]
            first = pool.submit(store.copy, Batch(klines=changed))
            second = pool.submit(other.write, Batch(klines=changed[::-1]))
            stored = [each.result().rows.get("klines", 0) for each in (first, second)]
            assert sum(stored) == 2000
    other.close()
    waits = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert value(owner, waits) == 0
