"""Touching rows in a real PostgreSQL: exactly the wanted ones get a new version, none moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdc.errors import BadCondition
from cdc.healing import Healer
from cdc.settings import CdcSettings
from cdc.tables import INSTRUMENTS, KLINES, TRADES
from contracts.naming import Role
from tests.conftest import Stack
from tests.integration.conftest import cdc_settings
from tests.integration.scratch import connect, fetch, migrated_database

pytestmark = pytest.mark.integration

TODAY = datetime.now(UTC).date()
NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
VERSIONS = "SELECT symbol, trade_id, tableoid::regclass::text, xmin::text::bigint FROM trades"


@pytest.fixture(scope="module")
def settings(postgres: Stack) -> Iterator[CdcSettings]:
    """A migrated database with 700 trades in two days, candles and instruments."""
    with migrated_database(postgres.settings) as endpoint:
        name = endpoint.postgres_database
        yield cdc_settings(postgres.env | {"TIDEMARK_POSTGRES_DATABASE": name})


@pytest.fixture
def owner(settings: CdcSettings) -> Iterator[Any]:
    connection = connect(settings)
    cursor = connection.cursor()
    cursor.execute("SET tidemark.allow_truncate = 'on'; TRUNCATE trades, klines, instruments")
    for day in (TODAY, TODAY - timedelta(days=1)):
        cursor.execute("SELECT ensure_partition('trades', %s)", (day,))
    cursor.execute(
        "INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity, "
        "quote_quantity, notional_usd, is_buyer_maker, is_best_match) "
        "SELECT 'v', s, i, %s - i * interval '4 min', 0, 1, 1, 1, i, true, true "
        "FROM generate_series(1, 350) i, unnest(ARRAY['ä''\"%%', 'B']) s",
        (NOON,),
    )
    yield connection
    connection.close()


def _versions(owner: Any) -> dict[tuple[str, int], tuple[str, int]]:
    """(partition, version) of each trade."""
    return {(symbol, trade): (where, xmin) for symbol, trade, where, xmin in fetch(owner, VERSIONS)}


def _touched(
    before: dict[tuple[str, int], tuple[str, int]], after: dict[tuple[str, int], tuple[str, int]]
) -> set[tuple[str, int]]:
    """Keys with a new version, after it was made sure that none was lost or moved."""
    assert {key: where for key, (where, _) in before.items()} == {
        key: where for key, (where, _) in after.items()
    }
    return {key for key, version in after.items() if before[key] != version}


def test_a_whole_table_is_touched_page_by_page(owner: Any, settings: CdcSettings) -> None:
    """Each row once, in transactions of at most a page."""
    before = _versions(owner)
    seen: list[int] = []
    with Healer(settings) as healer:
        assert healer.touch_where(TRADES, chunk_rows=99, on_progress=seen.append) == 700
    after = _versions(owner)
    assert _touched(before, after) == set(before)
    transactions = [version for _, version in after.values()]
    assert max(transactions.count(each) for each in set(transactions)) == 99
    assert seen == sorted(seen)
    assert seen[-1] == 700


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("symbol = 'B' AND trade_id % 50 = 0", {("B", i) for i in range(50, 351, 50)}),
        ("symbol LIKE 'ä%' AND trade_id <= 2 -- the first", {("ä'\"%", 1), ("ä'\"%", 2)}),
        ("NULLIF(symbol, 'B') IS NULL AND trade_id = (SELECT 7)", {("B", 7)}),
        ("NULL", set()),
    ],
)
def test_only_rows_of_the_condition_are_touched(
    owner: Any, settings: CdcSettings, where: str, wanted: set[tuple[str, int]]
) -> None:
    before = _versions(owner)
    with Healer(settings) as healer:
        assert healer.touch_where(TRADES, where, chunk_rows=3) == len(wanted)
    assert _touched(before, _versions(owner)) == wanted


def test_rows_of_given_keys_are_touched(owner: Any, settings: CdcSettings) -> None:
    """Keys that exist, in any order of their columns; times as ms since the epoch."""
    before = _versions(owner)
    ms = [int((NOON - i * timedelta(minutes=4)).timestamp() * 1000) for i in range(351)]
    with Healer(settings) as healer:
        keys = [("v", "B", ms[5], 5), ("v", "ä'\"%", ms[6], 6), ("v", "B", ms[5], 6)]
        assert healer.touch_keys(TRADES, keys) == 2
        turned = [(ms[8], "B", 8, "v")]
        assert healer.touch_keys(TRADES, turned, ("traded_at", "symbol", "trade_id", "venue")) == 1
        assert healer.touch_keys(TRADES, [("v", "B", ms[i], i) for i in range(1, 351)]) == 350
    assert _touched(before, _versions(owner)) == {("ä'\"%", 6)} | {("B", i) for i in range(1, 351)}


def test_tables_without_days_are_touched_too(owner: Any, settings: CdcSettings) -> None:
    """Keys whose texts sort as the database does, and times at which a calendar ends."""
    owner.cursor().execute(
        "INSERT INTO instruments SELECT 'v', chr(64 + i) || chr(97 + i), 'b', 'q', 's', 1, 1, 1, "
        "now() FROM generate_series(1, 58) i; "
        "INSERT INTO klines SELECT 'v', 's', '1m', t, t, 1, 1, 1, 1, 1, 1, 1, 1, 1, true, now() "
        "FROM unnest(ARRAY['-infinity', '20260101 BC', '1970-01-01', '294270-01-01', 'infinity']"
        "::timestamptz[]) t"
    )
    with Healer(settings) as healer:
        assert healer.touch_where(INSTRUMENTS, chunk_rows=1) == 58
        assert healer.touch_where(KLINES, chunk_rows=1) == 5
        assert healer.touch_keys(INSTRUMENTS, [("v", "Ab"), ("v", "none")]) == 1


def test_a_row_that_is_deleted_or_changed_meanwhile_stays_so(
    owner: Any, settings: CdcSettings
) -> None:
    """The page waits for the other transaction. What that one changed was sent by it."""
    before = _versions(owner)
    other = connect(settings)
    other.autocommit = False
    other.cursor().execute("UPDATE trades SET price = 9 WHERE symbol = 'B' AND trade_id = 1")
    other.cursor().execute("DELETE FROM trades WHERE symbol = 'B' AND trade_id = 2")
    ends = threading.Timer(0.5, other.commit)
    ends.start()
    with Healer(settings) as healer:
        healer.touch_where(TRADES, "symbol = 'B' AND trade_id < 4")
    ends.join()
    other.close()
    del before["B", 2]
    assert _touched(before, _versions(owner)) == {("B", 1), ("B", 3)}
    found = fetch(owner, "SELECT trade_id, price FROM trades WHERE symbol = 'B' AND trade_id < 4")
    assert sorted(found) == [(1, 9), (3, 1)]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("nosuch = 1", 'column "nosuch" does not exist'),
        ("symbol = ", "syntax error"),
        ("true); DELETE FROM trades WHERE (true", "without a semicolon"),
        ("true) OR (true", "syntax error"),  # it would begin each page anew, for ever
        ("1 / (trade_id - 7) > 0", "division by zero"),
        ("EXISTS (SELECT FROM pg_authid)", "permission denied"),
        ("symbol", "must be type boolean"),
    ],
)
@pytest.mark.usefixtures("owner")
def test_a_bad_condition_is_one_clear_line(settings: CdcSettings, where: str, why: str) -> None:
    with Healer(settings) as healer:
        with pytest.raises(BadCondition, match=why) as caught:
            healer.touch_where(TRADES, where)
        assert "\n" not in str(caught.value)
        assert healer.touch_where(TRADES, "trade_id = 1") == 2  # the connection goes on


def test_the_role_that_touches_may_not_delete(owner: Any) -> None:
    """What a condition could do is bounded by the role."""
    rights = fetch(
        owner,
        "SELECT has_table_privilege(%s, 'trades', 'DELETE, TRUNCATE, INSERT')",
        Role.REPAIR,
    )
    assert rights == [(False,)]
