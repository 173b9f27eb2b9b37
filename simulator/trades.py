"""Single trades: fills split into their trades, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import noise
from simulator.candles import Candles
from simulator.catalogue import Listing
from simulator.fills import FILLS, Fills, fills
from simulator.noise import Flags, Ints

MINUTE_US = 60_000_000

# Which trades of a fill, eight by eight, begin a taker order; the others fill the one before them.
_ORDER_STARTS = np.array([True, True, True, False, True, True, False, False])
_WEIGHT_UNIT = 1 << 16
_ORDERS_BELOW = np.concatenate([[0], np.cumsum(_ORDER_STARTS)])


@dataclass(frozen=True, slots=True)
class Trades:
    """Columns of shape (N,); ids are first_id … first_id + N − 1, times ascend.

    `at_us`: µs since the epoch, several trades may share one; prices in ticks, sizes in lots.
    `leads`: whether a trade is the first of its taker order, whose trades share time and price.
    `before`: ticks of the last trade before the first one here.
    """

    first_id: int
    at_us: Ints
    price: Ints
    lots: Ints
    taker_buys: Flags
    leads: Flags
    before: int

    def __len__(self) -> int:
        return len(self.at_us)

    def part(self, start: int, end: int) -> Trades:
        """Rows start … end − 1, as views."""
        return Trades(
            first_id=self.first_id + start,
            at_us=self.at_us[start:end],
            price=self.price[start:end],
            lots=self.lots[start:end],
            taker_buys=self.taker_buys[start:end],
            leads=self.leads[start:end],
            before=self.before if start == 0 else int(self.price[start - 1]),
        )


def joined(parts: list[Trades]) -> Trades:
    """Adjacent parts (at least one) as one."""
    if len(parts) == 1:
        return parts[0]
    return Trades(
        first_id=parts[0].first_id,
        at_us=np.concatenate([part.at_us for part in parts]),
        price=np.concatenate([part.price for part in parts]),
        lots=np.concatenate([part.lots for part in parts]),
        taker_buys=np.concatenate([part.taker_buys for part in parts]),
        leads=np.concatenate([part.leads for part in parts]),
        before=parts[0].before,
    )


def trades_between(seed: int, listing: Listing, start: int, end: int) -> Trades | None:
    """All trades of minutes start … end − 1; None where there is none."""
    drawn = fills(seed, listing, start, end)
    if len(drawn.minutes) == 0:
        return None
    counts = drawn.count.ravel()
    used = np.flatnonzero(counts)
    count = counts[used]
    fill = np.repeat(np.arange(len(used)), count)  # which fill each trade belongs to
    place = np.arange(len(fill)) - np.repeat(np.cumsum(count) - count, count)  # within its fill
    first_id = int(drawn.first_id[0])
    bits = noise.draw(noise.key(listing.key, "trades"), np.arange(len(fill)) + first_id)
    lots = _split(drawn.lots.ravel()[used], count, fill, noise.field(bits, 0, 20))
    price = drawn.price.ravel()[used][fill]
    minute = used // FILLS  # row of the minute of each fill
    _jiggle(drawn, minute[fill], place, (price, lots), noise.field(bits, 20, 16))
    share = (place + noise.field(bits, 36, 20)) / count[fill]
    leads = _ORDER_STARTS[place % len(_ORDER_STARTS)]
    return Trades(
        first_id=first_id,
        at_us=_times(drawn, used, fill, share, leads & ((bits >> np.uint64(62)) != 0)),
        price=price,
        lots=lots,
        taker_buys=drawn.taker_buys.ravel()[used][fill],
        leads=leads,
        before=int(drawn.before[0]),
    )


def summed(trades: Trades, starts: Ints) -> Candles:
    """A candle for each group of trades that begins at a row of `starts` (ascending, from 0)."""
    last = np.append(starts[1:], len(trades)) - 1
    quote = trades.price * trades.lots
    return Candles(
        open=trades.price[starts],
        high=np.maximum.reduceat(trades.price, starts),
        low=np.minimum.reduceat(trades.price, starts),
        close=trades.price[last],
        lots=np.add.reduceat(trades.lots, starts),
        quote=np.add.reduceat(quote, starts),
        trades=last - starts + 1,
        taker_lots=np.add.reduceat(np.where(trades.taker_buys, trades.lots, 0), starts),
        taker_quote=np.add.reduceat(np.where(trades.taker_buys, quote, 0), starts),
        first_id=trades.first_id + starts,
    )


def orders_in(trades: Ints) -> Ints:
    """Taker orders (aggregate trades) in minutes of so many trades, without drawing them."""
    fills_used = np.minimum(trades, FILLS)
    short = trades // np.maximum(fills_used, 1)
    longer = trades - short * fills_used  # fills that have one trade more
    return np.asarray(longer * _orders(short + 1) + (fills_used - longer) * _orders(short))


def _orders(count: Ints) -> Ints:
    """Taker orders in a fill of so many trades."""
    eights, rest = np.divmod(count, len(_ORDER_STARTS))
    return np.asarray(eights * _ORDERS_BELOW[-1] + _ORDERS_BELOW[rest])


def _split(total: Ints, count: Ints, fill: Ints, uniform: noise.Floats) -> Ints:
    """Sizes ≥ 1 of the trades of each fill, heavy-tailed, that sum to the fill's lots.

    Weights are whole numbers, so that their sums do not depend on what was drawn along with them.
    """
    weight = np.cumsum((noise.heavy_tail(uniform) * _WEIGHT_UNIT).astype(np.int64))
    last = np.cumsum(count) - 1
    below = np.concatenate([[0], weight[last[:-1]]])
    share = np.minimum((weight - below[fill]) / (weight[last] - below)[fill], 1.0)
    share[last] = 1.0
    spread = np.floor((total - count)[fill] * share).astype(np.int64)
    first = last - count + 1
    lots: Ints = np.diff(spread, prepend=0)
    lots[first] = spread[first]
    return lots + 1


def _jiggle(
    drawn: Fills, row: Ints, place: Ints, columns: tuple[Ints, Ints], uniform: noise.Floats
) -> None:
    """Move pairs of neighbours apart by ±d ticks at equal sizes: no sum of the fill changes.

    The minute's first and last trade stay (open and close), and nobody leaves low … high.
    """
    price, lots = columns
    used = drawn.count > 0
    low = np.where(used, drawn.price, np.iinfo(np.int64).max).min(axis=1)
    high = np.where(used, drawn.price, 0).max(axis=1)
    # the first two of eight are taker orders of one trade
    left = np.flatnonzero((place[:-1] % len(_ORDER_STARTS) == 0) & (place[1:] == place[:-1] + 1))
    both = lots[left] + lots[left + 1]
    is_open = np.diff(row, prepend=-1)[left] != 0
    is_close = np.diff(row, append=-1)[left + 1] != 0
    left = left[(both % 2 == 0) & ~is_open & ~is_close]
    minute, centre = row[left], price[left]
    room = np.minimum(centre - low[minute], high[minute] - centre)
    step = np.floor((2.0 * uniform[left] - 1.0) * (room // 4 + np.minimum(room, 1) + 0.99))
    step = np.clip(step.astype(np.int64), -room, room)
    half = (lots[left] + lots[left + 1]) // 2
    price[left] += step
    price[left + 1] -= step
    lots[left] = half
    lots[left + 1] = half


def _times(drawn: Fills, used: Ints, fill: Ints, share: noise.Floats, alone: Flags) -> Ints:
    """µs since the epoch. A fill has its slot of the minute.

    Who is not `alone` comes with the trade before: one taker order meets several makers, and
    orders meet in one µs.
    """
    row, lane = used // FILLS, used % FILLS
    slots = np.minimum(drawn.trades, FILLS)[row]
    offset = np.floor((lane[fill] + share) / slots[fill] * MINUTE_US).astype(np.int64)
    row_of_trade = row[fill]
    new = alone | (np.diff(row_of_trade, prepend=-1) != 0)
    leader = np.maximum.accumulate(np.where(new, np.arange(len(fill)), 0))
    return drawn.minutes[row_of_trade] * MINUTE_US + np.minimum(offset, MINUTE_US - 1)[leader]
