"""How the page writes numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from page import formats

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "tick", "text"),
    [
        ("0.00000012", None, "0.00000012"),
        ("0.00000012", "0.00000001", "0.00000012"),
        ("1.2E-7", None, "0.00000012"),
        ("100000", None, "100,000.00"),
        ("100000", "0.01", "100,000.00"),
        ("100000.000000000000000000", "0.1", "100,000.0"),
        ("0.18234", "0.00001", "0.18234"),
        ("0.1823456", None, "0.1823"),
        ("2.4312", None, "2.4312"),
        ("5", "1", "5"),
        ("0", None, "0"),
    ],
)
def test_price_has_the_decimals_that_it_trades_by(value: str, tick: str | None, text: str) -> None:
    """From the smallest to the largest, without an exponent."""
    assert formats.price(Decimal(value), Decimal(tick) if tick else None) == text


@given(
    price=st.decimals(min_value="0.00000001", max_value="10000000", places=8),
    places=st.integers(0, 8),
)
def test_price_in_its_ticks_reads_back_as_itself(price: Decimal, places: int) -> None:
    """Nothing is rounded away that the exchange trades by."""
    tick = Decimal(1).scaleb(-places)
    in_ticks = price.quantize(tick)
    text = formats.price(in_ticks, tick)
    assert Decimal(text.replace(",", "")) == in_ticks
    assert "E" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2400000000", "2.40 B"),
        ("66700000", "66.7 M"),
        ("150000", "150 k"),
        ("999.994", "999.99"),
        ("-1234567", "−1.23 M"),
        ("1500000000000", "1.50 T"),
        ("0", "0.00"),
    ],
)
def test_large_amounts_are_three_digits_and_a_unit(value: str, text: str) -> None:
    """A turnover is read at a glance."""
    assert formats.compact(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.234", "+1.23 %"),
        ("-0.456", "−0.46 %"),
        ("0.001", "0.00 %"),
        ("-0.004", "0.00 %"),
        ("1234.5", "+1,234.50 %"),
        (None, "–"),
    ],
)
def test_change_has_its_sign_unless_it_rounds_to_nothing(value: str | None, text: str) -> None:
    """A minus is a minus, not a hyphen; there is no −0.00."""
    assert formats.percent(None if value is None else Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.00042", "0.00042"), ("12.345", "12.345"), ("4200000", "4,200,000"), ("0", "0")],
)
def test_quantity_has_no_idle_digits(value: str, text: str) -> None:
    """Five digits that count, no trailing zeros."""
    assert formats.quantity(Decimal(value)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (59.6, "60 s"),
        (125, "2 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (-3, "0.0 s"),
        (None, "–"),
    ],
)
def test_age_is_in_the_unit_that_a_person_would_say(seconds: float | None, text: str) -> None:
    """A clock that is ahead of ours is no negative age."""
    assert formats.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0.0, "fresh"), (15.0, "fresh"), (15.1, "late"), (60.1, "stale"), (None, "stale")],
)
def test_freshness_falls_with_age(seconds: float | None, level: str) -> None:
    """No row at all is as bad as an old one."""
    assert formats.freshness(seconds) == level


def test_latency_is_told_in_ms_up_to_a_second() -> None:
    assert [formats.milliseconds(each) for each in (0.42, 12.6, 1240.0)] == [
        "0.4 ms",
        "13 ms",
        "1.24 s",
    ]


def test_a_stretch_of_time_tells_its_day_once() -> None:
    """A gap within a day, over midnight, and of a single moment."""
    noon_ms = round(NOON.timestamp() * 1000)
    assert formats.stretch(noon_ms, noon_ms + 65_000) == "2026-01-15 12:00:00–12:01:05"
    over = formats.stretch(noon_ms, noon_ms + 86_400_000)
    assert over == "2026-01-15 12:00:00–2026-01-16 12:00:00"
    assert formats.stretch(noon_ms, noon_ms) == "2026-01-15 12:00:00"


def test_times_are_utc_whatever_zone_they_come_in() -> None:
    """A browser's zone is not the exchange's."""
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert formats.clock(tokyo) == "12:00:00"
    assert formats.moment(tokyo) == "2026-01-15 12:00"
    assert formats.moment(None) == "–"
