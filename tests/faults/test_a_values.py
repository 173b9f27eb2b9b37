"""Rows A20 to A25: TRUNCATE, changed keys, large values, and what numbers, times and NULLs can be.

Rows of these tests have venues of their own; the comparison of all rows at the end of the load
(O1) covers them, so what is asserted here is what that comparison does not say.
"""

from __future__ import annotations

import json
import re
import string
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from cassandra.query import SimpleStatement

from cdc import keyspace, state
from contracts.naming import Role
from tests.faults.matrix import row
from tests.faults.reconcile import COPIES
from tests.faults.rig import Rig
from tests.faults.trial import Trial

ARRIVES_S = 60
COINS = 50
KEYS = 30
ROUNDS = 10
LARGE = 9_000  # letters that do not compress: PostgreSQL keeps them out of line
TOMBSTONES = 100

INSTRUMENT = """
INSERT INTO instruments (venue, symbol, base_asset, quote_asset, status, tick_size, lot_size,
                         min_notional, as_of)
VALUES (%s, %s, 'B', 'Q', %s, %s, 1, 0, %s)"""
INSTRUMENTS_OF = "SELECT symbol, status, tick_size, as_of_us FROM instruments WHERE venue = ?"
DAY = "2026-11-01 00:00:00+00"

NULLABLE = (
    *("market_cap", "market_cap_rank", "total_volume", "high_24h", "low_24h"),
    *("price_change_percent_24h", "circulating_supply", "total_supply", "max_supply"),
)
COIN = f"""
INSERT INTO coin_markets (venue, coin_id, vs_currency, ts_event, symbol, name, price, as_of,
                          {", ".join(NULLABLE)})
SELECT %s, %s || n, 'usd', '{DAY}', 's', 'n', 1, now(), {", ".join("%s" for _ in NULLABLE)}
FROM generate_series(1, %s) AS n"""
COINS_OF = "SELECT * FROM coin_markets WHERE venue = ? ALLOW FILTERING"


def venue_of(what: str) -> str:
    """A venue that no earlier run has used."""
    return f"{what}-{time.time_ns()}"


def insert(
    rig: Rig,
    venue: str,
    symbol: str,
    *,
    status: str = "TRADING",
    number: str = "1",
    at: str = DAY,
    zone: str = "UTC",
) -> None:
    """One instrument, from a session with that time zone."""
    values = (venue, symbol, status, number, at)
    rig.sql(f"SET TimeZone = %s; {INSTRUMENT}", zone, *values)


def instruments(rig: Rig, venue: str) -> dict[str, Any]:
    """Cassandra's rows of a venue, by symbol."""
    return {each.symbol: each for each in rig.cql(INSTRUMENTS_OF, venue)}


def arrived(rig: Rig, venue: str, symbols: set[str]) -> dict[str, Any]:
    """The venue's rows once Cassandra has exactly these."""

    def look() -> dict[str, Any] | None:
        found = instruments(rig, venue)
        return found if found.keys() == symbols else None

    found: dict[str, Any] = rig.until(f"{venue}: {sorted(symbols)[:5]}…", look, ARRIVES_S)
    return found


def letters(rig: Rig, venue: str) -> dict[str, dict[str, Any]]:
    """Dead letters of a venue's instruments, by symbol."""
    told = rig.pipeline.tidemark(
        "dlq", "list", "--json", "--table", "instruments", "--limit", "1000"
    )
    assert told.returncode == 0, told.stderr
    found = {}
    for letter in map(json.loads, told.stdout.splitlines()):
        with suppress(ValueError, TypeError):  # of other rows: a key that is none
            key = json.loads(letter["key"])
            if key["venue"] == venue:
                found[key["symbol"]] = letter
    return found


def await_letters(rig: Rig, venue: str, symbols: set[str], field: str) -> dict[str, dict[str, Any]]:
    """O4: a letter for each of these and no other, that says where it is wrong, with its bytes."""
    found: dict[str, dict[str, Any]] = rig.until(
        f"{len(symbols)} dead letters",
        lambda: each if len(each := letters(rig, venue)) >= len(symbols) else None,
        ARRIVES_S,
    )
    assert found.keys() == symbols
    for symbol, letter in found.items():
        assert letter["path"] == f"$.after.{field}", letter
        raw = rig.pipeline.tidemark("dlq", "show", "--raw", letter["id"])
        assert json.loads(raw.stdout)["after"]["symbol"] == symbol
    return found


