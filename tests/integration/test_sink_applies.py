"""The sink on a real log and a real Cassandra: what Cassandra holds after whatever happened."""

from __future__ import annotations

import json
import random
import signal
import time
from decimal import Decimal
from typing import Any

import pytest

from cdc.position import Phase, write_timestamp
from contracts.naming import topic_of
from tests.integration.conftest import Replica
from tests.integration.sinking import (
    MOMENT,
    PLACEHOLDER,
    CraftedLog,
    Event,
    change,
    instrument_change,
    wait_until,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def log(replica: Replica) -> CraftedLog:
    """An empty log of a generation of its own; it outranks those of earlier tests."""
    return CraftedLog.begin(replica)


def statuses(log: CraftedLog) -> dict[str, str]:
    """{symbol: status} of the crafted instruments."""
    return {row.symbol: row.status for row in log.rows("instruments")}


def history(seed: int, transactions: int = 60) -> list[list[Event]]:
    """Transactions of one partition: changes of few keys, several of a key in one transaction."""
    draw = random.Random(seed)
    lsn, previous, made = 80_000, None, []
    alive: set[str] = set()
    for tx in range(transactions):
        events: list[Event] = []
        for _ in range(draw.randint(1, 6)):
            lsn += draw.choice((0, 8, 8, 64)) if events else 64
            symbol = f"H{draw.randrange(8)}"
            op = draw.choice("uuud") if symbol in alive else "c"
            (alive.discard if op == "d" else alive.add)(symbol)
            status = f"{tx}.{len(events)}"
            events.append(
                instrument_change(op, symbol, lsn=lsn, tx=tx, previous=previous, status=status)
            )
        made.append(events)
        previous = lsn = lsn + 64
    return made


def final(transactions: list[list[Event]]) -> dict[str, str]:
    """What PostgreSQL would hold after them."""
    rows: dict[str, str] = {}
    for event in (each for events in transactions for each in events):
        value = json.loads(event.value or b"")
        symbol = json.loads(event.key or b"")["symbol"]
        if value["op"] == "d":
            rows.pop(symbol, None)
        else:
            rows[symbol] = value["after"]["status"]
    return rows


def test_duplicates_and_reversed_transactions_leave_the_same_rows(log: CraftedLog) -> None:
    """Whole transactions in any order, any number of times; deletes stay deleted."""
    transactions = history(seed=7)
    log.produce(each for events in transactions for each in events)
    log.apply()
    assert hot_keys(log) == final(transactions)
    log.produce(each for events in reversed(transactions) for each in events)
    log.apply()
    assert hot_keys(log) == final(transactions)
    log.read_again()
    log.apply()
    assert hot_keys(log) == final(transactions)


def hot_keys(log: CraftedLog) -> dict[str, str]:
    """The statuses of the rows that `history` changes."""
    return {symbol: status for symbol, status in statuses(log).items() if symbol[0] == "H"}


def test_the_write_timestamp_is_the_position(log: CraftedLog) -> None:
    """Generation, phase, the later of previous commit and own LSN, rank."""
    log.produce(
        [
            instrument_change("r", "SNAP", lsn=8000, tx=1, snapshot="first"),
            instrument_change("c", "PLAIN", lsn=9600, tx=2, previous=8000),
            instrument_change("c", "LIFTED", lsn=9000, tx=3, previous=9608),
            instrument_change("u", "LIFTED", lsn=9008, tx=3, previous=9608),
        ]
    )
    log.apply()
    rows = log.replica.cql("SELECT symbol, writetime(status) AS at FROM instruments")
    at = {row.symbol: row.at for row in rows}
    generation = log.settings.generation
    assert at["SNAP"] == write_timestamp(generation, Phase.SNAPSHOT, 8000, 0)
    assert at["PLAIN"] == write_timestamp(generation, Phase.STREAM, 9600, 1)
    assert at["LIFTED"] == write_timestamp(generation, Phase.STREAM, 9608, 2)


def test_a_changed_key_leaves_only_the_new_row(log: CraftedLog) -> None:
    """Delete and create share an LSN; two rows may swap their keys in one transaction."""
    log.produce(
        [
            instrument_change("c", "X", lsn=8000, tx=1, status="first"),
            instrument_change("c", "Y", lsn=8008, tx=1, status="second"),
            instrument_change("d", "X", lsn=8080, tx=2, previous=8072),
            instrument_change("c", "T", lsn=8080, tx=2, previous=8072, status="first"),
            instrument_change("d", "Y", lsn=8088, tx=2, previous=8072),
            instrument_change("c", "X", lsn=8088, tx=2, previous=8072, status="second"),
            instrument_change("d", "T", lsn=8096, tx=2, previous=8072),
            instrument_change("c", "Y", lsn=8096, tx=2, previous=8072, status="first"),
        ]
    )
    log.apply()
    found = statuses(log)
    assert (found["X"], found["Y"]) == ("second", "first")
    assert "T" not in found


def test_values_arrive_exactly(log: CraftedLog) -> None:
    """38 digits, 18 places, signs, nulls, text of any script, times to the µs."""
    key = {"venue": "crafted", "coin_id": "ビット💰", "vs_currency": "usd"}
    amounts = {
        "price": "99999999999999999999.999999999999999999",
        "market_cap": None,
        "total_volume": "-1E-18",
        "high_24h": "0E-18",
        "low_24h": "-99999999999999999999.999999999999999999",
        "price_change_percent_24h": "1.10",
        "circulating_supply": None,
        "total_supply": "100000000000000000000.000000000000000000",
        "max_supply": None,
    }
    rest = {
        "symbol": "",
        "name": 'it\'s \u0000 "quoted"',
        "market_cap_rank": -(2**31),
        "as_of": "1969-12-31T23:59:59.999999Z",
        "ingested_at": "2026-11-20T22:07:10.485118Z",
    }
    log.produce(
        [
            change("coin_markets", "c", key | {"ts_event": MOMENT}, amounts | rest, lsn=8000, tx=1),
            change(
                "coin_markets",
                "c",
                key | {"ts_event": "1969-07-20T20:17:40.000000Z"},
                dict.fromkeys(amounts) | rest,
                lsn=8008,
                tx=2,
            ),
        ]
    )
    log.apply()
    landing, row = sorted(log.rows("coin_markets"), key=lambda each: each.ts_event)
    for name, text in amounts.items():
        assert getattr(row, name) == (None if text is None else Decimal(text))
        assert getattr(landing, name) is None
    assert (row.coin_id, row.name) == (key["coin_id"], rest["name"])
    assert (row.symbol, row.market_cap_rank) == ("", -(2**31))
    assert (row.as_of_us, row.ingested_at_us) == (-1, 1_795_212_430_485_118)
    assert row.as_of.isoformat() == "1969-12-31T23:59:59.999000"
    assert landing.month.isoformat() == "1969-07-01T00:00:00"


def depth_event(op: str, bids: str, lsn: int, tx: int) -> Event:
    """A change of one order book."""
    amounts = ("best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity", "spread")
    return change(
        "depth",
        op,
        {"venue": "crafted", "symbol": "D", "observed_at": MOMENT},
        {
            "last_update_id": lsn,
            "bids": bids,
            "asks": "[]",
            **dict.fromkeys((*amounts, "imbalance"), "1"),
            "ingested_at": MOMENT,
        },
        lsn=lsn,
        tx=tx,
    )


def test_an_unchanged_large_value_stays(log: CraftedLog) -> None:
    """Its placeholder never lands, even when both changes are in one batch or come reversed."""
    bids = '[["1.5", "2"]]'
    created = depth_event("c", bids, lsn=8000, tx=1)
    touched = depth_event("u", PLACEHOLDER, lsn=8080, tx=2)
    log.produce([created, touched, touched, created])
    log.apply()
    for table in ("depth_by_hour", "latest_depth"):
        (row,) = log.rows(table)
        assert row.bids == bids
    (row,) = log.rows("depth_by_hour")
    assert row.last_update_id == 8080


POISON: tuple[tuple[str, bytes | None, bytes], ...] = (
    ("undecodable", b'{"id":1}', b"no json \xff\x00"),
    ("undecodable", b'{"id":2}', b""),
    ("undecodable", b'{"id":3}', b'{"op":"c","ts_us":1,"source":{"table":"instruments"}}'),
    ("undecodable", b'{"id":4}', (instrument_change("x", "P", lsn=8, tx=1).value or b"")),
    ("undecodable", b'{"id":5}', (instrument_change("c", "P", lsn=9, tx=1).value or b"")),
    ("undecodable", None, (instrument_change("c", "P", lsn=8, tx=1).value or b"")),
    ("undecodable", b'{"id":6}', b'"' + b"x" * 5_000_000 + b'"'),
    (
        "unrepresentable",
        b'{"id":7}',
        (instrument_change("c", "P", lsn=8, tx=1).value or b"").replace(b"1E-18", b"NAN"),
    ),
)


def test_poison_becomes_dead_letters_with_its_exact_bytes(log: CraftedLog) -> None:
    """Each says why and where from; good events before, between and after are applied."""
    events = []
    for number, (_cause, key, value) in enumerate(POISON):
        events.append(instrument_change("c", f"G{number}", lsn=8000 + 80 * number, tx=number))
        events.append(Event("instruments", key, value))
    log.produce(events)
    log.apply()
    letters = log.dead_letters(len(POISON))
    for number, (letter, (cause, key, value)) in enumerate(zip(letters, POISON, strict=True)):
        says = {name: text.decode() for name, text in letter.headers()}
        assert (letter.key(), letter.value()) == (key, value)
        assert says["cause"] == cause
        assert says["topic"] == topic_of("instruments", log.settings.generation)
        assert (says["partition"], says["offset"]) == ("0", str(2 * number + 1))
        assert says["reason"]
        assert "cut_from_bytes" not in says
    assert {f"G{number}" for number in range(len(POISON))} <= set(statuses(log))
    assert "P" not in statuses(log)


def test_a_dead_letter_that_cannot_be_stored_stops_the_sink(log: CraftedLog) -> None:
    """It is not passed: once the topic is there again, it is a dead letter after all."""
    log.delete_dead_letter_topic()
    log.produce([Event("instruments", b"{}", b"junk"), instrument_change("c", "Z", lsn=80, tx=1)])
    with log.sink() as process:
        assert process.wait(90) == 1
    assert log.committed()[topic_of("instruments", log.settings.generation), 0] <= 0


def test_a_truncate_halts_its_table_and_no_other(log: CraftedLog) -> None:
    """What came before it is applied; after a restart it halts again."""
    generation = log.settings.generation
    truncate = change("instruments", "t", {}, lsn=8080, tx=2)
    gap = change(
        "gaps",
        "c",
        {"venue": "crafted", "symbol": "S", "stream": "trades", "first_missing": generation},
        {
            "last_missing": generation,
            "state": "open",
            "cause": "shed",
            "detail": "",
            "detected_at": MOMENT,
            "as_of": MOMENT,
            "ingested_at": MOMENT,
        },
        lsn=8160,
        tx=3,
    )
    log.produce(
        [
            instrument_change("c", "BEFORE", lsn=8000, tx=1),
            Event("instruments", None, truncate.value),
            instrument_change("c", "AFTER", lsn=8240, tx=4),
        ]
    )
    for _ in range(2):
        with log.sink():
            wait_until(lambda: "BEFORE" in statuses(log))
            log.produce([gap] if len(log.produced) == 3 else [])
            wait_until(lambda: any(row.first_missing == generation for row in log.rows("gaps")))
            time.sleep(1.5)
        assert "AFTER" not in statuses(log)
        assert log.acknowledged()[topic_of("instruments", generation), 0] == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_sink_loses_nothing(log: CraftedLog, seed: int) -> None:
    """SIGKILL while it writes, more than once; the next one goes on from what was committed."""
    draw = random.Random(seed)
    count = 30_000
    log.produce(
        instrument_change(
            "c", f"K{number}", lsn=8000 + 8 * number, tx=number // 7, partition=number % 4
        )
        for number in range(count)
    )
    kills = 0
    for _ in range(3):
        with log.sink() as process:
            wait_until(lambda: len(log.acknowledged()) > 0 or process.poll() is not None)
            time.sleep(draw.uniform(0.0, 0.7))
            process.send_signal(signal.SIGKILL)
            kills += process.wait(10) == -signal.SIGKILL
    assert kills == 3
    log.apply()
    found = statuses(log)
    assert all(found[f"K{number}"] == f"c@{8000 + 8 * number}" for number in range(count))


def test_what_is_committed_is_a_transactions_beginning(log: CraftedLog) -> None:
    """The last transaction of a partition stays open: its end is not known yet."""
    log.produce(
        instrument_change("c", f"B{number}", lsn=8000 + 8 * number, tx=number // 10)
        for number in range(35)
    )
    log.apply()
    topic = topic_of("instruments", log.settings.generation)
    assert log.acknowledged()[topic, 0] == 35
    assert log.committed()[topic, 0] == 30


def test_retention_that_passed_the_sink_stops_it(log: CraftedLog) -> None:
    """An alarm and exit code 1, not a skip."""
    log.produce(
        instrument_change("c", f"R{number}", lsn=8000 + 8 * number, tx=number)
        for number in range(10)
    )
    log.drop_before(topic_of("instruments", log.settings.generation), 0, 5)
    done: Any = log.replica.tidemark("sink")
    assert done.returncode == 1
    assert "Kafka dropped events" in done.stderr


def test_the_sink_ends_within_ten_seconds_of_sigterm(log: CraftedLog) -> None:
    """With work under way; what it read and wrote is committed."""
    log.produce(
        instrument_change("c", f"E{number}", lsn=8000 + 8 * number, tx=number)
        for number in range(20_000)
    )
    with log.sink() as process:
        wait_until(lambda: len(log.acknowledged()) > 0)
        start = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        assert time.monotonic() - start < 10
    topic = topic_of("instruments", log.settings.generation)
    assert log.committed()[topic, 0] >= log.acknowledged()[topic, 0] - 1
