"""Backfills from the simulated archive into a real PostgreSQL: the same rows, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.naming import Role
from ingest.backfill.apply import Outcome
from ingest.backfill.plan import Prefer, SymbolPlan
from ingest.backfill.session import BackfillSession
from ingest.batch import Batch
from ingest.binance.archive import Archive
from ingest.binance.archived_trades import ArchivedTrades
from ingest.exchange import choose
from ingest.settings import IngestSettings
from ingest.span import Span, in_ms
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.conftest import Stack
from tests.integration import scratch
from tests.integration.ingesting import Simulator, settings_for
from tests.market_rows import gap

pytestmark = pytest.mark.integration

SYMBOL = "TAOUSDT"  # 2.7 trades a minute
DAY = datetime(2026, 3, 5, tzinfo=UTC)
TRADES = "/data/spot/*/trades/*"
KLINES = "/data/spot/*/klines/*"

STORED_TRADES = """
SELECT trade_id, (extract(epoch FROM traded_at) * 1000)::bigint, price, quantity, quote_quantity,
       is_buyer_maker, is_best_match
FROM trades WHERE symbol = %s ORDER BY trade_id
"""
STORED_KLINES = """
SELECT (extract(epoch FROM open_time) * 1000)::bigint, open, high, low, close, volume,
       (extract(epoch FROM close_time) * 1000)::bigint, quote_volume, trade_count,
       taker_buy_volume, taker_buy_quote_volume, is_closed
FROM klines WHERE symbol = %s ORDER BY open_time
"""


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    """The exchange, well, with its usual weight limit."""
    exchange.reset()
    return exchange


@pytest.fixture
def database(postgres: Stack) -> Iterator[PostgresEndpoint]:
    """A migrated database of the test's own."""
    with scratch.migrated_database(postgres.settings) as made:
        yield made


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    changes = {"attempts": 2, "backoff_s": 0.05}
    return settings_for(database, simulator, tmp_path).model_copy(update=changes)


@pytest.fixture
def owner(database: PostgresEndpoint) -> Iterator[scratch.Connection]:
    with closing(scratch.connect(database, Role.OWNER)) as connection:
        yield connection


def span(begin: datetime, length: timedelta) -> Span:
    return Span(in_ms(begin), in_ms(begin + length))


async def _backfill(
    settings: IngestSettings, stream: str, when: Span, symbols: tuple[str, ...], source: Prefer
) -> tuple[list[SymbolPlan], list[Outcome]]:
    async with BackfillSession(settings, source) as session:
        if stream == "trades":
            plans = await session.plan_trades(symbols, when, lambda *_: None)
        else:
            plans = await session.plan_klines(symbols, stream, when, lambda *_: None)
        return plans, await session.apply(plans, lambda *_: None, lambda *_: None)


def backfill(
    settings: IngestSettings,
    stream: str,
    when: Span,
    symbol: str = SYMBOL,
    source: Prefer = "archive",
) -> tuple[SymbolPlan, Outcome]:
    """Plan and apply, in this process; `stream`: trades, or an interval of candles."""
    (plan,), (outcome,) = asyncio.run(_backfill(settings, stream, when, (symbol,), source))
    return plan, outcome


def sources(plan: SymbolPlan) -> list[str]:
    return [piece.file.path.rsplit("/")[-1] if piece.file else "rest" for piece in plan.pieces]


def told(simulator: Simulator, symbol: str, when: Span) -> list[tuple[Any, ...]]:
    """The trades that the exchange says, read without any code of ours, as STORED_TRADES has."""
    path = "/api/v3/aggTrades"
    (first,) = simulator.get(path, symbol=symbol, startTime=when.start, limit=1)
    rows: list[tuple[Any, ...]] = []
    next_id = first["f"]
    while True:
        page = simulator.get("/api/v3/historicalTrades", symbol=symbol, fromId=next_id, limit=1000)
        for row in page:
            if row["time"] >= when.end:
                return rows
            amounts = map(Decimal, (row["price"], row["qty"], row["quoteQty"]))
            rows.append((row["id"], row["time"], *amounts, row["isBuyerMaker"], row["isBestMatch"]))
        next_id = page[-1]["id"] + 1


