"""Partitions are made and dropped by functions, safely, by roles that may do nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import psycopg2
import pytest

from contracts.naming import Role
from ingest import tables
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import Connection, connect, fetch, value

pytestmark = pytest.mark.integration
PAST = date(2025, 3, 1)
BOUNDS = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s"


@pytest.fixture
def watch(database: PostgresEndpoint) -> Iterator[Connection]:
    with closing(connect(database, Role.WATCH)) as connection:
        yield connection


@pytest.fixture
def repair(database: PostgresEndpoint) -> Iterator[Connection]:
    with closing(connect(database, Role.REPAIR)) as connection:
        yield connection


def ensure(connection: Connection, table: str, day: date) -> bool:
    return bool(value(connection, "SELECT ensure_partition(%s, %s)", table, day))


def drop(connection: Connection, table: str, day: date) -> bool:
    return bool(value(connection, "SELECT drop_partition(%s, %s)", table, day))


def record(connection: Connection, table: str | None, *days: date) -> int:
    return int(value(connection, "SELECT record_dropped_days(%s, %s::date[])", table, list(days)))


def recorded(connection: Connection, table: str) -> dict[date, datetime]:
    told = "SELECT day, dropped_at FROM dropped_days WHERE table_name = %s"
    return dict(fetch(connection, told, table))


def today() -> date:
    return datetime.now(UTC).date()


@pytest.mark.parametrize("table", sorted(tables.PARTITIONED_BY))
def test_first_days_are_there(owner: Connection, table: str) -> None:
    """From yesterday to a week ahead, nothing writes into the void after a migration."""
    for ahead in (-1, 0, 7):
        name = f"{table}_p{today() + timedelta(days=ahead):%Y%m%d}"
        assert value(owner, "SELECT to_regclass(%s) IS NOT NULL", f"public.{name}")


def test_day_is_a_utc_day_whatever_the_session_says(owner: Connection, watch: Connection) -> None:
    """A session's time zone does not move the borders."""
    fetch(watch, "SELECT set_config('timezone', 'Asia/Kathmandu', false)")
    assert ensure(watch, "prices", PAST)
    assert value(owner, BOUNDS, "prices_p20250301") == (
        "FOR VALUES FROM ('2025-03-01 00:00:00+00') TO ('2025-03-02 00:00:00+00')"
    )


def test_partition_is_like_its_table(owner: Connection, watch: Connection) -> None:
    """Its key, its check, its defaults; and the owner's, though the watch asked for it."""
    ensure(watch, "trades", PAST)
    constraints = (
        "SELECT contype, conname FROM pg_constraint WHERE conrelid = %s::regclass "
        "AND contype IN ('p', 'c') ORDER BY 1"
    )
    kinds = [kind for kind, _ in fetch(owner, constraints, "trades_p20250301")]
    assert kinds == ["c", "p"]
    query = "SELECT tableowner FROM pg_tables WHERE tablename = 'trades_p20250301'"
    assert value(owner, query) == Role.OWNER


def test_second_call_changes_nothing(watch: Connection) -> None:
    """True when it made one, false when it was there."""
    assert ensure(watch, "depth", PAST)
    assert not ensure(watch, "depth", PAST)


def test_ensure_partitions_counts_the_new_ones(watch: Connection) -> None:
    """One a table for a day that was not yet there."""
    assert value(watch, "SELECT ensure_partitions(8)") == len(tables.PARTITIONED_BY)
    assert value(watch, "SELECT ensure_partitions(8)") == 0


