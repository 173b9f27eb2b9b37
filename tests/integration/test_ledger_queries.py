"""What the ledger reads and corrects in PostgreSQL: sums as in Decimal, holes, refusals."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal

import msgspec
import pytest

from contracts.market import Trade
from ingest.batch import Batch
from ingest.conservation import Rebuilt, differences, product, rebuild
from ingest.errors import RowsRefused
from ingest.judging import Judge, held_ids, is_contiguous
from ingest.ledger import Around, Ledger
from ingest.store import Store
from ingest.tape import missing
from runtime.endpoints import PostgresEndpoint
from tests.integration import scratch
from tests.market_rows import MINUTE, NOON, SYMBOL, VENUE, gap, kline
from tests.market_rows import trade as trade_row

pytestmark = pytest.mark.integration

MS = timedelta(milliseconds=1)


@pytest.fixture
def ledger(database: PostgresEndpoint) -> Iterator[Ledger]:
    store = Store(database)
    with closing(scratch.connect(database)) as owner, closing(store):
        scratch.empty(owner)
        yield Ledger(store, VENUE)


def trade(trade_id: int, price: str = "10", quantity: str = "1", *, ms: int = 0) -> Trade:
    """Its quote quantity is cut off at eight decimals."""
    quote = (Decimal(price) * Decimal(quantity)).quantize(Decimal("1e-8"), rounding=ROUND_DOWN)
    return trade_row(
        trade_id,
        traded_at=NOON + ms * MS,
        price=Decimal(price),
        quantity=Decimal(quantity),
        quote_quantity=quote,
    )


def tape(seed: int, count: int) -> list[Trade]:
    """Trades of three minutes; many share a time, some are odd, some products are fine."""
    draw = random.Random(seed)
    times = sorted(draw.choices(range(0, 180_000, 500), k=count))
    rows = []
    for number, ms in enumerate(times):
        price = f"{draw.randint(1, 10**9)}e-{draw.choice((2, 5, 8))}"
        row = trade(1000 + number, price, f"{draw.randint(1, 10**6)}e-{draw.choice((0, 4, 8))}")
        quote = draw.choice((row.quote_quantity, product(row), row.quote_quantity + 1))
        rows.append(
            msgspec.structs.replace(
                row, traded_at=NOON + ms * MS, is_buyer_maker=draw.random() < 0.4,
                quote_quantity=quote,
            )
        )  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_sql_makes_the_same_candle_as_decimal(ledger: Ledger, seed: int) -> None:
    """To the last digit, also of a minute alone, and of one without trades."""
    rows = [
        row for row in tape(seed, 300) if not NOON + MINUTE <= row.traded_at < NOON + 2 * MINUTE
    ]
    candles = [kline(number) for number in range(4)]
    ledger.write(Batch(trades=rows, klines=candles))
    minutes = ledger.minutes(SYMBOL, NOON, NOON + 4 * MINUTE)
    assert [each.candle for each in minutes] == candles
    for each in minutes:
        inside = [t for t in rows if each.open_time <= t.traded_at < each.open_time + MINUTE]
        assert each.made == rebuild(inside)
        assert ledger.minute(SYMBOL, each.open_time) == each
    assert [each.made == Rebuilt() for each in minutes] == [False, True, False, True]
    fresh = ledger.fresh_minutes([SYMBOL, "OTHER"], NOON, 100)
    assert fresh == minutes


def test_minutes_are_asked_for_until_they_have_a_certificate(ledger: Ledger) -> None:
    """And again once their candle was revised; those that differ from a place on."""
    rows = [trade(1, ms=-1), *(trade(n, ms=60_000 * (n - 2) + 5) for n in (2, 3, 4, 5))]
    good = rebuild(rows[1:2])
    named = {name: getattr(good, name) for name in ("open", "high", "low", "close", "volume")}
    candles = [
        kline(
            number, **named, quote_volume=good.quote_volume, trade_count=1,
            taker_buy_volume=Decimal(0), taker_buy_quote_volume=Decimal(number),
        )
        for number in range(3)
    ]  # fmt: skip
    ledger.write(Batch(trades=rows, klines=candles))
    judge = Judge(ledger)
    judge.judge(ledger.fresh_minutes([SYMBOL], NOON, 2))
    assert [each.open_time for each in ledger.fresh_minutes([SYMBOL], NOON, 9)] == [
        NOON + 2 * MINUTE
    ]
    judge.judge(ledger.fresh_minutes([SYMBOL], NOON, 9))
    first, second = ledger.unsettled_minutes("differs", (NOON, ""), 9)
    assert (first.open_time, second.open_time) == (NOON + MINUTE, NOON + 2 * MINUTE)
    assert first.known is not None
    assert first.known.detail == "taker_buy_quote_volume 1, of trades 0"
    assert ledger.unsettled_minutes("differs", (first.open_time, SYMBOL), 9) == [second]
    assert ledger.unsettled_minutes("incomplete", (NOON, ""), 9) == []
    revised = msgspec.structs.replace(
        candles[1], taker_buy_quote_volume=Decimal(0), as_of=candles[1].as_of + MINUTE
    )
    ledger.write(Batch(klines=[revised]))
    (again,) = ledger.fresh_minutes([SYMBOL], NOON, 9)
    assert differences(revised, again.made) == []
    judge.judge([again])
    assert ledger.unsettled_minutes("differs", (NOON, ""), 9) == [second]


@pytest.mark.parametrize("seed", range(5))
def test_every_hole_is_found_and_a_trade_at_a_wrong_time_makes_none(
    ledger: Ledger, seed: int
) -> None:
    """Within a range, at its borders, and beside rows of the same millisecond."""
    draw = random.Random(seed)
    whole = tape(seed, 400)
    held = [row for row in whole if draw.random() < 0.9 or row in (whole[0], whole[-1])]
    ids = [row.trade_id for row in held]
    stray = msgspec.structs.replace(held[0], traded_at=held[0].traded_at + 90_000 * MS)
    ledger.write(Batch(trades=[*held, stray]))
    found = ledger.holes(SYMBOL, NOON, NOON + 3 * MINUTE)
    assert found == missing(ids, range(ids[0], ids[-1] + 1))
    inside = [row.trade_id for row in held if NOON + MINUTE <= row.traded_at < NOON + 2 * MINUTE]
    before = max(row.trade_id for row in held if row.traded_at < NOON + MINUTE)
    after = min(row.trade_id for row in held if row.traded_at >= NOON + 2 * MINUTE)
    assert ledger.around(SYMBOL, NOON + MINUTE, NOON + 2 * MINUTE) == Around(before, after)
    assert ledger.holes(SYMBOL, NOON + MINUTE, NOON + 2 * MINUTE) == missing(
        [before, *inside, after], range(before, after + 1)
    )


def test_holes_become_gaps_but_for_what_stands_in_one(ledger: Ledger) -> None:
    """Whatever its state; what was repaired and is gone again is open again."""
    rows = [trade(n, ms=n) for n in (1, 2, 10, 11, 15)]
    known = [gap(4, last_missing=5, state="exchange-confirmed"), gap(12, state="repaired")]
    ledger.write(Batch(trades=rows, gaps=known))
    Judge(ledger).record_holes(SYMBOL, NOON, NOON + MINUTE)
    found = ledger.gaps_among(SYMBOL, "trades", 0, 99)
    assert [(each.first_missing, each.last_missing, each.state) for each in found] == [
        (3, 3, "open"), (4, 5, "exchange-confirmed"), (6, 9, "open"), (12, 14, "open"),
    ]  # fmt: skip
    assert {each.cause for each in found if each.first_missing in {3, 6, 12}} == {"lost"}


def test_what_somebody_else_filled_is_a_gap_no_more(ledger: Ledger) -> None:
    """A backfill brought a part of it: that is repaired, the rest as it was."""
    rows = [trade(n, ms=n) for n in range(5, 10)]
    ledger.write(Batch(trades=rows, gaps=[gap(1, last_missing=20, state="unprovable")]))
    judge = Judge(ledger)
    for _ in range(2):
        judge.record_filled(SYMBOL, NOON, NOON + MINUTE, range(5, 10))
    found = ledger.gaps_among(SYMBOL, "trades", 0, 99)
    assert [(each.first_missing, each.last_missing, each.state) for each in found] == [
        (1, 4, "unprovable"), (10, 20, "unprovable"),
    ]  # fmt: skip


def test_one_trade_twice_does_not_stand_for_another_that_is_missing(ledger: Ledger) -> None:
    """Their number is as it should be, and the gap of the missing one stays."""
    rows = [trade(n, ms=10 * n) for n in (5, 6, 8, 9)]
    ledger.write(Batch(trades=[*rows, trade(8, ms=81)], gaps=[gap(7, last_missing=7)]))
    minutes = ledger.minutes(SYMBOL, NOON, NOON + MINUTE)
    assert is_contiguous(minutes)
    Judge(ledger).record_filled(SYMBOL, NOON, NOON + MINUTE, held_ids(minutes))
    (left,) = ledger.gaps_among(SYMBOL, "trades", 0, 99)
    assert (left.first_missing, left.state) == (7, "open")


def test_a_minute_whose_gap_is_open_is_incomplete(ledger: Ledger) -> None:
    """Its hole is recorded, though nobody noticed it before; trades of before are needed."""
    rows = [trade(1, ms=-5), trade(2, ms=5), trade(5, ms=9), trade(6, ms=60_001)]
    ledger.write(Batch(trades=rows, klines=[kline(-1), kline(0)]))
    minutes = ledger.fresh_minutes([SYMBOL], NOON - MINUTE, 9)
    Judge(ledger).judge(minutes)
    (judged,) = ledger.unsettled_minutes("incomplete", (NOON - MINUTE, ""), 9)
    assert judged.open_time == NOON
    (opened,) = ledger.gaps_among(SYMBOL, "trades", 0, 99)
    assert (opened.first_missing, opened.last_missing, opened.cause) == (3, 4, "lost")


def test_the_minute_in_which_collecting_began_is_not_judged(ledger: Ledger) -> None:
    """Nor those before it; the next one is, also where nothing came after it for long."""
    rows = [trade(1, ms=5), trade(2, ms=60_001)]
    ledger.write(Batch(trades=rows, klines=[kline(n) for n in (-1, 0, 1)]))
    judge = Judge(ledger)
    for _ in range(2):
        judge.judge(ledger.fresh_minutes([SYMBOL], NOON - MINUTE, 9))
    assert [each.open_time for each in ledger.fresh_minutes([SYMBOL], NOON - MINUTE, 9)] == [
        NOON - MINUTE, NOON,
    ]  # fmt: skip
    (judged,) = ledger.unsettled_minutes("differs", (NOON - MINUTE, ""), 9)
    assert judged.open_time == NOON + MINUTE


def test_trades_are_put_right_only_if_the_candle_then_has_its_count(ledger: Ledger) -> None:
    """Remove, change and put in, in one transaction, or nothing of it."""
    rows = [trade(1, ms=1), trade(2, ms=2), trade(2, ms=3), trade(4, ms=60_000)]
    ledger.write(Batch(trades=rows, klines=[kline(0, trade_count=3)]))
    changed, news = trade(1, "11", ms=1), trade(3, ms=4)
    with pytest.raises(RowsRefused, match="would hold 4 trades, its closed candle says 3"):
        ledger.correct(SYMBOL, NOON, [], [changed, news])
    assert ledger.trades(SYMBOL, NOON) == rows[:3]
    ledger.correct(SYMBOL, NOON, [rows[2]], [changed, news])
    assert ledger.trades(SYMBOL, NOON) == [changed, rows[1], news]
    with pytest.raises(RowsRefused, match="would hold 0 trades"):
        ledger.correct(SYMBOL, NOON, [changed, rows[1], news], [])
    with pytest.raises(RowsRefused, match="closed candle says nothing"):
        ledger.correct(SYMBOL, NOON + MINUTE, [rows[3]], [])
    with pytest.raises(RowsRefused, match="no whole minute"):
        ledger.correct(SYMBOL, NOON + 30_000 * MS, [], [])


def test_a_correction_never_leaves_its_minute(ledger: Ledger) -> None:
    """Neither what is removed nor what is put in."""
    rows = [trade(1, ms=1), trade(9, ms=60_000)]
    ledger.write(Batch(trades=rows, klines=[kline(0, trade_count=1)]))
    ledger.correct(SYMBOL, NOON, [rows[1]], [trade(9, "99", ms=60_000), trade(10, ms=60_001)])
    assert ledger.trades(SYMBOL, NOON + MINUTE) == [rows[1]]


def test_candles_between_the_first_and_the_last_are_missed(ledger: Ledger) -> None:
    """Where there are fewer than two, none is."""
    assert ledger.missing_candles(SYMBOL, "1m", NOON) == []
    ledger.write(Batch(klines=[kline(n) for n in (0, 1, 5, 6)]))
    assert ledger.missing_candles(SYMBOL, "1m", NOON) == [(NOON + 2 * MINUTE, NOON + 4 * MINUTE)]
    assert ledger.missing_candles(SYMBOL, "1m", NOON + 2 * MINUTE) == []
