"""Which rows may enter: the exact rule of NUMERIC(38,18), of bigint, of text, of plausible time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Event, Price
from ingest.admission import fits, refusal, sift
from tests.market_rows import NOON, coin_market, depth, gap, kline, price, ticker, trade

NINES = Decimal("99999999999999999999.999999999999999999")  # the largest NUMERIC(38,18)


@pytest.mark.parametrize(
    "value",
    ["0", "-0", "1E-18", "1.000000000000000000000", str(NINES), f"-{NINES}", "1E+19", "1E-8"],
)
def test_values_that_numeric_holds_exactly_are_admitted(value: str) -> None:
    """Extremes and odd spellings are no reason to reject."""
    assert fits(Decimal(value))


@pytest.mark.parametrize("value", ["1E-19", "0.1234567890123456789", "1E+20", "NaN", "sNaN", "Inf"])
def test_values_that_numeric_would_change_are_not(value: str) -> None:
    """Rounding, overflow and what is no number."""
    assert not fits(Decimal(value))


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_the_rule_is_that_of_an_integer_of_38_digits(value: Decimal) -> None:
    """fits(v) exactly when v × 10¹⁸ is an integer below 10³⁸."""
    with localcontext(Context(prec=2000)):
        scaled = value.scaleb(18) if value.is_finite() else None
        expected = scaled is not None and scaled == scaled.to_integral() and abs(scaled) < 10**38
    assert fits(value) == expected


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (price("NaN"), "price = NaN"),
        (price("1", observed_at=NOON + timedelta(days=1, seconds=1)), "observed_at = 2026-01-16"),
        (price("1", observed_at=datetime(2008, 12, 31, tzinfo=UTC)), "observed_at = 2008-12-31"),
        (price("1", symbol="BTC\x00USDT"), "symbol holds a control character"),
        (price("1", symbol="\ud800"), "symbol holds"),
        (trade(2**63), f"trade_id = {2**63} is no bigint"),
        (kline(close=Decimal("1E+20")), "close = 1E+20 does not fit"),
        (ticker(as_of=datetime(3000, 1, 1, tzinfo=UTC)), "as_of = 3000"),
        (coin_market(price=Decimal("1E-19")), "price = 1E-19 does not fit"),
        (coin_market(max_supply=Decimal("1E+20")), "max_supply = 1E+20 does not fit"),
        (coin_market(market_cap_rank=2**63), f"market_cap_rank = {2**63} is no bigint"),
        (coin_market(ts_event=datetime(3000, 1, 1, tzinfo=UTC)), "ts_event = 3000"),
        (depth(asks=[(Decimal(1), Decimal(1)), (Decimal(2), Decimal("NaN"))]), "asks[1]"),
    ],
)
def test_refusal_names_the_column(row: msgspec.Struct, column: str) -> None:
    """The reason in quarantine says what was wrong where."""
    assert (refusal(row, NOON) or "").startswith(column)


def test_what_a_source_does_not_know_is_no_reason_to_refuse() -> None:
    """Null in each field that may be null, the others valid."""
    assert refusal(coin_market(), NOON) is None


def test_open_candle_may_end_in_the_future() -> None:
    """A month's candle closes weeks ahead."""
    assert refusal(kline(interval="1M", close_time=NOON + timedelta(days=31)), NOON) is None


def test_prose_may_have_lines_and_names_may_not() -> None:
    """A message of two lines is no attack, a symbol of two lines is nonsense."""
    event = Event(venue="simulator", kind="alarm", message="first\nsecond")
    assert refusal(event, NOON) is None
    assert refusal(gap(detail="a\nb"), NOON) is None
    assert refusal(msgspec.structs.replace(event, symbol="A\nB"), NOON) is not None


def test_bad_rows_leave_the_good_ones_in_order() -> None:
    """One bad row costs only itself, and its raw bytes are its JSON."""
    rows = [price("1"), price("NaN"), price("2")]
    admitted, rejected = sift(rows, NOON, "prices")
    assert [str(row.price) for row in admitted] == ["1", "2"]
    assert [(each.source, each.endpoint) for each in rejected] == [("simulator", "prices")]
    assert msgspec.json.decode(rejected[0].raw)["price"] == "NaN"


ODD = [
    price("NaN"),
    price("sNaN"),
    price("Infinity"),
    price("1E-19"),
    price("1E+20"),
    price(f"-{NINES}"),
    price("1", symbol="A\nB"),
    price("1", symbol="\ud800"),
    price("1", observed_at=NOON + timedelta(days=2)),
    price("1", observed_at=datetime(2008, 12, 31, tzinfo=UTC)),
]


@given(st.lists(st.sampled_from([price("1"), price("2"), *ODD]), max_size=6))
def test_many_rows_are_judged_as_each_of_them(rows: list[Price]) -> None:
    """A column at a time or one by one, the same stay."""
    admitted, rejected = sift(rows, NOON, "prices")
    assert admitted == [row for row in rows if refusal(row, NOON) is None]
    reasons = [refusal(row, NOON) for row in rows]
    assert [each.reason for each in rejected] == [reason for reason in reasons if reason]


@pytest.mark.parametrize("bad", [2**63, -(2**63) - 1])
def test_count_beyond_a_bigint_is_found_among_many(bad: int) -> None:
    """And the extremes of a bigint are not."""
    rows = [trade(2**63 - 1), trade(bad), trade(-(2**63))]
    admitted, rejected = sift(rows, NOON, "trades")
    assert admitted == [rows[0], rows[2]]
    assert "is no bigint" in rejected[0].reason


def test_what_a_source_does_not_know_is_admitted_among_many() -> None:
    """Columns that hold None and numbers are looked at row by row."""
    rows = [coin_market(), coin_market(max_supply=None, market_cap_rank=None)]
    assert sift(rows, NOON, "coin_markets") == (rows, [])


def test_row_that_json_cannot_say_is_still_kept() -> None:
    """Broken Unicode reaches quarantine readable."""
    _, rejected = sift([price("1", symbol="\ud800X")], NOON, "prices")
    assert b"\\ud800X" in rejected[0].raw
