"""Ten days through the whole pipeline: PostgreSQL drops them, Cassandra keeps them, both agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from contracts.naming import Role
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
DAYS = [TODAY - number * DAY for number in reversed(range(10))]  # the last is today
A_DAY = 60
KEEP = {"TIDEMARK_RETAIN_PRICES_DAYS": "3", "TIDEMARK_RETAIN_OUTBOX_DAYS": "1"}
PRICES = (
    "INSERT INTO prices (venue, symbol, observed_at, price) "
    "SELECT 'v', 'S' || i %% 3, %s + i * interval '1 min', i FROM generate_series(1, %s) i"
)
OUTBOX = (
    "INSERT INTO outbox (created_at, aggregatetype, aggregateid, type, payload) "
    "SELECT %s + i * interval '1 min', 'crypto.prices.dlq', 'k', 't', jsonb_build_object('i', i) "
    "FROM generate_series(1, %s) i"
)


def start(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


@pytest.fixture(scope="module")
def flowing(replica: Replica) -> Iterator[Replica]:
    """Prices and events of ten days, all of them captured."""
    for day in DAYS:
        for table in ("prices", "outbox"):
            replica.sql("SELECT ensure_partition(%s, %s)", table, day)
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        for day in DAYS:
            replica.sql(PRICES, start(day), A_DAY)
            replica.sql(OUTBOX, start(day), A_DAY)
        yield replica


def apply(replica: Replica) -> dict[tuple[str, date], str]:
    """(table, day) → why it stays, '' where it went."""
    done = replica.tidemark("retention", "apply", "--json", **KEEP)
    assert done.returncode in {0, 1}, done.stderr
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)["days"]
    kept = any(each["reason"] for each in outcomes)
    assert done.returncode == int(kept)
    return {(each["table"], date.fromisoformat(each["day"])): each["reason"] for each in outcomes}


def verified(replica: Replica) -> None:
    done = replica.tidemark("verify", "--full-speed")
    assert done.returncode == 0, done.stdout + done.stderr


def days_of(replica: Replica, table: str) -> set[date]:
    column = "observed_at" if table == "prices" else "created_at"
    rows = replica.sql(f"SELECT DISTINCT ({column} AT TIME ZONE 'UTC')::date FROM {table}")
    return {day for (day,) in rows}


def kept_by_cassandra(replica: Replica, day: date) -> int:
    rows = replica.cql(
        "SELECT count(*) AS rows FROM prices_by_day "
        "WHERE venue = 'v' AND symbol IN ('S0', 'S1', 'S2') AND day = ?",
        start(day),
    )
    return int(rows[0].rows)


def test_nothing_goes_before_it_is_proved(flowing: Replica) -> None:
    """The outbox feeds no table: its days go as soon as the log is read beyond them."""
    flowing.cql("TRUNCATE verified_through")
    outcomes = apply(flowing)
    assert all("proved through nothing" in outcomes["prices", day] for day in DAYS[:6])
    assert days_of(flowing, "prices") == set(DAYS)
    assert days_of(flowing, "outbox") == set(DAYS[-2:])


def test_a_day_that_differs_stays(flowing: Replica) -> None:
    """Rows that Cassandra lost after they were proved are found before their day is dropped."""
    verified(flowing)
    ((newest,),) = flowing.cql(
        "SELECT max(writetime(price)) FROM prices_by_day "
        "WHERE venue = 'v' AND symbol = 'S1' AND day = ?",
        start(DAYS[2]),
    )
    flowing.cql(
        f"DELETE FROM prices_by_day USING TIMESTAMP {newest} "
        "WHERE venue = 'v' AND symbol = 'S1' AND day = ?",
        start(DAYS[2]),
    )
    planned = flowing.tidemark("retention", "plan", "--json", **KEEP)
    (prices,) = [each for each in json.loads(planned.stdout)["tables"] if each["table"] == "prices"]
    assert prices["expired"] == {day.isoformat(): "" for day in DAYS[:6]}
    outcomes = apply(flowing)
    assert [outcomes["prices", day] for day in DAYS[:2]] == ["", ""]
    assert "prices_by_day differ" in outcomes["prices", DAYS[2]]
    assert all("proved through" in outcomes["prices", day] for day in DAYS[3:6])
    assert days_of(flowing, "prices") == set(DAYS[2:])


def test_once_it_is_healed_the_rest_goes(flowing: Replica) -> None:
    """By `tidemark verify --repair`, as the reason says."""
    healed = flowing.tidemark("verify", "prices", "--repair", "--full-speed")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert set(apply(flowing).values()) == {""}
    assert days_of(flowing, "prices") == set(DAYS[-4:])


def test_cassandra_keeps_what_postgresql_dropped(flowing: Replica) -> None:
    """Nothing was deleted there, and both are equal over what PostgreSQL retains."""
    recorded = flowing.sql("SELECT day FROM dropped_days WHERE table_name = 'prices'")
    assert {day for (day,) in recorded} == set(DAYS[:6])
    assert {kept_by_cassandra(flowing, day) for day in DAYS[:6]} == {A_DAY}
    verified(flowing)
    late = start(DAYS[0]) + timedelta(hours=5)
    flowing.sql("SELECT ensure_partition('prices', %s)", DAYS[0], role=Role.INGEST)
    flowing.sql(
        "INSERT INTO prices (venue, symbol, observed_at, price) VALUES ('v', 'S0', %s, 1)", late
    )
    done = flowing.tidemark("verify", "prices_by_day", "--full-speed", "--json")
    (report,) = json.loads(done.stdout)["tables"]
    assert report["extra"] == 0, "a day that was dropped and made again has no rows too many"
    assert kept_by_cassandra(flowing, DAYS[0]) == A_DAY + 1
