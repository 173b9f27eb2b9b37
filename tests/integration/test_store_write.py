"""The store against a real PostgreSQL: replays, order, misfits, partitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from contracts.market import Price, Rejected
from contracts.naming import Role
from ingest import admission
from ingest.batch import Batch, Written
from ingest.gap_rows import may_replace
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import (
    Connection,
    fetch,
    run_as,
    value,
)
from tests.market_rows import (
    MINUTE,
    NOON,
    SYMBOL,
    VENUE,
    depth,
    gap,
    instrument,
    kline,
    price,
    ticker,
    trade,
)

pytestmark = pytest.mark.integration
LATER = NOON + timedelta(minutes=5)


def everything() -> Batch:
    """A batch with a row for every table."""
    return Batch(
        instruments=[instrument()],
        prices=[price()],
        depth=[depth()],
        trades=[trade(1), trade(2)],
        klines=[kline(0), kline(1)],
        tickers=[ticker()],
        watched=frozenset({SYMBOL}),
        gaps=[gap()],
    )


def rewrites(owner: Connection) -> list[list[tuple[Any, ...]]]:
    """Where each row lives and which transaction wrote it: changes with every UPDATE."""
    tables = ("instruments", "klines", "ticker_24h", "gaps", "trades")
    return [fetch(owner, f"SELECT ctid::text, xmin::text FROM {name}") for name in tables]


def test_every_table_gets_its_rows(store: Store, owner: Connection) -> None:
    """And they are read back as they were written."""
    written = store.write(everything())
    assert written == Written(
        {
            "instruments": 1,
            "prices": 1,
            "depth": 1,
            "trades": 2,
            "klines": 2,
            "ticker_24h": 1,
            "ticker_24h_history": 1,
            "gaps": 1,
        }
    )
    assert fetch(owner, "SELECT traded_at, price FROM trades WHERE trade_id = 1") == [
        (NOON, Decimal("67000.12"))
    ]
    assert fetch(owner, "SELECT bids, best_ask, spread, imbalance FROM depth") == [
        ([["100", "3"], ["99", "1"]], 101, 1, Decimal("0.333333333333333333"))
    ]


def test_replayed_batch_leaves_one_row_and_writes_nothing(store: Store, owner: Connection) -> None:
    """Not even a new version of a row: no event would flow."""
    store.write(everything())
    before = rewrites(owner)
    assert store.write(everything()) == Written()
    assert rewrites(owner) == before


def test_same_values_at_a_later_time_are_no_change(store: Store, owner: Connection) -> None:
    """as_of alone is not worth an event."""
    store.write(Batch(instruments=[instrument()], tickers=[ticker()], klines=[kline()]))
    before = rewrites(owner)
    store.write(
        Batch(
            instruments=[instrument(as_of=LATER)],
            tickers=[ticker(as_of=LATER)],
            klines=[kline(as_of=LATER)],
        )
    )
    assert rewrites(owner) == before


def test_nothing_goes_backwards(store: Store, owner: Connection) -> None:
    """An older answer that arrives late changes nothing; a newer one changes its row."""
    store.write(Batch(tickers=[ticker(last=Decimal(2), as_of=LATER)], gaps=[gap(as_of=LATER)]))
    late = Batch(tickers=[ticker(last=Decimal(1))], gaps=[gap(state="repaired")])
    assert store.write(late) == Written()
    assert value(owner, "SELECT last FROM ticker_24h") == 2
    newer = LATER + timedelta(seconds=1)
    store.write(Batch(gaps=[gap(state="repaired", as_of=newer)]))
    assert fetch(owner, "SELECT state, as_of FROM gaps") == [("repaired", newer)]


def test_the_guard_of_gaps_is_the_rule_of_gap_rows(store: Store, owner: Connection) -> None:
    """Of every pair of rows that differ in range, state, find or clock, SQL keeps the same one."""
    second = timedelta(seconds=1)
    rows = [
        gap(5, last_missing=last, state=state, detected_at=found, as_of=as_of)
        for last in (5, 8, 9)
        for state in ("open", "repaired", "exchange-confirmed")
        for found in (NOON - second, NOON)
        for as_of in (NOON, NOON + second, NOON + 2 * second)
    ]
    pairs = [
        (replace(held, symbol=f"S{n}", detail="held"), replace(late, symbol=f"S{n}", detail="late"))
        for n, (held, late) in enumerate(product(rows, rows))
    ]
    store.write(Batch(gaps=[held for held, _ in pairs]))
    store.write(Batch(gaps=[late for _, late in pairs]))
    kept = dict(fetch(owner, "SELECT symbol, detail FROM gaps"))
    assert kept == {
        held.symbol: "late" if may_replace(held, late) else "held" for held, late in pairs
    }


@pytest.mark.parametrize("bulk", [False, True])
def test_closed_candle_beats_an_open_one(store: Store, owner: Connection, *, bulk: bool) -> None:
    """Open → open → closed → (open: no) → closed and revised; never closed → open."""

    def put(close: int, at: datetime, *, closed: bool) -> Decimal:
        candle = kline(close=Decimal(close), is_closed=closed, as_of=at)
        if bulk:
            store.copy(Batch(klines=[candle]))
        else:
            store.write(Batch(klines=[candle]))
        found: Decimal = value(owner, "SELECT close FROM klines")
        return found

    second = timedelta(seconds=1)
    assert put(1, NOON, closed=False) == 1
    assert put(2, NOON + second, closed=False) == 2
    assert put(3, NOON, closed=True) == 3, "closed, even with an older as_of"
    assert put(4, NOON + 9 * second, closed=False) == 3, "never an open one again"
    assert put(5, NOON + 5 * second, closed=True) == 5, "revised by the exchange"
    assert put(6, NOON + 4 * second, closed=True) == 5, "the older revision came late"


def test_key_twice_in_a_batch_is_one_row(store: Store, owner: Connection) -> None:
    """An upsert does not raise on it, and the newest of them stays."""
    store.write(
        Batch(
            tickers=[ticker(last=Decimal(2), as_of=LATER), ticker(last=Decimal(1))],
            trades=[trade(7), trade(7)],
            prices=[price("1"), price("1")],
            depth=[depth(), depth()],
        )
    )
    assert value(owner, "SELECT last FROM ticker_24h") == 2
    for table in ("trades", "prices", "depth", "ticker_24h"):
        assert value(owner, f"SELECT count(*) FROM {table}") == 1


def test_misfits_are_set_aside_and_the_rest_is_stored(store: Store, owner: Connection) -> None:
    """Each with its reason and its own bytes; NaN never gets in."""
    parsed = Rejected(source=VENUE, endpoint="trades", reason="cut\0", raw=b"\x00\xff{")
    misfits = [trade(1, price=Decimal(amount)) for amount in ("NaN", "1E+20", "1E-19")]
    written = store.write(Batch(trades=[*misfits, trade(2)], rejected=[parsed]))
    assert (written.rows, written.quarantined) == ({"trades": 1}, 4)
    kept = fetch(owner, "SELECT source, endpoint, reason, raw FROM quarantine ORDER BY id")
    assert (kept[0][2], bytes(kept[0][3])) == ("cut␀", b"\x00\xff{")
    assert kept[1][2] == "price = NaN does not fit into NUMERIC(38,18)"
    assert msgspec.json.decode(bytes(kept[2][3]))["price"] == "1E+20"
    assert value(owner, "SELECT count(*) FROM trades WHERE price = 'NaN'") == 0


def test_huge_body_is_cut(store: Store, owner: Connection) -> None:
    """Quarantine cannot be used to fill the disk."""
    store.write(
        Batch(rejected=[Rejected(source=VENUE, endpoint="x", reason="r", raw=b"x" * 10**6)])
    )
    assert value(owner, "SELECT length(raw) FROM quarantine") == 65_536


@pytest.mark.parametrize("bulk", [False, True])
def test_row_that_only_postgres_refuses_costs_only_itself(
    store: Store, owner: Connection, monkeypatch: pytest.MonkeyPatch, *, bulk: bool
) -> None:
    """Should our own rule have a hole, the row is found by halves; its batch is stored."""
    monkeypatch.setattr(admission, "fits", lambda _value: True)
    klines = [kline(minute) for minute in range(40)]
    klines[17] = kline(17, high=Decimal("1E+25"))
    if bulk:
        assert store.copy(Batch(klines=klines)).rows == {"klines": 39}
    else:
        written = store.write(Batch(klines=klines, prices=[price()]))
        assert (written.rows, written.quarantined) == ({"klines": 39, "prices": 1}, 1)
    reason = value(owner, "SELECT reason FROM quarantine")
    assert reason == "PostgreSQL: numeric field overflow"
    assert value(owner, "SELECT count(*) FROM klines WHERE open_time = %s", NOON + 17 * MINUTE) == 0


def test_extremes_are_stored_exactly(store: Store, owner: Connection) -> None:
    """38 digits, 10⁻¹⁸, 20-digit volumes, a symbol of another script."""
    largest = Decimal("99999999999999999999.999999999999999999")
    store.write(
        Batch(
            prices=[price(str(largest), symbol="币安人生USDT"), price("1E-18", symbol="A")],
            trades=[trade(2**63 - 1, quantity=largest)],
        )
    )
    assert fetch(owner, "SELECT price FROM prices ORDER BY price") == [
        (Decimal("1E-18"),),
        (largest,),
    ]
    assert fetch(owner, "SELECT trade_id, quantity FROM trades") == [(2**63 - 1, largest)]


def test_late_row_makes_its_partition(store: Store, owner: Connection) -> None:
    """A trade of months ago is stored where it belongs."""
    store.write(Batch(trades=[trade(traded_at=datetime(2025, 6, 1, 12, tzinfo=UTC))]))
    assert value(owner, "SELECT tableoid::regclass::text FROM trades") == "trades_p20250601"


def test_dropped_partition_is_made_again(
    store: Store, owner: Connection, database: PostgresEndpoint
) -> None:
    """The store believes that the day is there, the watch dropped it meanwhile."""
    late = trade(traded_at=datetime(2025, 6, 2, 12, tzinfo=UTC))
    store.write(Batch(trades=[late]))
    run_as(database, Role.WATCH, "SELECT drop_partition('trades', '2025-06-02')")
    assert store.write(Batch(trades=[late])).rows == {"trades": 1}
    assert value(owner, "SELECT count(*) FROM dropped_days") == 1


def test_implausible_time_makes_no_partition(store: Store, owner: Connection) -> None:
    """µs taken for ms: the row is set aside, and nothing is littered."""
    before = value(owner, "SELECT count(*) FROM pg_inherits")
    far = datetime.now(UTC) + timedelta(days=400)
    assert store.write(Batch(prices=[price("1", observed_at=far)])).quarantined == 1
    assert value(owner, "SELECT count(*) FROM pg_inherits") == before


def test_price_is_read_back_as_it_was(store: Store) -> None:
    """What is read back is what contracts say."""
    now = datetime.now(UTC).replace(microsecond=0)
    store.write(Batch(instruments=[instrument()], prices=[price("1.50", observed_at=now)]))
    assert store.latest_prices(VENUE) == [
        Price(venue=VENUE, symbol=SYMBOL, observed_at=now, price=Decimal("1.50"))
    ]
