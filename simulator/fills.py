"""What happened in each minute: a handful of fills, drawn before anything else.

A fill is a run of trades by one kind of taker around one price. A minute's candle is the sum of
its fills, and its trades split them, so candle and trades agree exactly, whichever is computed.

The number of trades before a minute, `ids_before`, has a closed form; so have ids of any minute,
and the minute of any id, without walking. Trade ids start at 0 with the listing and have no holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import noise, path
from simulator.catalogue import Listing
from simulator.noise import Flags, Ints

FILLS = 12  # at most, a minute


@dataclass(frozen=True, slots=True)
class Fills:
    """Fills of the minutes that have trades. Shapes (M,) and (M, FILLS); unused ones count 0."""

    minutes: Ints
    first_id: Ints  # id of the minute's first trade
    trades: Ints  # trades in the minute, ≥ 1
    before: Ints  # ticks of the last trade before the minute
    price: Ints  # ticks, (M, FILLS)
    lots: Ints  # (M, FILLS), at least `count`
    count: Ints  # trades of the fill, (M, FILLS)
    taker_buys: Flags  # (M, FILLS)


def ids_before(listing: Listing, minutes: Ints) -> Ints:
    """How many trades the symbol had before each minute, so the id of the next one."""
    lived = np.clip(minutes, listing.listed, listing.closed) - listing.listed
    wander = noise.unit(noise.draw(noise.key(listing.key, "activity"), lived))
    ids = 1.0 + np.floor(listing.trades_per_minute * (lived + listing.jitter * wander))
    return np.where(lived > 0, ids, 0.0).astype(np.int64)


def minute_of(listing: Listing, ids: Ints) -> Ints:
    """The minute in which each trade happened or will happen."""
    guess = listing.listed + np.floor(ids / listing.trades_per_minute).astype(np.int64) - 2
    minute = np.maximum(guess, listing.listed)
    for _ in range(5):  # activity wanders by less than a minute, so the guess is that near
        minute = np.where(ids_before(listing, minute + 1) <= ids, minute + 1, minute)
    return minute


def fills(seed: int, listing: Listing, start: int, end: int) -> Fills:
    """All fills of the minutes start … end − 1."""
    ids = ids_before(listing, np.arange(start, end + 1))
    trades = np.diff(ids)
    busy = np.flatnonzero(trades)
    minutes, trades, first_id = busy + start, trades[busy], ids[busy]
    before, close = _closes(seed, listing, minutes, int(ids[0]))
    bits = noise.draw(noise.key(listing.key, "fills"), minutes[:, None] * FILLS + np.arange(FILLS))
    used = np.minimum(trades, FILLS)[:, None]
    lane = np.arange(FILLS)
    count = np.where(lane < used, trades[:, None] // used + (lane < trades[:, None] % used), 0)
    size = count * (listing.mean_lots * noise.heavy_tail(noise.field(bits, 0, 20)))
    return Fills(
        minutes=minutes,
        first_id=first_id,
        trades=trades,
        before=before,
        price=_prices(listing, before[:, None], close[:, None], used, noise.field(bits, 20, 20)),
        lots=count + np.floor(size).astype(np.int64),
        count=count,
        taker_buys=(bits >> np.uint64(63)).astype(np.bool_),
    )


def last_price_before(seed: int, listing: Listing, minute: int) -> int:
    """Ticks of the last trade before a minute; the first price ever where there was none."""
    previous = int(ids_before(listing, np.array([minute]))[0]) - 1
    traded = minute_of(listing, np.array([max(previous, 0)]))
    return int(path.closes(seed, listing, traded)[0])


def _closes(seed: int, listing: Listing, minutes: Ints, next_id: int) -> tuple[Ints, Ints]:
    """(last price before, last price in) each of the busy minutes."""
    carried = minute_of(listing, np.array([max(next_id - 1, 0)]))
    close = path.closes(seed, listing, np.concatenate([carried, minutes]))
    return close[:-1], close[1:]


def _prices(listing: Listing, before: Ints, close: Ints, used: Ints, uniform: noise.Floats) -> Ints:
    """Prices (M, FILLS) on a noisy bridge from the last price before to the minute's close."""
    lane = np.arange(FILLS)
    along = np.where(used > 1, np.minimum(lane / np.maximum(used - 1, 1), 1.0), 1.0)
    stray = 4.0 * along * (1.0 - along) * (2.0 * uniform - 1.0)
    swing = path.SWING_1M * listing.base.swing * before
    price = np.floor(before + (close - before) * along + stray * swing + 0.5)
    return np.maximum(price, 1.0).astype(np.int64)
