"""Candles as columns, and how they add up to longer ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.catalogue import Listing
from simulator.fills import Fills, fills, ids_before, last_price_before
from simulator.noise import Flags, Ints

DAY = 1440  # minutes


@dataclass(frozen=True, slots=True)
class Candles:
    """Columns of shape (N,). Prices in ticks, quantities in lots, quote volumes in ticks × lots.

    A candle without trades is flat at the last price before it; `first_id` is then the next id.
    """

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints
    quote: Ints
    trades: Ints
    taker_lots: Ints
    taker_quote: Ints
    first_id: Ints

    def __len__(self) -> int:
        return len(self.close)

    def columns(self) -> tuple[Ints, ...]:
        """The columns in the order of the fields."""
        return (
            self.open,
            self.high,
            self.low,
            self.close,
            self.lots,
            self.quote,
            self.trades,
            self.taker_lots,
            self.taker_quote,
            self.first_id,
        )

    def part(self, start: int, end: int) -> Candles:
        """Rows start … end − 1, as views."""
        return Candles(*(column[start:end] for column in self.columns()))


def joined(parts: list[Candles]) -> Candles:
    """The parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.columns() for part in parts), strict=True)
    return Candles(*(np.concatenate(column) for column in columns))


def merged(candles: Candles, starts: Ints) -> Candles:
    """One candle for each group that begins at a row of `starts` (ascending, from 0)."""
    if len(starts) == len(candles):
        return candles
    busy = candles.trades > 0
    last = np.append(starts[1:], len(candles)) - 1
    lots, quote, trades, taker_lots, taker_quote = (
        np.add.reduceat(column, starts)
        for column in (
            candles.lots,
            candles.quote,
            candles.trades,
            candles.taker_lots,
            candles.taker_quote,
        )
    )
    close = candles.close[last]
    empty = trades == 0
    return Candles(
        open=np.where(empty, close, candles.open[_first_true(busy, starts, last)]),
        high=_extreme(np.maximum, np.where(busy, candles.high, -1), starts, empty, close),
        low=_extreme(
            np.minimum, np.where(busy, candles.low, np.iinfo(np.int64).max), starts, empty, close
        ),
        close=close,
        lots=lots,
        quote=quote,
        trades=trades,
        taker_lots=taker_lots,
        taker_quote=taker_quote,
        first_id=candles.first_id[starts],
    )


def minute_candles(seed: int, listing: Listing, start: int, end: int) -> Candles:
    """The candles of minutes start … end − 1, complete ones, whatever the time is now."""
    drawn = fills(seed, listing, start, end)
    ids = ids_before(listing, np.arange(start, end + 1))
    if len(drawn.minutes) == 0:
        return flat(last_price_before(seed, listing, start), ids[:-1])
    row = drawn.minutes - start
    busy = _busy_candles(drawn)
    # a minute without trades is flat at the close of the last busy one
    latest = np.searchsorted(row, np.arange(end - start), side="right") - 1
    carried = np.where(latest >= 0, busy.close[latest], drawn.before[0])
    candles = flat(carried, ids[:-1])
    for column, values in zip(candles.columns()[:-1], busy.columns()[:-1], strict=True):
        column[row] = values
    return candles


def flat(price: Ints | int, first_id: Ints) -> Candles:
    """Candles without trades at these prices (fresh arrays)."""
    prices = np.broadcast_to(np.asarray(price, dtype=np.int64), first_id.shape)
    ohlc = [prices.copy() for _ in range(4)]
    sums = [np.zeros_like(first_id) for _ in range(5)]
    return Candles(*[*ohlc, *sums, first_id])


def _busy_candles(drawn: Fills) -> Candles:
    used = drawn.count > 0
    last = np.minimum(drawn.trades, used.shape[1]) - 1
    quote = drawn.price * drawn.lots
    return Candles(
        open=drawn.price[:, 0].copy(),
        high=np.where(used, drawn.price, 0).max(axis=1),
        low=np.where(used, drawn.price, np.iinfo(np.int64).max).min(axis=1),
        close=np.take_along_axis(drawn.price, last[:, None], axis=1)[:, 0],
        lots=drawn.lots.sum(axis=1),
        quote=quote.sum(axis=1),
        trades=drawn.trades,
        taker_lots=np.where(drawn.taker_buys, drawn.lots, 0).sum(axis=1),
        taker_quote=np.where(drawn.taker_buys, quote, 0).sum(axis=1),
        first_id=drawn.first_id,
    )


def _first_true(flags: Flags, starts: Ints, last: Ints) -> Ints:
    """Row of the first true flag of each group; the group's last row where there is none."""
    rows = np.where(flags, np.arange(len(flags)), len(flags))
    return np.minimum(np.minimum.reduceat(rows, starts), last)


def _extreme(pick: np.ufunc, values: Ints, starts: Ints, empty: Flags, close: Ints) -> Ints:
    return np.where(empty, close, pick.reduceat(values, starts))