@row("A20")
def test_a20_truncate(rig: Rig, trial: Trial) -> None:
    """Refused to everybody; where somebody insists, the table halts and its rows stay."""
    venue = venue_of("truncated")
    with rig.under_load(trial, settle_s=240):
        for role in (Role.OWNER, Role.POSTGRES_ADMIN):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                rig.sql("TRUNCATE coin_markets", role=role)
        rig.sql(COIN, venue, "coin", *[1] * len(NULLABLE), COINS)
        rig.until(
            "the coins arrive",
            lambda: len(rig.cql(COINS_OF, venue)) == COINS or None,
            ARRIVES_S,
        )
        rig.sql("SET tidemark.allow_truncate = 'on'; TRUNCATE coin_markets")
        assert rig.sql("SELECT count(*) FROM coin_markets") == [(0,)]
        trial.happened(f"TRUNCATE refused to 2 roles; then insisted on, over {COINS} rows")
        trial.note(rig.alarm("table_halted"))
        rig.sql(COIN, venue, "later", *[1] * len(NULLABLE), 1)
        rig.recover(trial, within_s=60)  # the other tables flow
        kept = {each.coin_id for each in rig.cql(COINS_OF, venue)}
        assert kept == {f"coin{n}" for n in range(1, COINS + 1)}, "the halted table has changed"
        rig.resync(trial)
        rig.recover(trial, within_s=120)
    assert [each.coin_id for each in rig.cql(COINS_OF, venue)] == ["later1"]


@row("A21")
def test_a21_changed_keys(rig: Rig, trial: Trial) -> None:
    """Keys of a table change places, all in one transaction, again and again; then some are new."""
    venue = venue_of("keys")
    symbols = [f"P{number:02}" for number in range(KEYS)]
    status_of = {symbol: f"began as {symbol}" for symbol in symbols}
    with rig.under_load(trial):
        for symbol, status in status_of.items():
            insert(rig, venue, symbol, status=status)
        for _ in range(ROUNDS):
            moves = dict(zip(symbols, trial.random.sample(symbols, KEYS), strict=True))
            status_of = move(rig, venue, moves, status_of)
        trial.happened(f"{KEYS} keys changed places {ROUNDS} times, each in one transaction")
        status_of = move(rig, venue, {symbol: f"N{symbol}" for symbol in symbols[:10]}, status_of)
        ids = move_trades(rig, venue)
        found = arrived(rig, venue, set(status_of))
        assert {symbol: each.status for symbol, each in found.items()} == status_of
        rig.until("the trades have moved", lambda: moved(rig, venue, ids) or None, ARRIVES_S)


def move(rig: Rig, venue: str, moves: dict[str, str], status_of: dict[str, str]) -> dict[str, str]:
    """Give rows other keys of the same set, in one transaction; what stands under each then."""
    rig.sql(
        "UPDATE instruments SET symbol = '~' || symbol WHERE venue = %s AND symbol = ANY(%s); "
        "UPDATE instruments SET symbol = value FROM jsonb_each_text(%s) AS moves "
        "WHERE venue = %s AND symbol = '~' || key",
        venue,
        list(moves),
        json.dumps(moves),
        venue,
    )
    stayed = {symbol: status for symbol, status in status_of.items() if symbol not in moves}
    return stayed | {new: status_of[old] for old, new in moves.items()}


def move_trades(rig: Rig, venue: str) -> dict[int, int]:
    """Large trades that move to the next hour: another bucket, maybe another day; ids and µs."""
    rig.sql(
        "INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity, "
        "quote_quantity, notional_usd, is_buyer_maker, is_best_match) "
        "SELECT %s, 'S', n, date_trunc('milliseconds', now()), 1, 1, 1, 1, 200000, true, true "
        "FROM generate_series(1, 20) AS n",
        venue,
    )
    return dict(
        rig.sql(
            "UPDATE trades SET traded_at = traded_at + interval '1 hour' WHERE venue = %s "
            "RETURNING trade_id, (extract(epoch FROM traded_at) * 1000)::bigint",
            venue,
        )
    )


def moved(rig: Rig, venue: str, ids: dict[int, int]) -> bool:
    """Whether the tape and the large trades have each trade once, at its new time."""
    for table in ("trades_by_hour", "large_trades_by_day"):
        rows = rig.cql(
            f"SELECT trade_id, to_unix_timestamp(traded_at) AS at FROM {table} "
            "WHERE venue = ? ALLOW FILTERING",
            venue,
        )
        if sorted((each.trade_id, each.at) for each in rows) != sorted(ids.items()):
            return False
    return True


