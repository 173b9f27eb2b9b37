"""Verification against injected faults: each is found with its key, and nothing else is."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cdc.verification import verify
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration

ALWAYS = 126 << 56  # a write timestamp that beats every replicated one
TICKER = """
INSERT INTO ticker_24h (venue, symbol, as_of, open_time, open, high, low, last, last_quantity,
    weighted_average, previous_close, price_change, price_change_percent, bid, bid_quantity,
    ask, ask_quantity, volume, quote_volume, first_trade_id, last_trade_id, trade_count)
SELECT 'test', 'S' || i, now(), now(), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, 0
FROM generate_series(1, 50) i
ON CONFLICT (venue, symbol) DO UPDATE SET as_of = excluded.as_of, last = ticker_24h.last + 1
"""
BEFORE_THE_SNAPSHOT = """
INSERT INTO instruments
SELECT 'test', 'S' || i, 'ÄΩ''"', 'USDT', 'TRADING', 0.01, 1e-18, 0, now()
FROM generate_series(1, 300) i;

INSERT INTO depth (venue, symbol, observed_at, last_update_id, bids, asks,
    best_bid, best_bid_quantity, best_ask, best_ask_quantity, spread, imbalance)
SELECT 'test', 'S' || i, date_trunc('milliseconds', now()) - i * interval '1 ms', i,
    (SELECT jsonb_agg(jsonb_build_array(md5(k::text), k)) FROM generate_series(1, 500) k), '[]',
    1, 1, 1, 1, 0, -0.5
FROM generate_series(1, 10) i;

INSERT INTO klines
SELECT 'test', 'S1', k, date_trunc('hour', now()) - j * interval '1 h', now(),
    1, 2, 1, 2, 0, 0, 0, 0, 0, true, now()
FROM generate_series(1, 1000) j, unnest(ARRAY['1s', '1m', '1h', '1M']) k;
"""
BEHIND_THE_SNAPSHOT = f"""
INSERT INTO prices (venue, symbol, observed_at, price)
SELECT 'test', 'S' || i, date_trunc('milliseconds', now()) - j * interval '1 s',
    99999999999999999999.999999999999999999 / j
FROM generate_series(1, 20) i, generate_series(1, 300) j;

INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity,
    quote_quantity, notional_usd, is_buyer_maker, is_best_match)
SELECT 'test', 'S' || i % 7, i, date_trunc('milliseconds', now()) - i * interval '1 s', 1, 1, 1, 1,
    CASE WHEN i % 10 = 0 THEN 100000.000001 ELSE 100000 END, true, false
FROM generate_series(1, 5000) i;

INSERT INTO gaps VALUES ('test', 'S1', 'trades', 1, 2, 'open', 'shed', '', now(), now());

INSERT INTO events (venue, kind, message) VALUES ('test', 'listing', E'a\\nb');

INSERT INTO coin_markets (venue, coin_id, vs_currency, ts_event, symbol, name, price, as_of)
VALUES ('test', 'btc', 'usd', date_trunc('milliseconds', now()), 'btc', '', 0, now());

INSERT INTO movers_24h
SELECT 'test', 'USDT', 'gainers', date_trunc('milliseconds', now()), i, '', 0, -i, 0
FROM generate_series(1, 5) i;

{TICKER};
"""


@pytest.fixture(scope="module")
def sink(replica: Replica) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the sink, behind rows of every table; some are older than the snapshot."""
    replica.sql(BEFORE_THE_SNAPSHOT)
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    replica.sql(BEHIND_THE_SNAPSHOT)
    with replica.sink() as process:
        yield process


@pytest.fixture
def flowing(replica: Replica, sink: subprocess.Popen[bytes]) -> Replica:
    """Connector and sink carry what PostgreSQL gets."""
    assert sink.poll() is None
    return replica


def _verify(replica: Replica, *tables: str) -> dict[str, Any]:
    """The report by table."""
    report = verify(replica.settings, tables).as_dict()
    assert report["clean"] == all(table["clean"] for table in report["tables"])
    return {table["table"]: table for table in report["tables"]}


def _insert_price(replica: Replica, venue: str, price: int) -> tuple[Any, Any]:
    """A price in PostgreSQL and, after a fence, in Cassandra; its time, twice."""
    ((at,),) = replica.sql(
        "INSERT INTO prices (venue, symbol, observed_at, price) VALUES "
        "(%s, 'S', date_trunc('day', now()) + interval '1 s', %s) RETURNING observed_at",
        venue,
        price,
    )
    assert _verify(replica, "prices_by_day")["prices_by_day"]["clean"]
    return at, at


