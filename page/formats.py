"""How numbers and times are written for a person. Pure.

A price has the decimals of the steps by which it trades, so that a column of them lines up; where
the step is not known, as many as tell the price apart: 0.00000012 as well as 100,000.00.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

MINUS = "−"
NOTHING = "–"
FRESH_S = 15.0  # the watch raises its alarm at the same age
LATE_S = 60.0
_SIGNIFICANT = 4


def price(value: Decimal, tick: Decimal | None = None) -> str:
    """A price, in the decimals of its tick where that is known; never an exponent."""
    return f"{value:,.{decimals(value, tick)}f}"


def decimals(value: Decimal, tick: Decimal | None = None) -> int:
    """How many digits after the point a price is written with."""
    if tick:
        return _places(tick)
    size = abs(value)
    if size >= 1000:
        return 2
    if size >= 1 or not size:
        return _SIGNIFICANT if size else 0
    return min(_SIGNIFICANT - 1 - size.adjusted(), _places(size))


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def quantity(value: Decimal) -> str:
    """An amount in at most five significant digits: 0.00042, 12.345, 4,200,000."""
    if not value:
        return "0"
    places = max(0, _SIGNIFICANT - value.adjusted())
    text = f"{value:,.{min(places, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: Decimal) -> str:
    """A large amount in three digits and a unit: 1.23 B, 45.6 M, 789 k."""
    for unit, size in (("T", 12), ("B", 9), ("M", 6), ("k", 3)):
        scaled = value.scaleb(-size)
        if abs(scaled) >= 1:
            places = max(0, 2 - scaled.adjusted())
            return f"{scaled:.{places}f} {unit}".replace("-", MINUS)
    return f"{value:.2f}".replace("-", MINUS)


def percent(value: Decimal | None) -> str:
    """A change with its sign: +1.23 %, −0.45 %."""
    if value is None:
        return NOTHING
    rounded = round(value, 2)
    if not rounded:
        return "0.00 %"
    return f"{rounded:+,.2f} %".replace("-", MINUS)


def count(value: int) -> str:
    """A whole number with thousands."""
    return f"{value:,}"


def age(seconds: float | None) -> str:
    """A duration as 0.4 s, 12 s, 4 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 2 * 1440:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def milliseconds(value: float) -> str:
    """A latency: 0.4 ms, 12 ms, 1.24 s."""
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def clock(moment: datetime) -> str:
    """Time of day in UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def moment(when: datetime | None) -> str:
    """Day and time in UTC."""
    return NOTHING if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def stretch(first_ms: int, last_ms: int) -> str:
    """From one moment to another of ms since 1970, in UTC; the day is told once."""
    first, last = (datetime.fromtimestamp(each / 1000, UTC) for each in (first_ms, last_ms))
    end = "%H:%M:%S" if first.date() == last.date() else "%Y-%m-%d %H:%M:%S"
    ends = (f"{first:%Y-%m-%d %H:%M:%S}", f"{last:{end}}")
    return ends[0] if first_ms == last_ms else "–".join(ends)


def freshness(seconds: float | None) -> str:
    """`fresh`, `late` or `stale`: how a row of that age is to be taken; None is no row at all."""
    if seconds is None or seconds > LATE_S:
        return "stale"
    return "fresh" if seconds <= FRESH_S else "late"


def seconds_since(when: datetime | None, now: datetime) -> float | None:
    """Seconds from a moment to now, never below 0; None where there was none."""
    return None if when is None else max(0.0, (now - when).total_seconds())