def test_concurrent_calls_make_one_partition(database: PostgresEndpoint) -> None:
    """Ingest and watch at the same moment: one makes it, none fails."""
    made: list[bool] = []
    failures: list[BaseException] = []
    start = threading.Barrier(6)

    def call(role: str) -> None:
        try:
            with closing(connect(database, role)) as connection:
                start.wait(timeout=20)
                made.append(ensure(connection, "outbox", PAST))
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    roles = [Role.INGEST, Role.WATCH] * 3
    threads = [threading.Thread(target=call, args=(role,)) for role in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(made) == [False] * 5 + [True]


def test_making_a_day_waits_for_no_reader_and_no_writer(database: PostgresEndpoint) -> None:
    """A long verification and an open batch do not stop it."""
    with closing(connect(database)) as busy, closing(connect(database, Role.INGEST)) as ingest:
        busy.autocommit = False
        fetch(busy, "SELECT count(*) FROM heartbeat")
        busy.cursor().execute("INSERT INTO heartbeat (source) VALUES ('open')")
        fetch(ingest, "SELECT set_config('lock_timeout', '2s', false)")
        assert ensure(ingest, "heartbeat", PAST)


def test_dropped_day_takes_its_rows_and_is_recorded(owner: Connection, watch: Connection) -> None:
    """And if a late row needs it again, it can be made, and the record stays."""
    day = PAST + timedelta(days=1)
    ensure(watch, "heartbeat", day)
    owner.cursor().execute(
        "INSERT INTO heartbeat VALUES ('late', '2025-03-02 12:00:00+00')",
    )
    assert drop(watch, "heartbeat", day)
    assert value(owner, "SELECT count(*) FROM heartbeat WHERE source = 'late'") == 0
    assert set(recorded(owner, "heartbeat")) == {day}
    assert ensure(watch, "heartbeat", day)
    assert set(recorded(owner, "heartbeat")) == {day}
    assert drop(watch, "heartbeat", day)
    assert set(recorded(owner, "heartbeat")) == {day}
    assert not drop(watch, "heartbeat", day)


def test_past_days_that_are_not_held_are_recorded(
    owner: Connection, watch: Connection, repair: Connection
) -> None:
    """Once, and none that is held, to come, or older than any that can be made."""
    absent, held = PAST + timedelta(days=7), PAST + timedelta(days=8)
    ensure(watch, "trades", held)
    ahead = (today(), today() + timedelta(days=20), date.max)
    assert record(repair, "trades", absent, absent, held, *ahead, date.min, date(2008, 12, 31)) == 1
    first = recorded(owner, "trades")
    assert set(first) == {absent}
    assert ensure(watch, "trades", absent)
    assert record(repair, "trades", absent, held) == record(repair, "trades") == 0
    assert recorded(owner, "trades") == first


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_day_that_is_just_being_made_is_waited_for(
    database: PostgresEndpoint, owner: Connection, repair: Connection, end: str
) -> None:
    """A late row's transaction makes it, or does not after all: it is held, or recorded."""
    day = PAST + timedelta(days=9)
    found: list[int] = []
    with closing(connect(database, Role.INGEST)) as ingest:
        ingest.cursor().execute("BEGIN")
        assert ensure(ingest, "depth", day)
        recording = threading.Thread(target=lambda: found.append(record(repair, "depth", day)))
        recording.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
        deadline = time.monotonic() + 20
        while not value(owner, waiting, repair.info.backend_pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not found
        ingest.cursor().execute(end)
        recording.join(20)
    assert found == [int(end == "ROLLBACK")]
    assert (day in recorded(owner, "depth")) == (end == "ROLLBACK")
    owner.cursor().execute("DROP TABLE IF EXISTS depth_p20250310")


def test_drop_behind_a_long_reader_gives_up(database: PostgresEndpoint, watch: Connection) -> None:
    """Within seconds, with SQLSTATE 55P03, so that writers never queue behind it."""
    ensure(watch, "movers_24h", PAST)
    with closing(connect(database)) as reader:
        reader.autocommit = False
        fetch(reader, "SELECT count(*) FROM movers_24h")
        began = time.monotonic()
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            drop(watch, "movers_24h", PAST)
        assert time.monotonic() - began < 15
        reader.rollback()
    assert drop(watch, "movers_24h", PAST)


@pytest.mark.parametrize("ahead", [0, 1])
def test_day_that_is_not_over_cannot_be_dropped(watch: Connection, ahead: int) -> None:
    """Not even by mistake."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="is not over"):
        drop(watch, "prices", today() + timedelta(days=ahead))


@pytest.mark.parametrize(
    "table",
    ["klines", "pg_class", "prices; DROP TABLE klines", 'prices" --', "", "PRICES", None],
)
def test_only_listed_tables_are_touched(
    watch: Connection, repair: Connection, table: str | None
) -> None:
    """What runs with the owner's rights takes no name that it does not know."""
    for function in ("ensure_partition", "drop_partition"):
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match="is not partitioned"):
            value(watch, f"SELECT {function}(%s, %s)", table, PAST)
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="is not partitioned"):
        record(repair, table, PAST)


@pytest.mark.parametrize("day", ["1969-12-31", "2008-12-31", "9999-01-01", "infinity", None])
def test_implausible_days_are_refused(watch: Connection, day: str | None) -> None:
    """A broken clock cannot litter the database with partitions."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="no partition for day"):
        value(watch, "SELECT ensure_partition('prices', %s)", day)


def test_functions_ignore_the_callers_search_path(watch: Connection, owner: Connection) -> None:
    """A table of the same name in front of the path is not what is partitioned."""
    owner.cursor().execute("CREATE SCHEMA decoy; CREATE TABLE decoy.prices (x int)")
    owner.cursor().execute(f"GRANT USAGE ON SCHEMA decoy TO {Role.WATCH}")
    fetch(watch, "SELECT set_config('search_path', 'decoy, public', false)")
    assert ensure(watch, "prices", PAST + timedelta(days=5))
    assert value(owner, "SELECT to_regclass('public.prices_p20250306') IS NOT NULL")
    assert (
        value(owner, "SELECT count(*) FROM pg_class WHERE relnamespace = 'decoy'::regnamespace")
        == 1
    )
