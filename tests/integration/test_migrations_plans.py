"""Each hot query is served by its index: read from the plans on filled tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.naming import Role
from ingest import ledger_queries, queries
from tests.conftest import Stack
from tests.integration.scratch import Connection, connect, migrated_database, value

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)

# Forty symbols over today and yesterday; numbers are what a plan depends on, values are not.
FILL = """
INSERT INTO instruments SELECT 'simulator', 'S' || s, 'S' || s, 'USDT', 'TRADING', 1, 1, 0, now()
    FROM generate_series(1, 40) s;
INSERT INTO prices SELECT 'simulator', 'S' || s, t, 1
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '1 day', %(now)s, '2 minutes') t;
INSERT INTO depth SELECT 'simulator', 'S' || s, t, 1, '[]', '[]', 1, 1, 1, 1, 0, 0
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '1 day', %(now)s, '5 minutes') t;
INSERT INTO trades SELECT 'simulator', 'S' || s, extract(epoch FROM t), t,
                          extract(epoch FROM t) * 1000000, 1, 1, 1, 1, true, true
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '1 day', %(now)s, '1 minute') t;
INSERT INTO klines SELECT 'simulator', 'S' || s, i, t, t, 1, 1, 1, 1, 1, 1, 1, 1, 1, true, t
    FROM generate_series(1, 40) s, unnest(ARRAY['1m', '1h']) i,
         generate_series(%(now)s - interval '12 hours', %(now)s, '1 minute') t;
INSERT INTO ticker_24h_history
    SELECT 'simulator', 'S' || s, t, t, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '1 day', %(now)s, '5 minutes') t;
INSERT INTO movers_24h SELECT 'simulator', q, r, t, n, '', 0, 0, 0
    FROM unnest(ARRAY['USDT', 'BTC']) q, unnest(ARRAY['gainers', 'losers', 'volume']) r,
         generate_series(%(now)s - interval '1 day', %(now)s, '5 minutes') t,
         generate_series(1, 10) n;
INSERT INTO coin_markets (venue, coin_id, vs_currency, ts_event, symbol, name, price, as_of)
    SELECT 'coingecko', 'coin' || s, 'usd', t, 's', 'n', 1, t
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '2 days', %(now)s, '5 minutes') t;
INSERT INTO gaps SELECT 'simulator', 'S' || mod(s, 40), 'trades', s, s,
                        CASE WHEN mod(s, 500) = 0 THEN 'open' ELSE 'repaired' END,
                        'x', '', now(), now()
    FROM generate_series(1, 20000) s;
INSERT INTO certificates SELECT 'simulator', 'S' || s, t,
                                CASE WHEN mod(extract(epoch FROM t)::bigint / 60 + s, 100) = 0
                                     THEN 'differs' ELSE 'certified' END, 1, 1, 1, '', t
    FROM generate_series(1, 40) s,
         generate_series(%(now)s - interval '12 hours', %(now)s, '1 minute') t;
INSERT INTO events (venue, at, kind, message)
    SELECT venue, t, 'x', 'x'
    FROM unnest(ARRAY['simulator', 'binance', 'coingecko', 'coincap']) venue,
         generate_series(%(now)s - interval '10 days', %(now)s, '2 minutes') t;
INSERT INTO heartbeat SELECT source, t
    FROM unnest(ARRAY['ingest', 'debezium']) source,
         generate_series(%(now)s - interval '1 day', %(now)s, '10 seconds') t;
INSERT INTO quarantine (source, endpoint, reason, raw, received_at)
    SELECT 'simulator', 'x', 'x', 'x', t
    FROM generate_series(%(now)s - interval '10 days', %(now)s, '1 minute') t;
