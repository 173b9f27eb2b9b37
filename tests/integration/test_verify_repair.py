"""Repair and proof: what really got lost is found while data flows, healed, and proved again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from cdc import keyspace
from cdc.connector.client import ConnectClient
from cdc.verification import Scope, TableReport, verify
from cdc.verification.proof import recall
from cdc.verification.retention import NotProved, drop_day
from contracts.naming import Role, slot_name
from tests.integration.conftest import Replica
from watch.announcer import Announcer
from watch.settings import WatchSettings
from watch.store import Store
from watch.verification import VerificationCheck

pytestmark = pytest.mark.integration

ALWAYS = 126 << 56  # a write timestamp that no generation below it outranks
HISTORY = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'test', 'S' || i, date_trunc('hour', now()) - h * interval '1 h' + j * interval '1 s', j
FROM generate_series(1, 5) i, generate_series(0, 8) h, generate_series(1, 100) j
"""
INSTRUMENTS = """
INSERT INTO instruments
SELECT 'test', 'S' || i, 'B', 'USDT', 'TRADING', 1, 1, 0, now() FROM generate_series(1, 200) i
"""
KEEP_WRITING = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'test', 'S' || i, date_trunc('milliseconds', clock_timestamp()), 1
FROM generate_series(1, 5) i ON CONFLICT DO NOTHING
"""


@pytest.fixture(scope="module")
def flowing(replica: Replica) -> Iterator[Replica]:
    """Eight hours of prices, instruments; connector and sink."""
    replica.sql(INSTRUMENTS)
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    replica.sql(HISTORY)
    with replica.sink():
        yield replica


@contextmanager
def writing(replica: Replica) -> Iterator[None]:
    """Rows of the compared tables change all the while."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.2):
            replica.sql(KEEP_WRITING)
            replica.sql("UPDATE instruments SET as_of = now() WHERE symbol = 'S200'")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def _run(replica: Replica, *tables: str, **scope: Any) -> dict[str, TableReport]:
    report = verify(replica.settings, tables, Scope(**scope))
    return {each.table: each for each in report.tables}


def _counts(table: TableReport) -> tuple[int, int, int, int]:
    return table.missing, table.extra, table.different, table.healed


def _position(replica: Replica) -> int:
    """The write timestamp of an instrument that replication wrote."""
    ((written,),) = replica.cql(
        "SELECT WRITETIME(status) FROM instruments WHERE venue = 'test' AND symbol = 'S1'"
    )
    return int(written)


def _lose(replica: Replica, statement: str) -> None:
    """Change PostgreSQL without the log's knowing: the tables are not published meanwhile."""
    replica.sql("ALTER PUBLICATION tidemark DROP TABLE prices, instruments")
    replica.sql(statement)
    replica.sql("ALTER PUBLICATION tidemark ADD TABLE prices, instruments")


def test_lost_changes_of_every_kind_are_found_and_healed_while_data_flows(
    flowing: Replica,
) -> None:
    """Lost inserts, updates and deletes, and a ghost; then equal, by the plain verification too."""
    assert all(each.clean for each in _run(flowing, "prices", "instruments").values())
    _lose(
        flowing,
        "INSERT INTO prices (venue, symbol, observed_at, price) SELECT 'test', 'LOST', "
        "date_trunc('hour', now()) - interval '3 h' + j * interval '1 s', j "
        "FROM generate_series(1, 50) j; "
        "DELETE FROM instruments WHERE symbol IN ('S11', 'S12', 'S13'); "
        "UPDATE instruments SET status = 'HALT' WHERE symbol IN ('S21', 'S22'); "
        "INSERT INTO instruments VALUES ('test', 'NEW', 'B', 'Q', 'X', 1, 1, 0, now())",
    )
    flowing.cql(
        "INSERT INTO prices_by_day (venue, symbol, day, observed_at, price) VALUES ('test', "
        "'GHOST', floor(to_timestamp(now()), 1d), floor(to_timestamp(now()), 1h), 1) "
        f"USING TIMESTAMP {_position(flowing)}"
    )
    with writing(flowing):
        found = _run(flowing, "prices", "instruments", repair=True, limit_keys=100)
    assert _counts(found["instruments"]) == (1, 3, 2, 6)
    assert _counts(found["prices_by_day"]) == (50, 1, 0, 51)
    assert _counts(found["latest_prices"]) in {(1, 0, 0, 1), (0, 0, 0, 0)}, "one touch heals both"
    assert all(each.clean for each in found.values())
    assert all(key["healed"] for key in found["instruments"].keys)
    assert all(
        _counts(each) == (0, 0, 0, 0) for each in _run(flowing, "prices", "instruments").values()
    )


def test_what_was_deleted_for_repair_comes_back_when_postgresql_has_it_again(
    flowing: Replica,
) -> None:
    """The deletion lies before every later insert."""
    _lose(flowing, "DELETE FROM instruments WHERE symbol = 'S31'")
    assert _counts(_run(flowing, "instruments", repair=True)["instruments"]) == (0, 1, 0, 1)
    flowing.sql("INSERT INTO instruments VALUES ('test', 'S31', 'B', 'Q', 'BACK', 1, 1, 0, now())")
    assert _run(flowing, "instruments")["instruments"].clean
    where = "WHERE venue = 'test' AND symbol = 'S31'"
    ((status,),) = flowing.cql(f"SELECT status FROM instruments {where}")
    assert status == "BACK"


