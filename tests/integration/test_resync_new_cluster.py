"""A cluster that has never dropped a day: what only Cassandra has of the past stays history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cdc.generation import current
from tests.integration.conftest import Replica, generations

pytestmark = pytest.mark.integration

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
UNTOUCHED, WHILE, AFTER = (TODAY - timedelta(days=days) for days in (5, 4, 3))
PAST = (UNTOUCHED, WHILE, AFTER)
TOLD = "SELECT day, dropped_at FROM dropped_days WHERE table_name = 'prices' ORDER BY day"
PRICES = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'v', 'S' || i %% 3, %s + i * interval '1 s', i FROM generate_series(1, 90) i
"""
LATE_PRICE = "INSERT INTO prices (venue, symbol, observed_at, price) VALUES ('v', 'S0', %s, 1)"


@pytest.fixture(scope="module")
def emptied(replica: Replica) -> Iterator[Replica]:
    """Prices of four days in Cassandra; PostgreSQL has today's, and knows of no other."""
    next(generations(replica.stack))  # the number that the resync here takes
    for day in (*PAST, TODAY):
        replica.sql("SELECT ensure_partition('prices', %s)", day.date())
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        for day in (*PAST, TODAY):
            replica.sql(PRICES, day)
        proved = replica.tidemark("verify", "prices")
        assert proved.returncode == 0, proved.stdout + proved.stderr
        for day in PAST:
            replica.sql("SELECT drop_partition('prices', %s)", day.date())
        replica.sql("DELETE FROM dropped_days")
        yield replica
    replica.variables["TIDEMARK_GENERATION"] = str(current(replica.settings).generation)


def _late(replica: Replica, day: datetime) -> None:
    replica.sql("SELECT ensure_partition('prices', %s)", day.date())
    replica.sql(LATE_PRICE, day)


def _in_cassandra(replica: Replica, day: datetime) -> int:
    rows = replica.cql(
        "SELECT count(*) AS rows FROM prices_by_day "
        "WHERE venue = 'v' AND symbol IN ('S0', 'S1', 'S2') AND day = ?",
        day,
    )
    return int(rows[0].rows)


def test_history_outlives_a_cluster_and_a_late_row(emptied: Replica) -> None:
    """One day is made again while the resync is at work, one when it is done; then repair."""
    killed = emptied.tidemark("resync", TIDEMARK_FAILPOINT="after_stage:kill:1")
    assert killed.returncode == -9, killed.stdout + killed.stderr
    _late(emptied, WHILE)
    swept = emptied.tidemark("resync", "--json")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert json.loads(swept.stdout)["continued"]
    _late(emptied, AFTER)

    repaired = emptied.tidemark("verify", "--repair", "--json", "prices")

    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert all(table["clean"] for table in json.loads(repaired.stdout)["tables"])
    held = {day: _in_cassandra(emptied, day) for day in (*PAST, TODAY)}
    assert held == {UNTOUCHED: 90, WHILE: 91, AFTER: 91, TODAY: 90}
    assert [day for day, _ in emptied.sql(TOLD)] == [day.date() for day in PAST]