@row("A22")
def test_a22_unchanged_large_values(rig: Rig, trial: Trial) -> None:
    """Values out of line that an update does not touch, also of the key: no placeholder arrives."""
    venue = venue_of("large")
    with rig.under_load(trial):
        for number in range(20):
            insert_large(rig, trial, venue, number)
        out_of_line = sum(
            rig.sql(
                f"SELECT count(pg_column_toast_chunk_id({column})) FROM {table} WHERE venue = %s",
                venue,
            )[0][0]
            for table, column in (("gaps", "detail"), ("depth", "bids"), ("instruments", "status"))
        )
        assert out_of_line == 60, "PostgreSQL keeps the values in line"
        trial.happened(f"{out_of_line} values of {LARGE:,} bytes out of line; rows and keys change")
        for statement in (
            "UPDATE gaps SET state = 'repaired' WHERE venue = %s",
            "UPDATE gaps SET first_missing = first_missing + 100 WHERE venue = %s",
            "UPDATE gaps SET symbol = 'T', state = 'unprovable' WHERE venue = %s",
            "UPDATE depth SET spread = 3 WHERE venue = %s",
            "UPDATE depth SET observed_at = observed_at + interval '1 s' WHERE venue = %s",
            "UPDATE instruments SET tick_size = 2 WHERE venue = %s",
        ):
            rig.sql(statement, venue)
    found = placeholders(rig)
    trial.note(f"{found} placeholders in {len(COPIES)} tables")
    assert found == 0


def insert_large(rig: Rig, trial: Trial, venue: str, number: int) -> None:
    """A gap, a book and an instrument with a large value each."""
    alphabet = string.ascii_letters + string.digits
    text = "".join(trial.random.choices(alphabet, k=LARGE))
    rig.sql(
        "INSERT INTO gaps (venue, symbol, stream, first_missing, last_missing, state, cause, "
        "detail, detected_at, as_of) "
        "VALUES (%s, 'S', 'trades', %s, 1000, 'open', 'fault', %s, now(), now())",
        venue,
        number,
        text,
    )
    rig.sql(
        "INSERT INTO depth (venue, symbol, observed_at, last_update_id, bids, asks, best_bid, "
        "best_bid_quantity, best_ask, best_ask_quantity, spread, imbalance) "
        "VALUES (%s, %s, date_trunc('milliseconds', now()), 1, %s, '[]', 1, 1, 1, 1, 0, 0)",
        venue,
        f"S{number}",
        json.dumps([[text, "1"]]),
    )
    insert(rig, venue, f"S{number}", status=text)


def placeholders(rig: Rig) -> int:
    """Rows of Cassandra, all tables, that hold what Debezium sends for an unchanged value."""
    wrong = 0
    with keyspace.session(rig.cdc, Role.READER) as session:
        known = [each.placeholder for each in state.recall(session).values()]
        assert known, "no generation says its placeholder"
        for table in {copy.target for copy in COPIES}:
            everything = SimpleStatement(f"SELECT JSON * FROM {table}", fetch_size=1000)
            for (text,) in session.execute(everything, timeout=60):
                wrong += any(each in text for each in known)
    return wrong


@row("A23")
def test_a23_numbers(rig: Rig, trial: Trial) -> None:
    """Each number that the column takes arrives exactly; NaN alone, and its row, is set aside."""
    venue = venue_of("numbers")
    exact = {
        "MOST": "9" * 20 + "." + "9" * 18,
        "LEAST": "-" + "9" * 20 + "." + "9" * 18,
        "TINY": "0.000000000000000001",
        "MINUS-TINY": "-1e-18",
        "ZERO": "0",
        "ONE": "1.000000000000000000",
    }
    with rig.under_load(trial):
        for infinite in ("Infinity", "-Infinity", "1e20"):
            with pytest.raises(psycopg2.errors.NumericValueOutOfRange):
                insert(rig, venue, "REFUSED", number=infinite)
        for symbol, number in exact.items():
            insert(rig, venue, symbol, number=number)
        insert(rig, venue, "NONE", number="NaN")
        insert(rig, venue, "BECOMES-NONE", number="7")
        rig.sql(
            "UPDATE instruments SET tick_size = 'NaN' WHERE venue = %s AND symbol = 'BECOMES-NONE'",
            venue,
        )
        none = {"NONE", "BECOMES-NONE"}
        set_aside = await_letters(rig, venue, none, "tick_size")
        assert {each["cause"] for each in set_aside.values()} == {"unrepresentable"}
        found = arrived(rig, venue, {*exact, "BECOMES-NONE"})
        assert found["BECOMES-NONE"].tick_size == 7, "a number that is none was written"
        trial.happened(f"{len(exact)} extreme numbers and 2 NaN committed; 3 infinite ones refused")
        rig.sql("DELETE FROM instruments WHERE venue = %s AND tick_size = 'NaN'", venue)
        arrived(rig, venue, set(exact))