def _faults(table: dict[str, Any]) -> dict[str, int]:
    kinds = ("missing", "extra", "different", "unsettled")
    return {kind: table[kind] for kind in kinds if table[kind]}


def test_a_faithful_copy_has_no_difference_in_any_table(flowing: Replica) -> None:
    """Snapshot and stream, NULLs, 38 digits, µs, JSON beyond TOAST, text of every kind."""
    tables = _verify(flowing)
    assert {name: _faults(table) for name, table in tables.items() if not table["clean"]} == {}
    rows = {name: table["rows"] for name, table in tables.items()}
    assert rows["prices_by_day"] == 6000
    assert (rows["trades_by_hour"], rows["large_trades_by_day"]) == (5000, 500)
    assert (rows["latest_prices"], rows["klines"], rows["coin_markets"]) == (20, 4000, 1)
    read = {name: table["cells_read"] for name, table in tables.items() if table["cells_read"]}
    assert read.keys() <= {"heartbeats_by_day"}, "equal digests need no second look"


def test_another_spelling_of_a_number_is_equal(flowing: Replica) -> None:
    """Digests differ then, and rows decide."""
    flowing.cql(
        f"UPDATE prices_by_day USING TIMESTAMP {ALWAYS} SET price = ? WHERE venue = 'spelt' "
        "AND symbol = 'S' AND day = floor((timestamp)?, 1d) AND observed_at = ?",
        Decimal("1.00"),
        *_insert_price(flowing, "spelt", 1),
    )
    table = _verify(flowing, "prices_by_day")["prices_by_day"]
    assert (table["clean"], table["cells_read"]) == (True, 1)
    flowing.sql("DELETE FROM prices WHERE venue = 'spelt'")
    flowing.cql(
        f"DELETE FROM prices_by_day USING TIMESTAMP {ALWAYS} WHERE venue = 'spelt' "
        "AND symbol = 'S' AND day = floor(to_timestamp(now()), 1d)"
    )
    flowing.cql(f"DELETE FROM latest_prices USING TIMESTAMP {ALWAYS} WHERE venue = 'spelt'")


def test_a_row_that_cassandra_lacks_is_missing(flowing: Replica) -> None:
    where = "WHERE venue = 'test' AND symbol = 'S17'"
    flowing.cql(f"DELETE FROM instruments USING TIMESTAMP {ALWAYS} {where}")
    table = _verify(flowing, "instruments")["instruments"]
    assert _faults(table) == {"missing": 1}
    assert table["keys"] == [{"kind": "missing", "venue": "test", "symbol": "S17"}]
    flowing.sql(f"DELETE FROM instruments {where}")
    assert _verify(flowing, "instruments")["instruments"]["clean"]


def test_a_row_that_only_cassandra_has_is_extra(flowing: Replica) -> None:
    """Beside rows of its partition, and alone in a partition that PostgreSQL does not have."""
    flowing.cql(
        f"INSERT INTO instruments (venue, symbol) VALUES ('test', 'GHOST') USING TIMESTAMP {ALWAYS}"
    )
    flowing.cql(
        "INSERT INTO prices_by_day (venue, symbol, day, observed_at, price) VALUES ('test', "
        "'GHOST', floor(to_timestamp(now()), 1d), floor(to_timestamp(now()), 1h), 1) "
        f"USING TIMESTAMP {ALWAYS}"
    )
    tables = _verify(flowing, "instruments", "prices_by_day")
    assert {name: _faults(table) for name, table in tables.items()} == {
        "instruments": {"extra": 1},
        "prices_by_day": {"extra": 1},
    }
    flowing.cql(
        f"DELETE FROM instruments USING TIMESTAMP {ALWAYS} "
        "WHERE venue = 'test' AND symbol = 'GHOST'"
    )
    flowing.cql(
        f"DELETE FROM prices_by_day USING TIMESTAMP {ALWAYS} WHERE venue = 'test' "
        "AND symbol = 'GHOST' AND day = floor(to_timestamp(now()), 1d)"
    )
    assert all(each["clean"] for each in _verify(flowing, "instruments", "prices_by_day").values())