def test_what_cannot_be_outranked_is_said_with_the_remedy(flowing: Replica) -> None:
    flowing.cql(
        f"UPDATE instruments USING TIMESTAMP {ALWAYS} SET status = 'FUTURE' "
        "WHERE venue = 'test' AND symbol = 'S41'"
    )
    found = _run(flowing, "instruments", repair=True)["instruments"]
    assert (_counts(found), found.clean) == ((0, 0, 1, 0), False)
    assert "tidemark resync" in found.not_healed
    flowing.sql("UPDATE instruments SET status = 'FUTURE' WHERE symbol = 'S41'")
    assert _run(flowing, "instruments")["instruments"].clean


def test_the_proof_stops_at_a_difference_and_goes_on_once_it_is_healed(flowing: Replica) -> None:
    """Also by passes that begin where the last one ended."""
    now = datetime.now(UTC)
    over = (now - timedelta(minutes=6)).replace(minute=0, second=0, microsecond=0)
    assert _run(flowing, "prices_by_day")["prices_by_day"].verified_through in {
        over,
        over + timedelta(hours=1),  # the clock went on
    }
    bad = over - timedelta(hours=2)
    _lose(
        flowing,
        "DELETE FROM prices WHERE symbol = 'S1' AND observed_at = date_trunc('hour', "
        f"'{bad:%Y-%m-%d %H:00+00}'::timestamptz) + interval '7 s'",
    )
    untouched = _run(flowing, "prices_by_day", since=bad + timedelta(hours=1))["prices_by_day"]
    assert (untouched.clean, untouched.verified_through) != (True, bad)
    found = _run(flowing, "prices_by_day")["prices_by_day"]
    assert (_counts(found), found.verified_through) == ((0, 1, 0, 0), bad)
    with keyspace.session(flowing.settings, Role.READER) as session:
        assert recall(session)["prices_by_day"].differences == 1
    healed = _run(flowing, "prices_by_day", incremental=True, repair=True)["prices_by_day"]
    assert _counts(healed) == (0, 1, 0, 1)
    assert healed.rows < found.rows, "it began at the hour that was not proved"
    assert (healed.verified_through or bad) >= over


def test_a_day_is_dropped_only_after_it_was_proved(flowing: Replica) -> None:
    """Cassandra keeps it; what is left is still equal."""
    day = datetime.now(UTC).date() - timedelta(days=3)
    flowing.sql("SELECT ensure_partition('prices', %s)", day)
    flowing.sql(
        "INSERT INTO prices (venue, symbol, observed_at, price) "
        "SELECT 'test', 'OLD', %s::date + j * interval '1 min', j FROM generate_series(1, 10) j",
        day,
    )
    flowing.cql("TRUNCATE verified_through")
    with pytest.raises(NotProved, match="proved through nothing"):
        drop_day(flowing.settings, "prices", day)
    assert all(each.clean for each in _run(flowing, "prices").values())
    _lose(flowing, "DELETE FROM prices WHERE symbol = 'OLD' AND price = 5")
    with pytest.raises(NotProved, match="prices_by_day differ"):
        drop_day(flowing.settings, "prices", day)
    assert all(each.clean for each in _run(flowing, "prices", repair=True).values())
    assert drop_day(flowing.settings, "prices", day)
    assert not drop_day(flowing.settings, "prices", day)
    assert all(each.clean for each in _run(flowing, "prices").values())
    kept = flowing.cql(
        "SELECT count(*) FROM prices_by_day WHERE venue = 'test' AND symbol = 'OLD' AND day = ?",
        datetime(day.year, day.month, day.day, tzinfo=UTC),
    )
    assert kept[0][0] == 9


class Told:
    """An announcer that keeps what it hears."""

    def __init__(self) -> None:
        self.complaints: list[str | None] = []

    def look(self, alarm: str, complaint: str | None, _now: datetime) -> None:
        assert alarm == "verification"
        self.complaints.append(complaint)

    def is_raised(self, _alarm: str) -> bool:
        return bool(self.complaints) and self.complaints[-1] is not None


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_the_watch_verifies_after_each_restart_of_the_connector(
    flowing: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, in a process of its own; what differs is an alarm, over once it is repaired."""
    for name, value in (flowing.stack.env | flowing.variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDEMARK_VERIFY_SHARE", "1")
    settings = WatchSettings()
    told = Told()
    check = VerificationCheck(settings, Store(settings), cast("Announcer", told))
    clock = datetime.now(UTC)

    def passes() -> None:
        nonlocal clock
        before = len(told.complaints)
        check.look(clock)
        clock += timedelta(seconds=settings.watch_verify_settle_s)

        def judged() -> bool:
            check.look(clock)
            return len(told.complaints) > before

        _until(judged)

    passes()
    assert told.complaints == [None]
    check.look(clock + timedelta(minutes=5))
    assert told.complaints == [None], "nothing was restarted, and the hour is not over"
    _lose(flowing, "DELETE FROM instruments WHERE symbol = 'S51'")
    with ConnectClient(flowing.settings) as connect:
        reader = Store(settings).slot_reader(slot_name(settings.generation))
        connect.restart_task(0)
    _until(
        lambda: Store(settings).slot_reader(slot_name(settings.generation)) not in {reader, None}
    )
    passes()
    (complaint,) = told.complaints[1:]
    assert complaint == (
        "Cassandra differs from PostgreSQL in 1 rows of instruments; "
        "`tidemark verify instruments --repair` heals it"
    )
    assert all(each.clean for each in _run(flowing, "instruments", repair=True).values())
    check.look(clock)
    check.look(clock + timedelta(minutes=2))
    assert told.complaints[-1] is None