@row("A24")
def test_a24_times(rig: Rig, trial: Trial) -> None:
    """Before 1970, the hour that a clock has twice, odd zones: equal to the µs."""
    venue = venue_of("times")
    times = {
        "BEFORE-EPOCH": ("1969-12-31 23:59:59.999999+00", "UTC"),
        "MICRO": ("2026-11-21 01:02:03.000001+00", "UTC"),
        "TWICE": ("2026-10-25 02:30:00.123456", "Europe/Berlin"),
        "FIRST": ("2026-10-25 02:30:00.123456 CEST", "Europe/Berlin"),
        "SKIPPED": ("2026-03-29 02:30:00", "Europe/Berlin"),
        "HALF-HOUR": ("2026-07-01 12:00:00", "America/St_Johns"),
        "QUARTER": ("2026-07-01 12:00:00.999999", "Asia/Kathmandu"),
        "ODD-SECOND": ("1890-01-01 00:00:00", "Europe/Amsterdam"),
        "FIRST-YEAR": ("0001-01-01 00:00:00+00", "UTC"),
        "LAST-YEAR": ("9999-12-31 23:59:59.999999+00", "UTC"),
    }
    endless = {"NEVER": "infinity", "ALWAYS": "-infinity"}
    with rig.under_load(trial):
        for symbol, (at, zone) in times.items():
            insert(rig, venue, symbol, at=at, zone=zone)
        for symbol, at in endless.items():
            insert(rig, venue, symbol, at=at)
        set_aside = await_letters(rig, venue, set(endless), "as_of")
        trial.note(
            f"infinite times: dead letters, {sorted(e['cause'] for e in set_aside.values())}"
        )
        rig.sql("DELETE FROM instruments WHERE venue = %s AND NOT isfinite(as_of)", venue)
        found = arrived(rig, venue, set(times))
        exact = dict(
            rig.sql(
                "SELECT symbol, (extract(epoch FROM as_of) * 1000000)::bigint FROM instruments "
                "WHERE venue = %s",
                venue,
            )
        )
        assert {symbol: each.as_of_us for symbol, each in found.items()} == exact
        assert found["BEFORE-EPOCH"].as_of_us == -1
        trial.happened(f"{len(times)} times from 6 zones, the years 1 to 9999, and 2 infinite ones")


@row("A25")
def test_a25_nulls(rig: Rig, trial: Trial) -> None:
    """Values that become NULL, and rows that never had one: NULL is read back, the row is there."""
    venue = venue_of("nulls")
    null = ", ".join(f"{name} = NULL" for name in NULLABLE)
    back = ", ".join(f"{name} = 5" for name in NULLABLE)
    with rig.under_load(trial):
        rig.sql(COIN, venue, "full", *[5] * len(NULLABLE), COINS)
        rig.sql(COIN, venue, "empty", *[None] * len(NULLABLE), COINS)
        for _ in range(ROUNDS):
            for change in (null, back, null):
                rig.sql(f"UPDATE coin_markets SET {change} WHERE venue = %s", venue)
        trial.happened(f"{2 * COINS} rows, {len(NULLABLE)} values of each set NULL {ROUNDS} times")
    rows = rig.cql(COINS_OF, venue)
    assert len(rows) == 2 * COINS
    assert {getattr(each, name) for each in rows for name in NULLABLE} == {None}
    most = max(tombstones(rig, venue, coin) for coin in ("full1", "empty1"))
    trial.note(f"{most} tombstones a read of one row")
    assert most < TOMBSTONES


def tombstones(rig: Rig, venue: str, coin: str) -> int:
    """Tombstones that Cassandra met while it read one coin's month, as its trace says."""
    month = datetime.fromisoformat(DAY).astimezone(UTC)
    with keyspace.session(rig.cdc, Role.OWNER) as session:
        found = session.execute(
            "SELECT * FROM coin_markets "
            "WHERE venue = %s AND coin_id = %s AND vs_currency = 'usd' AND month = %s",
            (venue, coin, month),
            trace=True,
        )
        assert len(list(found)) == 1
        events = found.get_query_trace(max_wait_sec=20).events
    told = [re.search(r"(\d+) tombstone cells", each.description) for each in events]
    counts = [int(each[1]) for each in told if each is not None]
    assert counts, "the trace says nothing of tombstones"
    return max(counts)