@pytest.mark.parametrize(
    ("column", "value"),
    [("tick_size", Decimal("0.010000000000000001")), ("status", None), ("as_of_us", 1)],
)
def test_another_value_is_different(flowing: Replica, column: str, value: object) -> None:
    """The last digit, a NULL, a microsecond."""
    symbol = f"DIFF-{column}"
    flowing.sql(
        "INSERT INTO instruments VALUES ('test', %s, 'A', 'B', 'HALT', 0.01, 1, 0, now())", symbol
    )
    assert _verify(flowing, "instruments")["instruments"]["clean"]
    flowing.cql(
        f"UPDATE instruments USING TIMESTAMP {ALWAYS} SET {column} = ? "
        "WHERE venue = 'test' AND symbol = ?",
        value,
        symbol,
    )
    assert _faults(_verify(flowing, "instruments")["instruments"]) == {"different": 1}
    flowing.sql("DELETE FROM instruments WHERE symbol = %s", symbol)
    flowing.cql(
        f"DELETE FROM instruments USING TIMESTAMP {ALWAYS} WHERE venue = 'test' AND symbol = ?",
        symbol,
    )


def test_a_stale_latest_price_is_different(flowing: Replica) -> None:
    """The newest retained row is what `latest_prices` must hold."""
    flowing.sql(
        "INSERT INTO prices (venue, symbol, observed_at, price) "
        "VALUES ('stale', 'X', date_trunc('milliseconds', now()), 2)"
    )
    assert _verify(flowing, "latest_prices")["latest_prices"]["clean"]
    flowing.cql(
        f"UPDATE latest_prices USING TIMESTAMP {ALWAYS} SET price = 1 "
        "WHERE venue = 'stale' AND symbol = 'X'"
    )
    assert _faults(_verify(flowing, "prices")["latest_prices"]) == {"different": 1}
    flowing.sql("DELETE FROM prices WHERE venue = 'stale'")
    flowing.cql(f"DELETE FROM latest_prices USING TIMESTAMP {ALWAYS} WHERE venue = 'stale'")


def test_history_that_postgresql_no_longer_holds_is_no_difference(flowing: Replica) -> None:
    """Cassandra keeps years; PostgreSQL answers for its own days only."""
    flowing.cql(
        "INSERT INTO prices_by_day (venue, symbol, day, observed_at, price) "
        "VALUES ('test', 'S1', '2019-05-05', '2019-05-05T01:00:00Z', 1)"
    )
    flowing.cql(
        "INSERT INTO latest_prices (venue, symbol, observed_at, price) "
        "VALUES ('delisted', 'OLD', '2019-05-05T01:00:00Z', 1)"
    )
    assert all(table["clean"] for table in _verify(flowing, "prices").values())


def test_rows_that_change_all_the_while_are_no_false_alarm(flowing: Replica) -> None:
    """Upserts of whole tables and appends go on while everything is compared."""
    done = threading.Event()
    writes = 0

    def write() -> None:
        nonlocal writes
        while not done.wait(0.5 if writes % 2 else 3.0):
            flowing.sql(TICKER)
            flowing.sql("INSERT INTO heartbeat (source) VALUES ('test') ON CONFLICT DO NOTHING")
            writes += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert all(table["clean"] for table in _verify(flowing).values())
    finally:
        done.set()
        writer.join()
    assert writes > 3


def test_a_stuck_sink_is_named_instead_of_called_different(
    flowing: Replica, sink: subprocess.Popen[bytes]
) -> None:
    """What is late is not lost: the fence says who is behind."""
    assert _verify(flowing, "instruments")["instruments"]["clean"]
    sink.send_signal(signal.SIGSTOP)
    try:
        done = flowing.tidemark("verify", "instruments", TIDEMARK_FENCE_TIMEOUT_S="4")
    finally:
        sink.send_signal(signal.SIGCONT)
    assert done.returncode == 1
    assert "the sink did not reach the fence within 4 s" in done.stderr


def test_the_command_says_the_same_to_people_and_to_machines(flowing: Replica) -> None:
    done = flowing.tidemark("verify", "--json", "instruments", "klines", "--full-speed")
    report = json.loads(done.stdout)
    assert (done.returncode, report["clean"]) == (0, True)
    klines = report["tables"][1]
    assert (klines["table"], klines["rows"], klines["unsettled"]) == ("klines", 4000, 0)
    spoken = flowing.tidemark("verify", "klines", "--hours", "2").stdout
    assert "Cassandra equals PostgreSQL" in spoken
    assert "proved through" in spoken


def test_an_unknown_table_is_misuse(replica: Replica) -> None:
    done = replica.tidemark("verify", "nosuch")
    assert (done.returncode, "no table is called 'nosuch'" in done.stderr) == (2, True)
