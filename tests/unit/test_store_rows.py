"""From a batch to the rows of each table."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from contracts.market import Event, Rejected
from ingest.batch import Batch
from ingest.rows import book_row, event_row, imbalance, newest, prepare
from tests.market_rows import NOON, coin_market, depth, instrument, kline, price, ticker, trade


def test_times_of_keys_are_floored_to_ms() -> None:
    """The same trade from a µs source has the key of the ms source; exact µs stay beside it."""
    at = NOON + timedelta(microseconds=1_999)
    taken = trade(traded_at=at)
    (row,) = prepare(Batch(trades=[taken]), NOON).rows["trades"]
    floor = NOON + timedelta(milliseconds=1)
    assert row == trade(traded_at=floor, traded_at_us=taken.traded_at_us)
    assert taken.traded_at_us % 1000 == 999


def test_closed_candle_beats_a_newer_open_one() -> None:
    """A late poll's open candle never hides the closed one of the same batch."""
    closed = kline(is_closed=True, as_of=NOON)
    opened = kline(is_closed=False, as_of=NOON + timedelta(hours=1))
    assert newest("klines", [closed, opened]) == [closed]
    assert newest("klines", [opened, closed]) == [closed]


def test_newest_as_of_wins_whatever_the_order() -> None:
    """Rows of one key in one batch: the source's time decides."""
    old, new = instrument(as_of=NOON), instrument(as_of=NOON + timedelta(seconds=1), status="HALT")
    assert newest("instruments", [new, old]) == [new]


def test_last_of_equals_wins() -> None:
    """At the same as_of the later in the list is the later answer."""
    first, second = ticker(last=Decimal(1)), ticker(last=Decimal(2))
    assert newest("ticker_24h", [first, second]) == [second]


def test_only_watched_tickers_have_a_history() -> None:
    """Every ticker is the latest of its symbol, few are kept over time."""
    batch = Batch(tickers=[ticker("AUSDT"), ticker("BUSDT")], watched=frozenset({"BUSDT"}))
    rows = prepare(batch, NOON).rows
    assert rows["ticker_24h_history"] == [ticker("BUSDT")]
    assert len(rows["ticker_24h"]) == 2


def test_each_partition_that_is_needed_is_named() -> None:
    """Days are UTC days of the column by which a table is partitioned."""
    batch = Batch(
        prices=[price("1", observed_at=NOON - timedelta(days=1)), price("2"), price("3")],
        klines=[kline()],
    )
    assert prepare(batch, NOON).days() == {
        ("prices", date(2026, 1, 14)),
        ("prices", date(2026, 1, 15)),
    }


def test_what_was_rejected_before_stays_rejected() -> None:
    """Rows that the parser set aside travel with the batch, then those found here."""
    parsed = Rejected(source="simulator", endpoint="klines", reason="cut", raw=b"{")
    prepared = prepare(Batch(prices=[price("Infinity")], rejected=[parsed]), NOON)
    assert prepared.rows == {}
    assert [each.endpoint for each in prepared.rejected] == ["klines", "prices"]


def test_book_is_summarised_exactly() -> None:
    """Best levels, spread, imbalance; levels as plain decimal strings."""
    tiny = (Decimal("0.00000001"), Decimal("1E+3"))
    row = book_row(depth(bids=[tiny], asks=[(Decimal("0.00000003"), Decimal(500))]))
    assert row.bids == [("0.00000001", "1000")]
    assert (row.best_bid, row.best_ask_quantity) == (Decimal("0.00000001"), Decimal(500))
    assert row.spread == Decimal("0.00000002")
    assert row.imbalance == Decimal("0.333333333333333333")


@pytest.mark.parametrize("sides", [{"bids": []}, {"asks": []}, {"bids": [], "asks": []}])
def test_book_without_a_side_has_no_spread(sides: dict[str, list[object]]) -> None:
    """A halted symbol's book may be empty; nothing is divided by zero."""
    row = book_row(depth(**sides))
    assert row.spread == 0
    assert abs(row.imbalance) <= 1


def test_imbalance_rounds_half_to_even() -> None:
    """2/3 at 18 places, and sums that 28 digits could not hold."""
    one, five = [(Decimal(1), Decimal(1))], [(Decimal(1), Decimal(5))]
    assert imbalance(five, one) == Decimal("0.666666666666666667")
    huge = [(Decimal(1), Decimal("12345678901234567890.123456789012345678"))]
    assert imbalance(huge, huge) == 0


def test_repeated_event_has_the_same_key() -> None:
    """A write that is tried again after a lost answer leaves one row."""
    event = Event(venue="simulator", kind="ban", message="418 until noon")
    assert event_row(event, NOON) == event_row(event, NOON)
    other = Event(venue="simulator", kind="ban", message="418 until one")
    assert event_row(event, NOON).id != event_row(other, NOON).id


def test_a_coin_said_twice_at_one_time_is_the_newer_saying() -> None:
    """Times are floored to ms first, so that both are one key; another time is another row."""
    at = NOON + timedelta(microseconds=900)
    old = coin_market(ts_event=NOON, market_cap_rank=2)
    new = coin_market(ts_event=at, market_cap_rank=1, as_of=NOON + timedelta(seconds=1))
    later = coin_market(ts_event=NOON + timedelta(milliseconds=1))
    rows = prepare(Batch(coin_markets=[new, old, later]), NOON).rows["coin_markets"]
    floored = coin_market(ts_event=NOON, market_cap_rank=1, as_of=NOON + timedelta(seconds=1))
    assert rows == [floored, later]
