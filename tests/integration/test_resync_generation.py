"""A new generation on the real parts: what changed while the slot was away, and what is history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cdc import keyspace
from cdc.connector.client import ConnectClient
from cdc.errors import SweepRefused
from cdc.generation import current
from cdc.resync import finish
from cdc.source import SourceDatabase
from cdc.sweep import sweep
from contracts.naming import MAX_GENERATION, Role, slot_name
from tests.integration.conftest import Replica, generations
from tests.integration.sinking import wait_until

pytestmark = pytest.mark.integration

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
OLD_DAY = TODAY - timedelta(days=2)
STAGES = ("connector", "retire", "snapshot", "apply", "sweep")
NEW_GENERATIONS = 6  # that resyncs here begin, at most
UNFINISHED = "SELECT message FROM events WHERE message LIKE 'resync_unfinished: a resync to %%'"
PRICES = """
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'v', 'S' || i %% 3, %s + i * interval '1 s', i FROM generate_series(1, 90) i
"""
INSTRUMENTS = """
INSERT INTO instruments SELECT 'v', 'S' || i, 'b', 'q', 'TRADING', 1, 1, 1, now()
FROM generate_series(1, 40) i
"""
LATE_PRICE = "INSERT INTO prices (venue, symbol, observed_at, price) VALUES ('v', 'S0', %s, 1)"
GHOST = "INSERT INTO instruments (venue, symbol, ingested_at_us) VALUES ('v', 'GHOST', 1)"


@pytest.fixture(scope="module")
def flowing(replica: Replica) -> Iterator[Replica]:
    """Instruments and prices, all in Cassandra; a day of prices is dropped, then late for a row."""
    for _ in range(NEW_GENERATIONS):
        next(generations(replica.stack))  # numbers that no other test may take
    for day in (OLD_DAY, TODAY):
        replica.sql("SELECT ensure_partition('prices', %s)", day.date())
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        for day in (OLD_DAY, TODAY):
            replica.sql(PRICES, day)
        replica.sql(INSTRUMENTS)
        _verified(replica, "prices", "instruments")
        replica.sql("SELECT drop_partition('prices', %s)", OLD_DAY.date())
        replica.sql("SELECT ensure_partition('prices', %s)", OLD_DAY.date())
        replica.sql(LATE_PRICE, OLD_DAY)
        yield replica
    replica.variables["TIDEMARK_GENERATION"] = str(current(replica.settings).generation)


def _verified(replica: Replica, *tables: str) -> None:
    done = replica.tidemark("verify", "--json", *tables)
    assert done.returncode == 0, done.stdout + done.stderr


def _resync(replica: Replica, *arguments: str) -> dict[str, Any]:
    done = replica.tidemark("resync", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _removed(report: dict[str, Any]) -> dict[str, int]:
    return {table["table"]: table["removed"] for table in report["tables"] if table["removed"]}


def _prices_of(replica: Replica, day: datetime) -> int:
    rows = replica.cql(
        "SELECT count(*) AS rows FROM prices_by_day "
        "WHERE venue = 'v' AND symbol IN ('S0', 'S1', 'S2') AND day = ?",
        day,
    )
    return int(rows[0].rows)


def _slots(replica: Replica) -> list[str]:
    found = replica.sql(
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    )
    return [slot for (slot,) in found]


def test_history_of_a_day_that_was_made_again_is_not_compared(flowing: Replica) -> None:
    """PostgreSQL holds one late row of it: one cell is looked at, not each that Cassandra has."""
    found = flowing.tidemark("verify", "--json", "--since", f"{OLD_DAY:%Y-%m-%d}", "prices_by_day")
    (table,) = json.loads(found.stdout)["tables"]
    assert (table["clean"], table["cells_read"]) == (True, 1)


def test_after_a_lost_slot_cassandra_has_what_postgresql_has_and_history_stays(
    flowing: Replica,
) -> None:
    """Rows deleted, changed and new while no slot was there; a ghost; a day that was dropped."""
    old = current(flowing.settings)
    with ConnectClient(old) as connect:
        connect.stop()
    flowing.drop_slot()
    flowing.sql("DELETE FROM prices WHERE symbol = 'S1'")
    flowing.sql("UPDATE prices SET price = price + 0.5 WHERE symbol = 'S2'")
    flowing.sql("DELETE FROM instruments WHERE symbol LIKE 'S1%'")
    flowing.sql("UPDATE instruments SET status = 'HALT' WHERE symbol = 'S2'")
    flowing.sql("INSERT INTO instruments VALUES ('v', 'NEW', 'b', 'q', 's', 1, 1, 1, now())")
    refused = flowing.tidemark("connector", "apply")
    assert (refused.returncode, "`tidemark resync`" in refused.stderr) == (1, True)
    aborted = (old.generation + 1) << 56 | 8 << 6  # a row of an attempt at the next snapshot
    flowing.cql(f"{GHOST} USING TIMESTAMP {aborted}")

    report = _resync(flowing)

    assert (report["generation"], report["continued"]) == (old.generation + 1, False)
    assert _removed(report) == {
        "prices_by_day": 30,
        "latest_prices": 1,
        "instruments": 12,
    }
    assert (_prices_of(flowing, TODAY), _prices_of(flowing, OLD_DAY)) == (60, 91)
    _verified(flowing, "prices", "instruments")
    assert _slots(flowing) == [slot_name(report["generation"])]
    with ConnectClient(old) as connect:
        assert connect.status() is None


def test_a_resync_that_is_killed_goes_on_where_it_was(flowing: Replica) -> None:
    """Killed behind each of its stages; offsets are gone, and rows are deleted meanwhile."""
    old = current(flowing.settings)
    with ConnectClient(old) as connect:
        connect.stop()
        url = f"{old.connect_url}/connectors/{connect.name}/offsets"
    httpx.delete(url, timeout=30).raise_for_status()
    flowing.sql("DELETE FROM instruments WHERE symbol LIKE 'S2%'")
    for passing in range(1, len(STAGES) + 1):
        killed = flowing.tidemark("resync", TIDEMARK_FAILPOINT=f"after_stage:kill:{passing}")
        assert killed.returncode == -9, killed.stdout + killed.stderr
    report = _resync(flowing)
    assert (report["generation"], report["continued"]) == (old.generation + 1, True)
    assert list(report["seconds"]) == list(STAGES)
    assert _prices_of(flowing, OLD_DAY) == 91
    _verified(flowing, "prices", "instruments")
    assert flowing.cql("SELECT symbol FROM instruments WHERE venue = 'v' AND symbol = 'S20'") == []
    assert _slots(flowing) == [slot_name(report["generation"])]
    assert _resync(flowing)["generation"] == old.generation + 2  # the finished one is not taken up


def test_a_resync_that_is_killed_at_its_beginning_is_told(flowing: Replica) -> None:
    """It has stopped the old connector, and nothing else of it shows anywhere."""
    old = current(flowing.settings)
    killed = flowing.tidemark("resync", TIDEMARK_FAILPOINT="in_resync_begin:kill:1")
    assert killed.returncode == -9, killed.stdout + killed.stderr
    assert current(flowing.settings).generation == old.generation
    with flowing.process("watch", TIDEMARK_WATCH_VERIFY_PERIOD_S="0"):
        wait_until(lambda: bool(flowing.sql(UNFINISHED)), 60)
        ((message,),) = flowing.sql(UNFINISHED)
        assert f"to generation {old.generation + 1} has ended before it was complete" in message
        assert _resync(flowing)["generation"] == old.generation + 1
    _verified(flowing, "instruments")


def test_ghosts_of_an_aborted_first_snapshot_go_without_a_resync(flowing: Replica) -> None:
    """What the watch does once for each generation."""
    settings = current(flowing.settings)
    flowing.cql(f"{GHOST} USING TIMESTAMP {settings.generation << 56 | 8 << 6}")
    assert sum(table.removed for table in finish(settings)) == 1
    _verified(flowing, "instruments")


def test_a_sweep_of_most_of_a_table_asks_first(flowing: Replica) -> None:
    """A PostgreSQL that has lost its rows must not empty Cassandra unasked."""
    flowing.sql(
        "INSERT INTO instruments SELECT 'many', 'S' || i, 'b', 'q', 's', 1, 1, 1, now() "
        "FROM generate_series(1, 1500) i"
    )
    _verified(flowing, "instruments")
    settings = flowing.settings
    with (
        keyspace.session(settings, Role.SINK) as session,
        SourceDatabase(settings) as source,
        pytest.raises(SweepRefused, match=r"rows of instruments are not in PostgreSQL"),
    ):
        sweep(session, source, MAX_GENERATION, None)  # of which no row is: all are older
    _verified(flowing, "instruments")


def test_rows_of_a_table_are_sent_again_while_all_goes_on(flowing: Replica) -> None:
    """What Cassandra lost is back; nothing else was touched."""
    version = "SELECT symbol, xmin::text FROM instruments WHERE venue = 'v'"
    before = dict(flowing.sql(version))
    flowing.cql(
        "DELETE FROM instruments USING TIMESTAMP ? WHERE venue = 'v' AND symbol = 'S30'",
        (current(flowing.settings).generation << 56) + (1 << 55) - 1,
    )
    assert flowing.tidemark("verify", "instruments").returncode == 1
    report = _resync(flowing, "instruments", "--where", "venue = 'v' AND symbol IN ('S30', 'S31')")
    assert (report["table"], report["touched"]) == ("instruments", 2)
    after = dict(flowing.sql(version))
    assert {each for each in after if after[each] != before[each]} == {"S30", "S31"}
    _verified(flowing, "instruments")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("instruments", "--where", "nosuch > 1"), 'column "nosuch" does not exist'),
        (("nosuch",), "no table is called 'nosuch'"),
        (("--where", "true"), "--where needs a TABLE"),
    ],
)
def test_misuse_is_told_and_ends_with_two(
    flowing: Replica, arguments: tuple[str, ...], why: str
) -> None:
    done = flowing.tidemark("resync", *arguments)
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
