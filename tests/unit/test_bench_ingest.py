"""The ingest's benchmark says what its windows showed, and knows what its rows come to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tests.benchmarks.ingest import document, journal, peers, rows, statements
from tests.benchmarks.ingest.contestants import COPY, OURS
from tests.benchmarks.ingest.standings import RIVAL, goals, rounds_of, shares, standings

LIMIT = 6000


def request(at_ms: int, **more: Any) -> dict[str, Any]:
    """A whole page of candles that was answered."""
    return {
        "at_ms": at_ms,
        "path": "/api/v3/klines",
        "query": "symbol=BTCUSDT&interval=1m&limit=1000",
        "status": 200,
        "weight": 2,
    } | more


def window(part: str, contestant: str, number: int, **more: Any) -> dict[str, Any]:
    """A window of 10 s in which a thousand rows took a tenth of a second of CPU each side."""
    return {
        "part": part,
        "contestant": contestant,
        "round": number,
        "seconds": 10.0,
        "rows": 1000,
        "share": 0.5,
        "refused": 0,
        "client_cpu_s": 0.1,
        "postgres_cpu_s": 0.1,
        "exchange_cpu_s": 0.2,
        "wal_bytes": 500_000,
        "load": (1.5, 1.7),
        "others": 0.02,
        "wrong": [],
    } | more


def upsert(contestant: str, number: int, count: int) -> dict[str, Any]:
    return window("upserts", contestant, number, rows=count, work="trades, fresh")


def test_a_share_counts_whole_pages_that_were_answered_within_the_window() -> None:
    log = [
        request(999),
        request(1000),
        request(30_000),
        request(31_000, query="symbol=BTCUSDT&interval=1m&startTime=0&limit=1"),
        request(32_000, path="/api/v3/exchangeInfo", weight=20),
        request(33_000, status=429),
        request(61_000),
    ]
    found = journal.asked(log, 1000, 61_000)
    assert (found.pages, found.weight, found.refused, found.rows) == (2, 4, 1, 2000)
    assert found.share(LIMIT, 60) == 4 / LIMIT
    assert found.share(LIMIT, 120) == 2 / LIMIT
    assert found.share(0, 60) == 0


def test_ratios_are_taken_within_each_round_and_wrong_windows_count_for_nothing() -> None:
    windows = [
        upsert(COPY, 1, 4000),
        upsert(RIVAL, 1, 1000),
        upsert(COPY, 2, 9000),
        upsert(RIVAL, 2, 3000),
        upsert(COPY, 3, 50),
        upsert(RIVAL, 3, 1) | {"wrong": ["rows is 1 instead of 2"]},
    ]
    found = standings(rounds_of(windows, "upserts", "trades, fresh"), COPY)
    ratio = found[RIVAL].ratio
    assert (ratio.median, ratio.least, ratio.most, ratio.rounds) == (3.5, 3, 4, 2)
    assert found[COPY].rows_per_s.median == 400
    assert found[COPY].postgres_us.least == pytest.approx(0.1 / 9000 * 1e6)


def test_goals_are_met_missed_or_not_measured() -> None:
    windows = [
        window("limited", OURS, 1, share=0.96),
        window("limited", "ccxt", 1, share=1.0),
        window("free", OURS, 1, rows=400_000),
        upsert(COPY, 1, 400),
        upsert(RIVAL, 1, 100),
    ]
    met = {each.text: each.met for each in goals(windows)}
    assert met.pop("backfill ÷ the exchange's limit") is True
    assert met.pop("backfill without a limit, thousand rows/s") is False
    assert met.pop(f"rows/s, {COPY} ÷ {RIVAL}, trades, fresh") is True
    assert set(met.values()) == {None}
    assert shares(windows)["ccxt"].median == 1


def test_the_document_says_who_only_makes_lists_and_who_is_absent() -> None:
    told = document.section(
        {
            "conditions": "Measured once",
            "windows": [
                window("limited", OURS, 1, share=0.97),
                window("free", OURS, 1),
                window("free", "ccxt", 1, rows=500),
                upsert(COPY, 1, 500),
                upsert("asyncpg-copy", 1, 500) | {"wrong": ["price is 1 instead of 2"]},
            ],
            "absent": {"ccxt-async": "pip failed: no wheel"},
        }
    )
    assert "| **ccxt** (lists)" in told
    assert f"| **{OURS}**: `tidemark backfill" in told
    assert "| backfill ÷ the exchange's limit | 0.97 (0.97–0.97) | ≥ 0.95 |" in told
    assert "pip failed: no wheel" in told
    assert "| **asyncpg-copy**" not in told
    assert "price is 1 instead of 2" in told


@pytest.mark.parametrize("table", rows.PASSES)
def test_sums_notice_a_row_that_is_missing_and_values_that_change_places(table: str) -> None:
    made = rows.made(table, "fresh", 50)
    wanted = rows.expected(table, made)
    assert wanted.keys() == rows.expressions(table, made[0]).keys()
    assert rows.differences(rows.expected(table, made), wanted) == []
    assert rows.differences(rows.expected(table, made[1:]), wanted)
    name = "price" if table == "trades" else "close"
    first, second = made[0], made[1]
    swapped = [_with(first, name, second), _with(second, name, first), *made[2:]]
    (difference,) = rows.differences(rows.expected(table, swapped), wanted)
    assert difference.startswith(f"{name} is")


def _with(row: Any, name: str, other: Any) -> Any:
    fields = {each: getattr(row, each) for each in row.__struct_fields__}
    return type(row)(**fields | {name: getattr(other, name)})


def test_revised_candles_are_newer_and_differ() -> None:
    fresh, revised = rows.made("klines", "fresh", 3), rows.made("klines", "revised", 3)
    assert [row.open_time for row in fresh] == [row.open_time for row in revised]
    for old, new in zip(fresh, revised, strict=True):
        assert new.as_of > old.as_of
        assert new.volume == old.volume + Decimal(1)


def test_a_transaction_has_so_many_rows() -> None:
    assert [len(each) for each in rows.chunks(range(10), 4)] == [4, 4, 2]


def test_peers_say_do_nothing_of_trades_and_never_go_backwards_with_candles() -> None:
    trades, candles = statements.values("trades", "VALUES %s"), statements.numbered("klines")
    assert trades.endswith('("venue", "symbol", "traded_at", "trade_id") DO NOTHING')
    assert '(excluded."is_closed", excluded."as_of") >= (klines."is_closed"' in candles
    assert "IS DISTINCT FROM" in candles
    assert f"${len(statements.names('klines'))})" in candles
    assert '"ingested_at" = excluded."ingested_at"' in candles


@pytest.mark.parametrize("table", rows.PASSES)
def test_the_statement_of_sqlalchemy_has_the_same_conditions(table: str) -> None:
    statement: sa.sql.dml.Insert = statements.core(table)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy gives it no types
    said = str(statement.compile(dialect=dialect))
    text = statements.values(table, "")
    _, marked, where = text.partition("WHERE ")
    assert ("DO NOTHING" in said) == ("DO NOTHING" in text)
    assert not marked or where in said


def test_a_peer_waits_for_the_next_minute_only_where_the_limit_is_reached() -> None:
    assert 0 < peers.pause_s(RuntimeError("code=-1003: Too much request weight used")) <= 60.1
    with pytest.raises(RuntimeError, match="1121"):
        peers.pause_s(RuntimeError("code=-1121: Invalid symbol."))
