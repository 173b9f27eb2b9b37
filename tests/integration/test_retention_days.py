"""Ten days go by in PostgreSQL: it stays small, nothing unproved is dropped, no DELETE is logged.

The days are real partitions of a real database, the last one was yesterday; what stands in for
Cassandra is the record of its proofs. With Cassandra: test_retention_pipeline.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from cdc.routes import BY_DAY, UNROUTED, routes_of
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.verification.expiry import Outcome, expire
from cdc.verification.proof import Proof
from cdc.verification.retention import NotProved, not_droppable
from contracts.naming import PUBLICATION, Role
from ingest.batch import Batch, MoversPoll
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import Connection, connect, fetch, value
from tests.market_rows import (
    SYMBOL,
    VENUE,
    certificate,
    depth,
    instrument,
    price,
    ticker,
    trade,
)

pytestmark = pytest.mark.integration

DAYS = 10
AHEAD = 2  # as the watch makes them, TIDEMARK_WATCH_DAYS_AHEAD
KEEP = {table: 1 if table == "outbox" else 3 for table in BY_DAY}
POLLS = 40  # a day
ROWS = {table: POLLS * (3 if table == "movers_24h" else 1) for table in BY_DAY}  # three rankings
SLOT = "retention_days"
DAY = timedelta(days=1)
HELD_UP = "trades"  # of one day is proved two days late
_CHANGES = {"I": "insert", "U": "update", "D": "delete", "T": "truncate"}


@pytest.fixture(scope="module")
def admin(database: PostgresEndpoint) -> Iterator[Connection]:
    """With a slot that keeps the log of the ten days."""
    with closing(connect(database, Role.POSTGRES_ADMIN)) as connection:
        value(connection, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", SLOT)
        yield connection
        value(connection, "SELECT pg_drop_replication_slot(%s)", SLOT)


def logged(admin: Connection) -> Counter[tuple[str, str]]:
    """(table, kind) of each change that the publication lets through, as pgoutput writes it."""
    messages = fetch(
        admin,
        "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, "
        "'proto_version', '1', 'publication_names', %s)",
        SLOT,
        PUBLICATION,
    )
    names: dict[bytes, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for (message,) in messages:
        data = bytes(message)
        kind, rest = chr(data[0]), data[1:]
        if kind == "R":  # relation: oid, schema, name
            names[rest[:4]] = rest[4:].split(b"\0")[1].decode()
        elif kind in _CHANGES:
            found[names[rest[:4]], _CHANGES[kind]] += 1
    return found


class Days:
    """The simulated calendar over one database."""

    def __init__(self, database: PostgresEndpoint, admin: Connection) -> None:
        self.store = Store(database, patience_s=5)
        self.admin = admin
        settings = CdcSettings(
            state_dir=database.state_dir,
            secrets_dir=database.secrets_dir,
            postgres_port=database.postgres_port,
            postgres_database=database.postgres_database,
        )
        self.watch = SourceDatabase(settings, Role.WATCH)
        self.proofs: dict[str, Proof] = {}
        self.dropped: list[tuple[str, date]] = []

    def make_ahead(self, today: date) -> None:
        for ahead in range(AHEAD + 1):
            for table in BY_DAY:
                fetch(self.admin, "SELECT ensure_partition(%s, %s)", table, today + ahead * DAY)

    def fill(self, day: date) -> None:
        """ROWS of each table, all through the day."""
        noon = datetime.combine(day, time(12), tzinfo=UTC)
        moments = [noon + timedelta(minutes=minute) for minute in range(POLLS)]
        number = day.toordinal() * POLLS
        self.store.write(
            Batch(
                instruments=[instrument()],
                prices=[price(observed_at=at) for at in moments],
                depth=[depth(observed_at=at) for at in moments],
                trades=[trade(number + each, traded_at=at) for each, at in enumerate(moments)],
                certificates=[certificate(open_time=at) for at in moments],
                watched=frozenset({SYMBOL}),
            )
        )
        for at in moments:
            poll = MoversPoll(venue=VENUE, snapshot_at=at, quote_assets=("USDT",), ranks=1)
            tickers = [ticker(as_of=at)]
            self.store.write(Batch(tickers=tickers, watched=frozenset({SYMBOL}), movers=poll))
        for table, columns in (
            ("heartbeat (beat_at, source)", "'test'"),
            (
                "outbox (created_at, aggregatetype, aggregateid, type, payload)",
                "'crypto.prices.raw', 'k', 't', '{}'",
            ),
        ):
            self.admin.cursor().execute(
                f"INSERT INTO {table} SELECT at, {columns} FROM unnest(%s) AS at", (moments,)
            )

    def prove(self, through: date, *, except_of: str = "") -> None:
        """As a verification just after midnight would."""
        moment = datetime.combine(through, time(), tzinfo=UTC)
        for table in BY_DAY:
            for route in routes_of(table):
                if table != except_of:
                    self.proofs[route.table] = Proof(through=moment)

    def drop(self, table: str, day: date) -> bool:
        """As cdc.verification.retention.drop_day, without comparing the day again."""
        lacking = not_droppable(self.proofs, table, day)
        if lacking:
            raise NotProved(lacking)
        self.dropped.append((table, day))
        ((gone,),) = self.watch.query("SELECT drop_partition(%s, %s)", (table, day))
        return bool(gone)

    def retain(self, today: date) -> list[Outcome]:
        return expire(self.watch, KEEP, self.drop, today)

    def bytes_held(self) -> int:
        total: int = value(
            self.admin,
            "SELECT sum(pg_total_relation_size(t.relid))::bigint FROM unnest(%s::text[]) AS name, "
            "pg_partition_tree(name::regclass) AS t WHERE t.isleaf",
            list(BY_DAY),
        )
        return total

    def rows(self, table: str) -> dict[date, int]:
        time_of = {"outbox": "created_at", "heartbeat": "beat_at"}
        column = time_of.get(table) or str(routes_of(table)[0].source.time)
        found: list[Any] = fetch(
            self.admin,
            f"SELECT ({column} AT TIME ZONE 'UTC')::date, count(*) FROM {table} GROUP BY 1",
        )
        return dict(found)


@pytest.fixture(scope="module")
def days(database: PostgresEndpoint, admin: Connection) -> Iterator[Days]:
    made = Days(database, admin)
    yield made
    made.store.close()
    made.watch.close()


def test_ten_days_go_by(days: Days) -> None:
    """Partitions are made ahead and dropped by age, behind what is proved, without a DELETE."""
    last = datetime.now(UTC).date() - DAY
    calendar = [last - number * DAY for number in reversed(range(DAYS))]
    stuck = calendar[3]
    held_bytes = []
    for today in calendar:
        days.make_ahead(today)
        held_up = stuck < today <= stuck + 5 * DAY
        days.prove(today, except_of=HELD_UP if held_up else "")
        outcomes = days.retain(today)
        days.fill(today)
        for table in BY_DAY:
            first = max(calendar[0], today - KEEP[table] * DAY)
            if held_up and table == HELD_UP:
                first = min(first, stuck)
            held = days.rows(table)
            assert min(held) == first, (table, today)
            assert set(held.values()) == {ROWS[table]}, (table, today)
        late = {each.table for each in outcomes if each.reason}
        assert late <= {HELD_UP}
        assert bool(late) == (held_up and today > stuck + KEEP[HELD_UP] * DAY)
        held_bytes.append(days.bytes_held())
    assert held_bytes[-1] <= held_bytes[4] * 1.25, "it grows no more once the first days went"
    found = logged(days.admin)
    for table in BY_DAY:
        assert found[table, "insert"] == DAYS * ROWS[table]
    kinds = Counter(kind for (_table, kind), count in found.items() for _ in range(count))
    assert kinds["delete"] == kinds["truncate"] == 0
    assert len(days.dropped) == len(set(days.dropped)) > DAYS


def test_what_was_dropped_is_on_record_and_takes_late_rows(days: Days) -> None:
    """A row of a dropped day makes its partition anew; the next pass drops it again."""
    table, day = next(each for each in days.dropped if each[0] == "prices")
    recorded = fetch(days.admin, "SELECT table_name, day FROM dropped_days")
    assert set(days.dropped) == set(recorded)
    late = datetime.combine(day, time(3), tzinfo=UTC)
    days.store.write(Batch(prices=[price(observed_at=late)]))
    assert days.rows(table)[day] == 1
    today = datetime.now(UTC).date()
    days.prove(today)
    days.retain(today)
    assert day not in days.rows(table)


def test_nobody_drops_a_day_that_is_not_over(days: Days) -> None:
    """Whatever a caller's clock says: the function asks the database's."""
    ahead = datetime.now(UTC).date() + 30 * DAY
    days.make_ahead(datetime.now(UTC).date())
    days.prove(ahead)
    outcomes = []
    with pytest.raises(Exception, match="is not over"):
        outcomes = days.retain(ahead)
    assert outcomes == []


def test_the_outbox_has_no_proof_of_its_own() -> None:
    """It feeds no table: a fence is passed instead (test_retention_pipeline.py)."""
    assert set(UNROUTED) == {"outbox"}
    assert not_droppable({}, "outbox", date(2026, 1, 1)) is None


def test_rows_that_were_set_aside_long_ago_go(
    database: PostgresEndpoint, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time; younger ones stay, and the watch may do nothing else to them."""
    monkeypatch.setattr("cdc.source._A_DELETE", 10)
    month_ago = datetime.now(UTC) - timedelta(days=30)
    cursor = admin.cursor()
    cursor.execute("DELETE FROM quarantine")
    for count, at in ((25, month_ago - DAY), (3, month_ago + DAY)):
        cursor.execute(
            "INSERT INTO quarantine (source, endpoint, reason, raw, received_at) "
            "SELECT 'v', 'e', 'r', '', %s FROM generate_series(1, %s)",
            (at, count),
        )
    watch = Days(database, admin).watch
    with closing(watch):
        assert watch.drop_quarantine(month_ago) == 25
        assert watch.drop_quarantine(month_ago) == 0
    assert value(admin, "SELECT count(*) FROM quarantine") == 3
