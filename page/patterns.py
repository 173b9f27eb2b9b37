"""Patterns of candles that traders look for. Pure; the same rules as the marks in Grafana.

| mark | rule |
| --- | --- |
| doji | the body is at most a tenth of the candle's length |
| hammer | no doji; lower shadow at least twice the body, upper at most a tenth of the length |
| bullish engulfing | rises after one that fell, and its body covers and exceeds that one's body |
| bearish engulfing | falls after one that rose, likewise |

A candle that is still open has none, and neither has one without length. Of two the last counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from page.rows import Candle

_THIN = 10  # of the length a tenth


class Pattern(StrEnum):
    """What a candle is, or is with the one before it."""

    DOJI = "doji"
    HAMMER = "hammer"
    BULLISH_ENGULFING = "bullish engulfing"
    BEARISH_ENGULFING = "bearish engulfing"


def patterns(candles: Sequence[Candle]) -> list[Pattern | None]:
    """The pattern of each candle (ascending), None where it has none."""
    before: Sequence[Candle | None] = (None, *candles)
    return [_pattern(each, last) for each, last in zip(candles, before, strict=False)]


def _pattern(candle: Candle, last: Candle | None) -> Pattern | None:
    if not candle.is_closed:
        return None
    if last is not None and _engulfs(candle, last):
        rises = candle.close > candle.open
        return Pattern.BULLISH_ENGULFING if rises else Pattern.BEARISH_ENGULFING
    length = candle.high - candle.low
    body = abs(candle.close - candle.open)
    if not length:
        return None
    if body * _THIN <= length:
        return Pattern.DOJI
    below = min(candle.open, candle.close) - candle.low
    above = candle.high - max(candle.open, candle.close)
    return Pattern.HAMMER if below >= 2 * body and above * _THIN <= length else None


def _engulfs(candle: Candle, last: Candle) -> bool:
    """Whether it goes the other way, from where the last one ended to beyond where that began."""
    way, last_way = candle.close - candle.open, last.close - last.open
    if way > 0 > last_way:
        covers = candle.open <= last.close and candle.close >= last.open
    elif way < 0 < last_way:
        covers = candle.open >= last.close and candle.close <= last.open
    else:
        return False
    return covers and abs(way) > abs(last_way)