def test_trades_of_a_day_are_the_exchanges_from_either_source(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Digit for digit; the day's partition is made; over what is there nothing is written twice."""
    when = span(DAY, timedelta(days=1))
    plan, outcome = backfill(settings, "trades", when)
    assert sources(plan) == ["TAOUSDT-trades-2026-03-05.zip"]
    theirs = told(simulator, SYMBOL, when)
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == theirs
    assert (outcome.received, outcome.stored, outcome.gaps) == (len(theirs), len(theirs), [])
    (kept,) = scratch.fetch(owner, "SELECT source, length(checksum) FROM backfills")
    assert kept == (plan.pieces[0].file and plan.pieces[0].file.path, 64)
    notional = "SELECT count(*) FROM trades WHERE notional_usd <> quote_quantity"
    assert scratch.value(owner, notional) == 0

    assert backfill(settings, "trades", when)[0].pieces == ()
    owner.cursor().execute("DELETE FROM backfills")
    plan, outcome = backfill(settings, "trades", when, source="rest")
    assert sources(plan) == ["rest"]
    assert (outcome.received, outcome.stored) == (len(theirs), 0)
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == theirs


def test_the_exact_microseconds_stand_beside_trades_of_an_archive(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Files of 2025 and later have them; those before have not, and are the same trades."""
    backfill(settings, "trades", span(DAY, timedelta(hours=1)))
    exact = "SELECT count(*) FILTER (WHERE traded_at_us %% 1000 <> 0), count(*) FROM trades"
    exact += " WHERE traded_at >= %s"
    some, of = scratch.fetch(owner, exact, DAY)[0]
    assert 0.9 * of < some <= of
    before = datetime(2024, 12, 31, 23, tzinfo=UTC)
    backfill(settings, "trades", span(before, timedelta(hours=1)))
    assert scratch.fetch(owner, exact.replace(">=", "<"), DAY)[0][0] == 0


def test_a_year_turns_in_the_middle_of_a_backfill(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The file of 31 December is in ms, that of 1 January in µs."""
    when = span(datetime(2024, 12, 31, 22, tzinfo=UTC), timedelta(hours=4))
    plan, _ = backfill(settings, "trades", when)
    assert sources(plan) == [
        "TAOUSDT-trades-2024-12-31.zip",
        "TAOUSDT-trades-2025-01-01.zip",
    ]
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == told(simulator, SYMBOL, when)


def test_a_trade_in_bitcoin_is_worth_what_bitcoin_was_then(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """By the close of the last whole minute before it, of BTCUSDT."""
    backfill(settings, "trades", span(DAY, timedelta(hours=2)), "SOLBTC")
    start = in_ms(DAY) - 60_000
    page = simulator.get(
        "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=start, limit=1000
    )
    closes = {row[0] + 60_000: Decimal(row[4]) for row in page}
    rows = scratch.fetch(
        owner,
        "SELECT (extract(epoch FROM date_trunc('minute', traded_at)) * 1000)::bigint, "
        "quote_quantity, notional_usd FROM trades",
    )
    assert len(rows) > 100
    assert all(usd == round(quote * closes[minute], 18) for minute, quote, usd in rows)
    assert all(usd > 0 for _, _, usd in rows)


def test_half_of_a_file_is_loaded_and_then_the_other_half(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """What is stored already is not stored again, also where one file holds both."""
    morning, day = span(DAY, timedelta(hours=12)), span(DAY, timedelta(days=1))
    _, first = backfill(settings, "trades", morning)
    plan, second = backfill(settings, "trades", day)
    ((start, end, file),) = [(p.span.start, p.span.end, p.file) for p in plan.pieces]
    assert (start, end) == (morning.end, day.end)
    assert file is not None
    theirs = told(simulator, SYMBOL, day)
    assert first.stored + second.stored == second.received + first.received == len(theirs)
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == theirs


def test_trades_that_a_stream_brought_are_left_as_they_are(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """A backfill over them adds what is missing, and nothing else."""
    hour = span(DAY, timedelta(hours=1))
    backfill(settings, "trades", hour, source="rest")
    cursor = owner.cursor()
    cursor.execute("DELETE FROM trades WHERE trade_id % 3 = 0; DELETE FROM backfills")
    kept = "SELECT trade_id, traded_at_us, ingested_at FROM trades WHERE trade_id % 3 <> 0"
    before = scratch.fetch(owner, f"{kept} ORDER BY trade_id")
    _, outcome = backfill(settings, "trades", hour)
    assert outcome.stored == outcome.received - len(before)
    assert scratch.fetch(owner, f"{kept} ORDER BY trade_id") == before
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == told(simulator, SYMBOL, hour)


def test_a_day_that_was_dropped_stays_recorded_as_dropped(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """Then verification ignores what only Cassandra has of it, and a second run loads nothing."""
    hour = span(DAY, timedelta(hours=1))
    backfill(settings, "trades", hour)
    dropped = "SELECT day::text FROM dropped_days WHERE table_name = 'trades'"
    owner.cursor().execute("SELECT drop_partition('trades', '2026-03-05')")
    assert backfill(settings, "trades", hour)[0].pieces == ()
    backfill(settings, "trades", span(DAY + timedelta(hours=1), timedelta(hours=1)))
    assert scratch.value(owner, "SELECT count(*) FROM trades") > 100
    assert scratch.fetch(owner, dropped) == [("2026-03-05",)]


def test_a_repair_gets_trades_of_the_archive_by_their_ids(
    settings: IngestSettings, simulator: Simulator
) -> None:
    """Over midnight, exactly those; of a day without a file nothing, and no error."""
    night = span(DAY + timedelta(hours=23), timedelta(hours=2))
    theirs = told(simulator, SYMBOL, night)
    ids = range(theirs[10][0], theirs[-10][0])
    simulator.fault("/data/spot/daily/trades/*-2026-03-07.zip*", None, do="page", name="not_found")

    async def read() -> list[tuple[int, Decimal]]:
        exchange = await choose(settings)
        async with Archive(settings, exchange.archive_url) as archive:
            source = ArchivedTrades(archive, exchange.venue)
            nights = Span(night.start, night.end + 86_400_000)
            rows = source.with_ids(SYMBOL, ids, nights)
            return [(row.trade_id, row.price) async for parsed in rows for row in parsed.rows]

    expected = [(row[0], row[2]) for row in theirs if row[0] in ids]
    assert asyncio.run(read()) == expected


def test_candles_of_a_month_are_the_exchanges(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The cheapest mix: a file for the whole month, pages for the days beside it."""
    begin = datetime(2026, 1, 31, tzinfo=UTC)
    when = span(begin, timedelta(days=30))
    plan, outcome = backfill(settings, "1m", when, "BTCUSDT", "auto")
    assert sources(plan) == ["rest", "BTCUSDT-1m-2026-02.zip", "rest"]
    assert (outcome.stored, outcome.gaps) == (30 * 1440, [])
    from_file = scratch.fetch(owner, STORED_KLINES, "BTCUSDT")
    owner.cursor().execute("DELETE FROM klines; DELETE FROM backfills")
    backfill(settings, "1m", when, "BTCUSDT", "rest")
    assert scratch.fetch(owner, STORED_KLINES, "BTCUSDT") == from_file
    # one log for both: the pages of the second run alone are 44 and the first candle
    assert 40 < len(simulator.log("/api/v3/klines")) < 60


@pytest.mark.parametrize(("lists", "state"), [(2, "exchange-confirmed"), (1, "open")])
def test_what_a_file_lacks_is_asked_for_and_what_nobody_has_is_confirmed(
    settings: IngestSettings,
    simulator: Simulator,
    owner: scratch.Connection,
    lists: int,
    state: str,
) -> None:
    """A hole in the middle, the file's own end, and trades that REST has not either.

    They are lost only where aggTrades does not count them.
    """
    when = span(DAY, timedelta(hours=2))
    theirs = told(simulator, SYMBOL, when)
    ids = [row[0] for row in theirs]
    simulator.fault(TRADES, None, do="hide", field=0, first=ids[100], last=ids[199])
    sums = simulator.get("/api/v3/aggTrades", symbol=SYMBOL, startTime=when.start, limit=1000)
    two = [row for row in sums if ids[150] <= row["f"]][:2]
    lost = (two[0]["f"], two[-1]["l"])
    for path, field in (("historicalTrades", "id"), ("aggTrades", "f"))[:lists]:
        rule: dict[str, Any] = {"do": "hide", "field": field, "first": lost[0], "last": lost[1]}
        simulator.fault(f"/api/v3/{path}", None, **rule)
    _, outcome = backfill(settings, "trades", when)
    assert outcome.gaps == [lost]
    gaps = scratch.fetch(
        owner, "SELECT stream, first_missing, last_missing, state, cause FROM gaps"
    )
    assert gaps == [("trades", *lost, state, "exchange")]
    expected = [row for row in theirs if not lost[0] <= row[0] <= lost[1]]
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == expected


def test_gaps_that_a_backfill_fills_are_repaired_and_others_stay(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Left open by whomever; one that reaches beyond what was loaded is not judged."""
    when = span(DAY, timedelta(hours=1))
    first = told(simulator, SYMBOL, when)[0][0]
    begin = in_ms(DAY)
    store = Store(settings)
    store.write(
        Batch(
            gaps=[
                gap(first + 3, symbol=SYMBOL),
                gap(first - 2, symbol=SYMBOL),
                gap(begin, symbol=SYMBOL, stream="klines_1m", last_missing=begin + 60_000),
            ]
        )
    )
    store.close()
    backfill(settings, "trades", when)
    backfill(settings, "1m", when)
    states = scratch.fetch(owner, "SELECT first_missing, state FROM gaps ORDER BY 1")
    assert states == [(first - 2, "open"), (first + 3, "repaired"), (begin, "repaired")]


def test_a_hole_that_was_confirmed_is_repaired_by_a_file_that_is_published_anew(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The exchange has found what it had lost."""
    when, at = span(DAY, timedelta(days=1)), in_ms(DAY) + 600 * 60_000
    for path, place in ((KLINES, at * 1000), ("/api/v3/klines", at)):  # the file is in µs
        simulator.fault(path, None, do="hide", field=0, first=place, last=place)
    _, outcome = backfill(settings, "1m", when)
    lost = DAY + timedelta(hours=10)
    assert outcome.gaps == [(lost, lost)]
    state = "SELECT state FROM gaps WHERE first_missing = %s"
    assert scratch.value(owner, state, at) == "exchange-confirmed"
    simulator.heal()
    _, outcome = backfill(settings, "1m", when)
    assert outcome.gaps == []
    assert scratch.value(owner, state, at) == "repaired"


def test_file_that_ends_too_early_is_completed(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Its checksum is right: only the ids that aggTrades names show that something is missing."""
    when = span(DAY, timedelta(hours=1))
    theirs = told(simulator, SYMBOL, when)
    simulator.fault(TRADES, None, do="hide", field=0, first=theirs[-50][0], last=10**12)
    _, outcome = backfill(settings, "trades", when)
    assert outcome.gaps == []
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == theirs


def test_bad_line_of_a_file_is_set_aside_and_its_trade_asked_for(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Evidence and trade are both there."""
    when = span(DAY, timedelta(hours=1))
    simulator.fault(TRADES, None, do="replace", field=1, value="NaN", row=7)
    _, outcome = backfill(settings, "trades", when)
    assert outcome.quarantined == 1
    ((endpoint, reason),) = scratch.fetch(owner, "SELECT endpoint, reason FROM quarantine")
    assert endpoint == "archive trades"
    assert "price is 'NaN'" in reason
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == told(simulator, SYMBOL, when)


def test_file_with_a_header_is_read_all_the_same(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """By the names of its columns."""
    simulator.fault(KLINES, None, do="header")
    _, outcome = backfill(settings, "1m", span(DAY, timedelta(days=1)))
    assert (outcome.stored, outcome.quarantined) == (1440, 0)
    assert scratch.value(owner, "SELECT count(*) FROM klines") == 1440


@pytest.mark.parametrize("fault", [{"do": "wrong_checksum"}, {"do": "cut", "close": False}])
def test_file_that_is_wrong_is_retried_then_refused_and_the_next_one_loaded(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection, fault: dict[str, Any]
) -> None:
    """Nothing of it is stored; once it is well it is loaded, and only it."""
    two_days = span(DAY, timedelta(days=2))
    path = "/data/spot/daily/trades/*-2026-03-05.zip"
    path += ".CHECKSUM" if fault["do"] == "wrong_checksum" else ""
    simulator.fault("/data/spot/monthly/*", None, do="page", name="not_found")
    simulator.fault(path, None, **fault)
    _, outcome = backfill(settings, "trades", two_days)
    (failure,) = outcome.failures
    assert "TAOUSDT-trades-2026-03-05.zip" in failure
    assert "2 times in a row" in failure
    assert scratch.value(owner, "SELECT min(traded_at) FROM trades") >= DAY + timedelta(days=1)
    simulator.heal()
    plan, outcome = backfill(settings, "trades", two_days)
    assert sources(plan) == ["TAOUSDT-trades-2026-03-05.zip"]
    assert outcome.failures == []
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == told(simulator, SYMBOL, two_days)


def test_file_that_is_cut_once_is_downloaded_again(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """A broken connection, or a body that claims to be whole."""
    simulator.fault("/data/spot/daily/trades/*-2026-03-05.zip", 2, do="cut")  # HEAD and GET
    _, outcome = backfill(settings, "trades", span(DAY, timedelta(days=1)))
    assert outcome.failures == []
    assert scratch.value(owner, "SELECT count(*) FROM trades") == outcome.received


def test_missing_file_is_replaced_by_pages(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """404 for the month and one of two days."""
    for path in ("/data/spot/monthly/*", "/data/spot/daily/*-2026-03-06.zip*"):
        simulator.fault(path, None, do="page", name="not_found")
    two_days = span(DAY, timedelta(days=2))
    plan, _ = backfill(settings, "trades", two_days)
    assert sources(plan) == ["TAOUSDT-trades-2026-03-05.zip", "rest"]
    assert scratch.fetch(owner, STORED_TRADES, SYMBOL) == told(simulator, SYMBOL, two_days)


def test_file_that_is_published_anew_is_noticed_and_wins(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """An issue that said another close, with a right checksum; then the one of today."""
    simulator.fault(KLINES, None, do="replace", field=3, value="0.00001000", row=600)
    month = span(datetime(2026, 2, 1, tzinfo=UTC), timedelta(days=28))
    backfill(settings, "1m", month, "BTCUSDT")
    at = datetime(2026, 2, 1, 10, tzinfo=UTC)
    low = "SELECT low FROM klines WHERE open_time = %s"
    assert scratch.value(owner, low, at) == Decimal("0.00001")
    assert backfill(settings, "1m", month, "BTCUSDT")[0].pieces == ()
    simulator.heal()
    plan, outcome = backfill(settings, "1m", month, "BTCUSDT")
    assert plan.reissued == ("data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-02.zip",)
    assert outcome.stored == 1
    assert scratch.value(owner, low, at) > 1000
    assert backfill(settings, "1m", month, "BTCUSDT")[0].pieces == ()
