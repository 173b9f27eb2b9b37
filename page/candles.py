"""From rows of a market to what a chart shows: wider candles, averages, changes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from page.rows import Candle, Level, Price

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AVERAGE = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Width:
    """How wide a candle is, and how far back a chart of such candles reaches."""

    name: str
    length: timedelta
    reach: timedelta


WIDTHS = (
    Width("1m", MINUTE, timedelta(hours=2)),
    Width("5m", 5 * MINUTE, timedelta(hours=8)),
    Width("15m", 15 * MINUTE, timedelta(days=1)),
    Width("1h", HOUR, timedelta(days=3)),
)


def floor(moment: datetime, length: timedelta) -> datetime:
    """The start of the candle of that length that holds the moment."""
    return moment - (moment - _EPOCH) % length


def merged(minutes: Sequence[Candle], length: timedelta) -> list[Candle]:
    """Wider candles of one-minute candles (ascending).

    A minute that is missing is left out of its candle. The newest is open until its last minute
    is there and closed.
    """
    if length == MINUTE:
        return list(minutes)
    found = []
    for start, group in groupby(minutes, key=lambda each: floor(each.open_time, length)):
        parts = list(group)
        found.append(
            Candle(
                open_time=start,
                open=parts[0].open,
                high=max(each.high for each in parts),
                low=min(each.low for each in parts),
                close=parts[-1].close,
                volume=sum((each.volume for each in parts), Decimal(0)),
                quote_volume=sum((each.quote_volume for each in parts), Decimal(0)),
                is_closed=parts[-1].is_closed and parts[-1].open_time + MINUTE == start + length,
            )
        )
    # whatever a later candle follows is over, its last minute held or not
    return [replace(each, is_closed=True) for each in found[:-1]] + found[-1:]


def moving_average(candles: Sequence[Candle], length: int) -> list[Decimal | None]:
    """Mean close of the last `length` candles, at each candle; None where there are not so many."""
    total = Decimal(0)
    means: list[Decimal | None] = []
    for place, candle in enumerate(candles):
        total += candle.close
        if place >= length:
            total -= candles[place - length].close
        means.append(total / length if place >= length - 1 else None)
    return means


def trailing_average(prices: Iterable[Price], window: timedelta = AVERAGE) -> list[Decimal]:
    """Mean of the prices of the last `window`, at each price (ascending, its own included)."""
    held: deque[Price] = deque()
    total = Decimal(0)
    means = []
    for each in prices:
        held.append(each)
        total += each.price
        while held[0].observed_at <= each.observed_at - window:
            total -= held.popleft().price
        means.append(total / len(held))
    return means


def change_percent(before: Decimal, after: Decimal) -> Decimal | None:
    """From `before` to `after` in percent; None where there was nothing before."""
    return (after - before) / before * 100 if before else None


def hour_change(minutes: Sequence[Candle], now: datetime) -> Decimal | None:
    """Change within the last hour in percent; None where the candles do not reach so far back."""
    lately = [each for each in minutes if each.open_time > now - HOUR - MINUTE]
    if not lately or lately[0].open_time > now - HOUR + 5 * MINUTE:
        return None
    return change_percent(lately[0].open, lately[-1].close)


def cumulative(
    levels: Iterable[Level], share: Decimal, middle: Decimal, at_least: int = 0
) -> list[Level]:
    """(price, quantity up to there) of the levels within a share of the middle; best first.

    So many at least: a tick of a small price may be a large share of it.
    """
    total = Decimal(0)
    found: list[Level] = []
    for level_price, amount in levels:
        if abs(level_price - middle) > middle * share and len(found) >= at_least:
            break
        total += amount
        found.append((level_price, total))
    return found
