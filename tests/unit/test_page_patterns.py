"""Patterns of candles, at the edges of their rules."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from page.patterns import Pattern, patterns
from page.rows import Candle

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def candle(prices: str, *, is_closed: bool = True) -> Candle:
    """A candle of "open high low close"."""
    opened, high, low, close = map(Decimal, prices.split())
    return Candle(NOON, opened, high, low, close, Decimal(1), Decimal(1), is_closed)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ("100 105 95 101", Pattern.DOJI),  # a tenth
        ("100 105 95 101.01", None),
        ("100 105 95 100", Pattern.DOJI),
        ("100 100 100 100", None),  # without length
        ("108 110 100 110", Pattern.HAMMER),
        ("110 110.5 99 107", Pattern.HAMMER),  # one that falls
        ("106 110 100 109", Pattern.HAMMER),  # shadows at both limits
        ("106 110 100.01 109", None),  # a lower shadow too short
        ("106 110.01 100 109", None),  # an upper one too long
        ("0.00000012 0.00000013 0.00000009 0.00000013", Pattern.HAMMER),
    ],
)
def test_a_pattern_of_one_candle(prices: str, expected: Pattern | None) -> None:
    assert patterns([candle(prices)]) == [expected]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("105 106 99 100", "100 107 99 106", Pattern.BULLISH_ENGULFING),
        ("105 106 99 100", "100 107 99 105", None),  # covers, but does not exceed it
        ("105 106 99 100", "100.01 107 99 106", None),  # begins above where the last one ended
        ("105 106 99 100", "99 107 98 104.9", None),  # ends below where the last one began
        ("100 106 99 105", "100 107 99 106", None),  # the last one rose, too
        ("100 106 99 105", "105 106 98 99", Pattern.BEARISH_ENGULFING),
        ("100 106 99 105", "104.99 106 98 99", None),
        ("105 106 99 100", "105 106 98 99", None),
    ],
)
def test_a_pattern_with_the_candle_before(
    first: str, second: str, expected: Pattern | None
) -> None:
    found = patterns([candle(first), candle(second)])
    assert found[0] is None
    assert found[1] is expected


def test_an_open_candle_has_no_pattern_yet() -> None:
    """It may still become another."""
    assert (
        patterns([candle("105 106 99 100"), candle("100 107 99 106", is_closed=False)])[1] is None
    )
    assert patterns([candle("100 105 95 100", is_closed=False)]) == [None]
    assert patterns([]) == []
