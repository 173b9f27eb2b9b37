"""Thousands of rows by COPY: whatever is there already, they end as the upsert would have it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from contracts.market import Kline, Trade
from contracts.naming import Role
from ingest import admission, bulk, transactions
from ingest.batch import BackfillProgress, Batch, Written
from ingest.rows import Prepared
from ingest.session import Cursor
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.integration.ingesting import eventually
from tests.integration.scratch import Connection, connect, empty, fetch, run_as, value
from tests.market_rows import MINUTE, NOON, SYMBOL, VENUE, kline, trade

pytestmark = pytest.mark.integration

COUNT = 2 * bulk.MANY
UNSAMPLED = 7
WAITS = "SELECT FROM pg_locks WHERE NOT granted"
PROGRESS = BackfillProgress(
    venue=VENUE,
    symbol=SYMBOL,
    stream="klines_1m",
    start_time=NOON,
    next_time=NOON + COUNT * MINUTE,
    source="rest",
    checksum="",
)


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where COPY went, also in vain."""
    found: list[str] = []
    copy = bulk._copy

    def told(cursor: Cursor, target: str, table: str, rows: Any) -> int:
        found.append(target)
        return copy(cursor, target, table, rows)

    monkeypatch.setattr(bulk, "_copy", told)
    return found


def candles(**changes: Any) -> list[Kline]:
    return [kline(minute, **changes) for minute in range(COUNT)]


def trades(**changes: Any) -> list[Trade]:
    return [trade(number, **changes) for number in range(COUNT)]


def newer(rows: list[Kline]) -> list[Kline]:
    later = timedelta(hours=1)
    return [msgspec.structs.replace(row, close=row.low, as_of=row.as_of + later) for row in rows]


STRAIGHT, STAGED = ["klines"], ["stage_klines"]
THERE: dict[str, tuple[list[Kline], list[str]]] = {
    "nothing": ([], STRAIGHT),
    "the same": (candles(), STAGED),
    "every other one": (candles()[::2], STAGED),
    "the newest": (candles()[-1:], STAGED),
    "one that no sample meets": (candles()[UNSAMPLED : UNSAMPLED + 1], STRAIGHT + STAGED),
    "a newer one that no sample meets": (
        newer(candles()[UNSAMPLED : UNSAMPLED + 1]),
        STRAIGHT + STAGED,
    ),
    "newer ones": (newer(candles()), STAGED),
    "open ones": (candles(is_closed=False, close=Decimal(67001)), STAGED),
    "other symbols": (candles(symbol="ETHUSDT"), STRAIGHT),
}


@pytest.mark.parametrize(("there", "ways"), THERE.values(), ids=THERE)
def test_copy_leaves_what_an_upsert_leaves(
    store: Store, owner: Connection, targets: list[str], there: list[Kline], ways: list[str]
) -> None:
    """The same rows, the same versions of them, the same counts; in whatever order they came."""

    def outcome(write: Callable[[Batch], Written]) -> tuple[Written, list[tuple[Any, ...]]]:
        empty(owner)
        store.write(Batch(klines=there))
        before = fetch(owner, "SELECT ctid, xmin::text FROM klines")
        written = write(Batch(klines=candles()[::-1]))
        now = fetch(owner, "SELECT ctid, xmin::text FROM klines")
        said = "SELECT to_jsonb(klines) - 'ingested_at' FROM klines ORDER BY symbol, open_time"
        return written, [*fetch(owner, said), (len(set(before) & set(now)),)]

    wanted, rows = outcome(store.write)
    copied, same_rows = outcome(store.copy)
    assert targets == ways
    assert copied.rows.get("klines", 0) == wanted.rows.get("klines", 0)
    assert same_rows == rows


@pytest.mark.parametrize(
    ("there", "ways"),
    [
        ([], ["trades"]),
        (trades(price=Decimal(1)), ["stage_trades"]),
        (trades(price=Decimal(1))[UNSAMPLED : UNSAMPLED + 3], ["trades", "stage_trades"]),
    ],
    ids=["nothing", "all", "some"],
)
def test_trade_that_is_there_stays_as_it_is(
    store: Store, owner: Connection, targets: list[str], there: list[Trade], ways: list[str]
) -> None:
    """In a partitioned table, and a trade that comes twice is one."""
    store.write(Batch(trades=there))
    again = trades()[:1]
    twice = Batch(trades=[*trades(), *again] if there else trades())
    assert store.copy(twice).rows == {"trades": COUNT - len(there)}
    assert targets == ways
    assert value(owner, "SELECT count(*) FROM trades") == COUNT
    assert value(owner, "SELECT count(*) FROM trades WHERE price = 1") == len(there)


def test_few_rows_are_not_looked_for(store: Store, targets: list[str]) -> None:
    """A look at a sample would cost more than it could save."""
    store.copy(Batch(klines=candles()[: bulk.MANY - 1]))
    assert targets == STAGED


def test_text_that_needs_its_quotes_arrives_as_it_is(store: Store, owner: Connection) -> None:
    """Commas, brackets, quotes, backslashes; and a symbol that is called null."""
    symbols = ["A,B", "[A]", 'A"B', "A\\B", "币安人生", "null", " A ", "", "E-8"]
    store.copy(Batch(klines=[one for symbol in symbols for one in candles(symbol=symbol)]))
    found = fetch(owner, "SELECT symbol, count(*) FROM klines GROUP BY symbol")
    assert sorted(found) == sorted((symbol, COUNT) for symbol in symbols)