"""

BETWEEN = "venue = 'simulator' AND symbol = 'S7' AND {time} >= %(since)s AND {time} < %(now)s"


def between(table: str, time: str) -> str:
    """Verification and a chart: one symbol between two times, in the order of the key."""
    return f"SELECT * FROM {table} WHERE {BETWEEN.format(time=time)} ORDER BY {time}"


NEWEST_RANKING = """
SELECT rank, symbol FROM movers_24h
WHERE venue = 'simulator' AND quote_asset = 'USDT' AND ranking = 'gainers'
ORDER BY snapshot_at DESC, rank LIMIT 10
"""

COIN_PRICES = """
SELECT * FROM coin_markets
WHERE venue = 'coingecko' AND coin_id = 'coin7' AND vs_currency = 'usd' AND ts_event >= %(since)s
"""

QUERIES: dict[str, tuple[str, str]] = {
    # what is asked: (the query, the index that must serve it)
    "last trade ids": (queries.LAST_TRADE_IDS, "trades"),
    "the next trade id": (queries.NEXT_TRADE_ID, "trades"),
    "latest prices": (queries.LATEST_PRICES, "prices"),
    "last closed candles": (queries.LAST_CLOSED_KLINES, "pk_klines"),
    "holes in candles": (queries.MISSING_KLINES, "pk_klines"),
    "a symbol's prices": (between("prices", "observed_at"), "prices"),
    "a symbol's books": (between("depth", "observed_at"), "depth"),
    "a symbol's tape": (between("trades", "traded_at"), "trades"),
    "a symbol's statistics": (between("ticker_24h_history", "as_of"), "ticker_24h_history"),
    "newest ranking": (NEWEST_RANKING, "movers_24h"),
    "a coin's prices": (COIN_PRICES, "pk_coin_markets"),
    "open gaps": (
        "SELECT * FROM gaps WHERE venue = 'simulator' AND state = 'open' ORDER BY detected_at",
        "ix_gaps_open",
    ),
    "a venue's events": (
        "SELECT * FROM events WHERE venue = 'simulator' AND at >= %(since)s",
        "pk_events",
    ),
    "what happened last": ("SELECT * FROM events ORDER BY at DESC LIMIT 20", "ix_events_at"),
    "minutes to be certified": (ledger_queries.FRESH_MINUTES, "pk_klines"),
    "minutes to be looked at again": (ledger_queries.UNSETTLED_MINUTES, "certificates"),
    "minutes of a symbol": (ledger_queries.MINUTES, "trades"),
    "holes of a symbol": (ledger_queries.HOLES, "trades"),
    "trades beside a range": (ledger_queries.AROUND, "trades"),
    "gaps of a symbol": (ledger_queries.GAPS_AMONG, "pk_gaps"),
    "newest heartbeat": (
        "SELECT max(beat_at) FROM heartbeat WHERE source = 'ingest'",
        "heartbeat",
    ),
    "quarantined lately": (
        "SELECT count(*) FROM quarantine WHERE received_at >= %(since)s",
        "ix_quarantine_received_at",
    ),
}

PARAMETERS = {
    "venue": "simulator",
    "after": 1,
    "symbol": "S7",
    "interval": "1m",
    "intervals": ["1m", "1h"],
    "since": NOW - HOUR,
    "start": NOW - HOUR,
    "end": NOW,
    "now": NOW,
    "step": "1 minutes",
    "symbols": [f"S{number}" for number in range(1, 41)],
    "until": NOW,
    "limit": 100,
    "state": "differs",
    "after_symbol": "",
    "stream": "trades",
    "first": 1,
    "last": 1000,
}


@pytest.fixture(scope="module")
def owner(postgres: Stack) -> Iterator[Connection]:
    with (
        migrated_database(postgres.settings) as database,
        closing(connect(database, Role.OWNER)) as connection,
    ):
        connection.cursor().execute(FILL, {"now": NOW})
        connection.cursor().execute("ANALYZE")
        yield connection


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, from the top."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("name", QUERIES)
def test_query_is_served_by_its_index(owner: Connection, name: str) -> None:
    """By the index that is named for it, and no large table is read whole.

    An index of a partition has the partition's name in it.
    """
    sql, index = QUERIES[name]
    with owner.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", PARAMETERS)
        ((plan,),) = cursor.fetchall()
    scans = list(nodes(plan[0]["Plan"]))
    used = [node["Index Name"] for node in scans if "Index Name" in node]
    assert any(found.startswith(index) for found in used), used
    read_whole = [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"]
    assert set(read_whole) <= {"instruments"}, read_whole


def test_last_trade_id_is_the_highest(owner: Connection) -> None:
    """What the index finds at its end is what max() finds by reading all."""
    highest = value(owner, "SELECT max(trade_id) FROM trades WHERE symbol = 'S7'")
    with owner.cursor() as cursor:
        cursor.execute(queries.LAST_TRADE_IDS, PARAMETERS)
        assert dict(cursor.fetchall())["S7"] == highest
