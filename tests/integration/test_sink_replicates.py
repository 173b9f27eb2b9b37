"""SQL in PostgreSQL to rows in Cassandra, through the real connector: the cases that lose rows."""

from __future__ import annotations

import io
import time
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from contracts.naming import Role
from tests.integration.conftest import Replica
from tests.integration.sinking import wait_until

pytestmark = pytest.mark.integration

INSTRUMENT = "INSERT INTO instruments VALUES ('v', %s, 'B', 'Q', %s, 1, 1, 0, now())"
TRADE = (
    "INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity, "
    "quote_quantity, notional_usd, is_buyer_maker, is_best_match) VALUES ('v', 'S', %s, "
    "date_trunc('milliseconds', now()), 1, 1, 1, 1, %s, true, false)"
)
DEPTH = (
    "INSERT INTO depth (venue, symbol, observed_at, last_update_id, bids, asks, best_bid, "
    "best_bid_quantity, best_ask, best_ask_quantity, spread, imbalance) "
    "SELECT 'v', 'S', date_trunc('milliseconds', now()), 1, "
    "(SELECT jsonb_agg(jsonb_build_array(md5(k::text), md5(k::text || 'q'))) "
    "FROM generate_series(1, 1000) k), '[]', 1, 1, 1, 1, 0, 0"
)


@pytest.fixture(scope="module")
def running(replica: Replica) -> Any:
    """The replica with its connector and its sink."""
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        yield replica


def transaction(replica: Replica, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Run statements as the owner, committed together."""
    dsn: Any = replica.settings.postgres_dsn(Role.OWNER)
    connection = psycopg2.connect(**dsn)
    with connection, connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values or None)
    connection.close()


def caught_up(replica: Replica) -> None:
    """Wait until a row that is written now is in Cassandra."""
    (row,) = replica.sql(
        "INSERT INTO events (venue, kind, message) VALUES ('mark', 'test', 'm') RETURNING id"
    )
    found = "SELECT id FROM events_by_day WHERE venue = 'mark' ALLOW FILTERING"
    wait_until(lambda: any(each.id == row[0] for each in replica.cql(found)))


def statuses(replica: Replica) -> dict[str, str]:
    """{symbol: status} as Cassandra holds it."""
    rows = replica.cql("SELECT symbol, status FROM instruments WHERE venue = 'v'")
    return {row.symbol: row.status for row in rows}


def settled(replica: Replica, expected: dict[str, str]) -> bool:
    """Whether these instruments are as expected; '' where there must be none."""
    caught_up(replica)
    found = statuses(replica)
    return all(found.get(symbol, "") == status for symbol, status in expected.items())


def test_many_changes_of_a_key_in_one_transaction_end_at_the_last(running: Replica) -> None:
    """Inserted, changed twelve times, deleted, inserted again."""
    rename = "UPDATE instruments SET status = %s WHERE symbol = %s"
    transaction(
        running,
        (INSTRUMENT, ("HOT", "0")),
        *((rename, (str(n), "HOT")) for n in range(1, 13)),
        ("DELETE FROM instruments WHERE symbol = 'HOT'", ()),
        (INSTRUMENT, ("HOT", "again")),
        (INSTRUMENT, ("GONE", "x")),
        ("DELETE FROM instruments WHERE symbol = 'GONE'", ()),
    )
    wait_until(lambda: settled(running, {"HOT": "again", "GONE": ""}))


def test_keys_that_are_swapped_in_one_transaction_are_swapped(running: Replica) -> None:
    """Each key update is a delete and a create at one LSN."""
    move = "UPDATE instruments SET symbol = %s WHERE symbol = %s"
    transaction(running, (INSTRUMENT, ("X", "first")), (INSTRUMENT, ("Y", "second")))
    transaction(running, (move, ("T", "X")), (move, ("X", "Y")), (move, ("Y", "T")))
    wait_until(lambda: settled(running, {"X": "second", "Y": "first", "T": ""}))


def test_a_row_that_is_touched_keeps_its_large_values(running: Replica) -> None:
    """The levels of a book are TOASTed, and the touch does not change them."""
    transaction(running, (DEPTH, ()))
    transaction(running, ("UPDATE depth SET last_update_id = 2", ()))
    ((bids,),) = running.sql("SELECT bids::text FROM depth")

    def arrived() -> bool:
        rows = running.cql("SELECT bids, last_update_id FROM depth_by_hour")
        latest = running.cql("SELECT bids FROM latest_depth")
        return [(each.bids, each.last_update_id) for each in rows] == [(bids, 2)] and [
            each.bids for each in latest
        ] == [bids]

    wait_until(arrived)


def test_large_trades_come_and_go_with_the_tape(running: Replica) -> None:
    """A deleted trade is gone in both, a small one was never among the large."""
    transaction(running, *((TRADE, (n, amount)) for n, amount in ((1, 5), (2, 100_001), (3, 1e6))))
    transaction(running, ("DELETE FROM trades WHERE trade_id = 2", ()))

    def arrived() -> bool:
        tape = running.cql("SELECT trade_id, notional_usd FROM trades_by_hour")
        large = running.cql("SELECT trade_id FROM large_trades_by_day")
        return {(each.trade_id, each.notional_usd) for each in tape} == {
            (1, Decimal(5)),
            (3, Decimal(1_000_000)),
        } and [each.trade_id for each in large] == [3]

    wait_until(arrived)


def test_a_number_that_is_none_goes_to_the_dead_letters_alone(running: Replica) -> None:
    """PostgreSQL's NaN: the rows around it arrive."""
    transaction(
        running, (TRADE, (10, 1)), (TRADE, (11, Decimal("NaN"))), (TRADE, (12, Decimal("1E-18")))
    )

    def arrived() -> bool:
        tape = running.cql("SELECT trade_id, notional_usd FROM trades_by_hour")
        found = {each.trade_id: each.notional_usd for each in tape if each.trade_id >= 10}
        return found == {10: Decimal(1), 12: Decimal("1E-18")}

    wait_until(arrived)


def test_copied_rows_all_arrive(running: Replica) -> None:
    """They share LSNs, up to 202 a page."""
    lines = "".join(f"v\tC{n}\t2026-11-20 22:00:00+00\t{n}\n" for n in range(1, 5001))
    running.sql("SELECT ensure_partition('prices', '2026-11-20')")
    dsn: Any = running.settings.postgres_dsn(Role.OWNER)
    connection = psycopg2.connect(**dsn)
    with connection, connection.cursor() as cursor:
        copy = "COPY prices (venue, symbol, observed_at, price) FROM STDIN"
        cursor.copy_expert(copy, io.StringIO(lines))
    connection.close()

    def arrived() -> bool:
        rows = running.cql("SELECT symbol, price FROM latest_prices WHERE venue = 'v'")
        return {each.symbol: each.price for each in rows} == {
            f"C{n}": Decimal(n) for n in range(1, 5001)
        }

    wait_until(arrived)


def test_a_truncate_is_said_and_not_swallowed(running: Replica) -> None:
    """Last here: this table's replication halts, and rows stay in Cassandra."""
    before = statuses(running)
    transaction(
        running, ("SET LOCAL tidemark.allow_truncate = 'on'", ()), ("TRUNCATE instruments", ())
    )
    later: list[str] = []

    def halted() -> bool:
        """Whether a row that is written now stays away; other partitions may still be ahead."""
        later.append(f"AFTER-{len(later)}")
        transaction(running, (INSTRUMENT, (later[-1], "x")))
        caught_up(running)
        time.sleep(0.5)
        return later[-1] not in statuses(running)

    wait_until(halted)
    assert before.items() <= statuses(running).items()