def test_row_that_only_postgres_refuses_costs_only_itself(
    store: Store, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of rows that go straight, should our own rule have a hole."""
    monkeypatch.setattr(admission, "refusal", lambda _row, _now: None)
    rows = candles()
    rows[COUNT // 2] = kline(COUNT // 2, high=Decimal("1E+25"))
    written = store.copy(Batch(klines=rows), PROGRESS)
    assert written == Written({"klines": COUNT - 1}, 1)
    assert value(owner, "SELECT reason FROM quarantine") == "PostgreSQL: numeric field overflow"
    assert value(owner, "SELECT count(*) FROM backfills") == 1


def test_bad_row_among_many_is_set_aside(store: Store, owner: Connection) -> None:
    """Many rows are looked at a column at a time, and still it is known which one it is."""
    rows = candles()
    rows[COUNT // 2] = kline(COUNT // 2, high=Decimal("1E-19"))
    assert store.copy(Batch(klines=rows)) == Written({"klines": COUNT - 1}, 1)
    assert value(owner, "SELECT reason FROM quarantine").startswith("high = 1E-19 does not fit")


def test_missing_partition_is_made(
    store: Store, owner: Connection, database: PostgresEndpoint
) -> None:
    """The store believes that the day is there, the watch dropped it meanwhile."""
    rows = trades(traded_at=datetime(2025, 6, 3, 12, tzinfo=UTC))
    store.copy(Batch(trades=rows))
    run_as(database, Role.WATCH, "SELECT drop_partition('trades', '2025-06-03')")
    assert store.copy(Batch(trades=rows)).rows == {"trades": COUNT}
    assert value(owner, "SELECT count(*) FROM trades") == COUNT


MEANWHILE: dict[str, tuple[list[Kline], int, list[str]]] = {
    "an insert, and ours go straight": ([], COUNT, STRAIGHT),
    "an insert, and ours are merged": (candles()[-1:], COUNT - 1, STAGED),
    "an update": (candles(close=Decimal(67001)), COUNT, STAGED),
}


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("case", MEANWHILE)
def test_somebody_elses_row_of_the_same_moment(
    store: Store,
    owner: Connection,
    database: PostgresEndpoint,
    targets: list[str],
    case: str,
    *,
    commits: bool,
) -> None:
    """We wait for its end: what was committed and is newer stays, what was undone does not."""
    there, changed, way = MEANWHILE[case]
    store.write(Batch(klines=there))
    (theirs,) = newer([kline(UNSAMPLED)])
    with closing(connect(database, Role.INGEST)) as other, ThreadPoolExecutor() as threads:
        other.autocommit = False
        transactions.write(other.cursor(), Prepared({"klines": [theirs]}, []))
        copied = threads.submit(store.copy, Batch(klines=candles()), PROGRESS)
        eventually(lambda: fetch(owner, WAITS), timeout_s=20)
        if commits:
            other.commit()
        else:
            other.rollback()
        written = copied.result(timeout=20)
    assert targets == (STRAIGHT + STAGED if commits and way == STRAIGHT else way)
    assert written.rows == {"klines": changed - commits}
    close = value(owner, "SELECT close FROM klines WHERE open_time = %s", theirs.open_time)
    assert close == (theirs.close if commits else kline().close)
    assert value(owner, "SELECT count(*) FROM klines") == COUNT


def test_two_copies_of_the_same_rows_do_not_deadlock(
    store: Store, owner: Connection, database: PostgresEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each brings them in another order, and neither sees the other's; one of them inserts."""
    monkeypatch.setattr(bulk, "_any_there", lambda *_: False)
    rows = [one for day in range(5) for one in candles(symbol=f"S{day}")]
    other = Store(database, patience_s=5)
    with closing(other), ThreadPoolExecutor() as threads:
        runs = [
            threads.submit(one.copy, Batch(klines=order))
            for one, order in ((store, rows), (other, rows[::-1]))
        ]
        counts = sorted(run.result(timeout=60).rows["klines"] for run in runs)
    assert counts == [0, len(rows)]
    seen = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert value(owner, seen) == 0


def test_connection_lost_before_the_commit_leaves_nothing_behind(
    store: Store,
    owner: Connection,
    database: PostgresEndpoint,
    targets: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows and progress are of one transaction; it is done again from its start."""
    save = transactions._save
    seen: list[tuple[int, int]] = []
    held = "SELECT (SELECT count(*) FROM klines), (SELECT count(*) FROM backfills)"

    def lost_once(cursor: Cursor, progress: BackfillProgress | None) -> None:
        save(cursor, progress)
        seen.extend(fetch(owner, held))
        if len(seen) == 1:
            kill = f"SELECT pg_terminate_backend({cursor.connection.info.backend_pid})"
            run_as(database, Role.POSTGRES_ADMIN, kill)

    monkeypatch.setattr(transactions, "_save", lost_once)
    assert store.copy(Batch(klines=candles()), PROGRESS).rows == {"klines": COUNT}
    assert seen == [(0, 0), (0, 0)]
    assert targets == STRAIGHT * 2
    assert fetch(owner, held) == [(COUNT, 1)]
