"""The order book: a pure function of the update id.

An update id is a number of 20 ms steps since the epoch. At each step the best prices stand around
the last trade, and each level's size is drawn for a while of its own; so a snapshot at any id and
the differences between any two ids always agree, and nothing is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from simulator import noise
from simulator.catalogue import Listing
from simulator.market import Market
from simulator.noise import Ints
from simulator.trades import MINUTE_US

STEP_US = 20_000
MAX_LEVELS = 1500  # places for levels on each side; about one in sixteen is empty
_BRISK = 60  # trades a minute

_Ticks = TypeVar("_Ticks", int, Ints)


@dataclass(frozen=True, slots=True)
class Side:
    """Levels, best first: prices in ticks and sizes in lots, shape (N,)."""

    price: Ints
    lots: Ints


@dataclass(frozen=True, slots=True)
class Book:
    """Both sides at an update id; a side may be empty, they never meet."""

    update_id: int
    bids: Side
    asks: Side


@dataclass(frozen=True, slots=True)
class Top:
    """The best level of each side at an update id, in ticks and lots; zeros on an empty side."""

    update_id: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


_NOTHING = Side(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
_BIDS, _ASKS = 0, 1


def update_id_at(listing: Listing, now_us: int) -> int:
    """The latest update at a time; it stands still when trading has ended."""
    return min(now_us, listing.closed * MINUTE_US - 1) // STEP_US


def book(market: Market, listing: Listing, update_id: int, levels: int = MAX_LEVELS) -> Book:
    """The best `levels` of each side at an update id (fewer if the book is shorter)."""
    best_bid = _best_bid(market, listing, update_id)
    if best_bid is None:
        return Book(update_id, _NOTHING, _NOTHING)
    places = min(MAX_LEVELS, levels + levels // 8 + 16)
    grid = grid_of(listing)
    below = _next_place(_BIDS, best_bid, grid) - np.arange(places)
    above = _next_place(_ASKS, best_bid + 1, grid) + np.arange(places)
    bids = np.concatenate([[best_bid], below[below > 0] * grid])
    asks = np.concatenate([[best_bid + 1], above * grid])
    return Book(
        update_id,
        _side(listing, _BIDS, bids, update_id, levels),
        _side(listing, _ASKS, asks, update_id, levels),
    )


def top(market: Market, listing: Listing, update_id: int) -> Top:
    """The first level of each side of `book`, without drawing the others."""
    bid = _best_bid(market, listing, update_id)
    if bid is None:
        return Top(update_id, 0, 0, 0, 0)
    return Top(
        update_id,
        bid,
        _best_lots(listing, _BIDS, bid, update_id),
        bid + 1,
        _best_lots(listing, _ASKS, bid + 1, update_id),
    )


def grid_of(listing: Listing) -> int:
    """Ticks between the places of levels: one, or more where a tick is below a millionth."""
    ticks = listing.base_price * 10.0**listing.price_decimals
    return int(max(1, 10 ** (len(str(int(ticks))) - 6)))


def touched(market: Market, listing: Listing, older: Book, newer: Book) -> tuple[Side, Side]:
    """What the updates after `older` up to `newer` touched, of bids and of asks, as it is then.

    Also what became as it was before: whoever has a book of a moment between the two, as a
    snapshot shows it, must come to the newer one by it.
    """
    sides = (older.bids, newer.bids), (older.asks, newer.asks)
    changed = tuple(changes(before, after) for before, after in sides)
    best = _best_bids(market, listing, older.update_id, newer.update_id)
    ids = older.update_id, newer.update_id
    moved = (_moved(listing, side, best + side, sides[side], ids) for side in (_BIDS, _ASKS))
    bids, asks = (
        _merged(one, prices, after)
        for one, prices, (_, after) in zip(changed, moved, sides, strict=True)
    )
    return bids, asks


def _best_bids(market: Market, listing: Listing, older_id: int, newer_id: int) -> Ints:
    """Ticks of every best bid that there was from one update to another."""
    first = market.last(listing, older_id * STEP_US).trade_id
    run = market.trades(listing, first, market.trade_count(listing, newer_id * STEP_US))
    if run is None:
        return np.empty(0, dtype=np.int64)
    return np.maximum(1, np.where(run.taker_buys, run.price - 1, run.price))


def _moved(
    listing: Listing, side: int, best: Ints, ends: tuple[Side, Side], ids: tuple[int, int]
) -> Ints:
    """Prices whose size was drawn anew between two updates, or that an end of the side passed.

    Its near end is the best price, its far one the last place of a book. Between the two updates
    either may have been where it is in neither of them.
    """
    if len(best) == 0:
        return best
    grid = grid_of(listing)
    far = _last_place(side, best, grid) * grid
    known = np.concatenate([best, far, ends[0].price, ends[1].price])
    places = np.arange(max(known.min() // grid, 1), known.max() // grid + 1) * grid
    place = noise.draw(noise.key(listing.key, "book", side), places)
    older, newer = (_epoch(listing, place, update_id) for update_id in ids)
    passed = _within(places, best) | _within(places, far)
    return np.union1d(best, places[(older != newer) | passed])


def _within(places: Ints, bounds: Ints) -> npt.NDArray[np.bool_]:
    within: npt.NDArray[np.bool_] = (places >= bounds.min()) & (places <= bounds.max())
    return within


def _next_place(side: int, best: _Ticks, grid: int) -> _Ticks:
    """The first place behind the best price, in grids."""
    return best // grid + 1 if side == _ASKS else (best - 1) // grid


def _last_place(side: int, best: _Ticks, grid: int) -> _Ticks:
    """The last place of a whole book, in grids."""
    depth = MAX_LEVELS - 1
    return _next_place(side, best, grid) + (depth if side == _ASKS else -depth)


def _epoch(listing: Listing, place: noise.Bits, update_id: int) -> noise.Bits:
    """How often the sizes of levels have been drawn anew; a level stays for a while of its own."""
    stay = (np.uint64(10) + (place & np.uint64(1023))) * np.uint64(_slowness(listing))
    return ((place >> np.uint64(10)) + np.uint64(update_id)) // stay


def _merged(changed: Side, prices: Ints, after: Side) -> Side:
    """The changed levels, and those at the prices as they are in the end; 0 lots: no such level."""
    last = dict(zip(after.price.tolist(), after.lots.tolist(), strict=True))
    levels = {price: last.get(price, 0) for price in prices.tolist()}
    levels.update(zip(changed.price.tolist(), changed.lots.tolist(), strict=True))
    return Side(
        np.fromiter(levels.keys(), dtype=np.int64, count=len(levels)),
        np.fromiter(levels.values(), dtype=np.int64, count=len(levels)),
    )


def changes(older: Side, newer: Side) -> Side:
    """What turns one side into the other: changed levels, those that went away with 0 lots."""
    kept = dict(zip(older.price.tolist(), older.lots.tolist(), strict=True))
    changed = {
        price: lots
        for price, lots in zip(newer.price.tolist(), newer.lots.tolist(), strict=True)
        if kept.pop(price, 0) != lots
    }
    changed.update(dict.fromkeys(kept.keys() - set(newer.price.tolist()), 0))
    return Side(
        np.fromiter(changed.keys(), dtype=np.int64, count=len(changed)),
        np.fromiter(changed.values(), dtype=np.int64, count=len(changed)),
    )


def _best_bid(market: Market, listing: Listing, update_id: int) -> int | None:
    """Ticks of the best bid, next to the last trade; None where there is no book.

    A delisted symbol (BREAK) has an empty book, a halted one keeps its last.
    """
    if listing.closed_status == "BREAK" and update_id >= update_id_at(
        listing, listing.closed * MINUTE_US
    ):
        return None
    last = market.last(listing, update_id * STEP_US)
    return max(1, last.price - 1 if last.taker_buys else last.price)


def _side(listing: Listing, side: int, price: Ints, update_id: int, levels: int) -> Side:
    place = noise.draw(noise.key(listing.key, "book", side), price)
    bits = noise.draw(place, _epoch(listing, place, update_id).astype(np.int64))
    size = 3.0 * listing.mean_lots * noise.heavy_tail(noise.field(bits, 0, 20))
    present = (bits >> np.uint64(60)) != 0
    present[0] = True
    shown = np.flatnonzero(present)[:levels]
    return Side(price[shown], 1 + np.floor(size[shown]).astype(np.int64))


def _best_lots(listing: Listing, side: int, price: int, update_id: int) -> int:
    place = noise.draw_one(noise.key(listing.key, "book", side), price)
    stay = (10 + (place & 1023)) * _slowness(listing)
    bits = noise.draw_one(place, ((place >> 10) + update_id) // stay)
    uniform = (bits & 0xFFFFF) * 2.0**-20
    return 1 + math.floor(3.0 * listing.mean_lots * noise.heavy_tail_one(uniform))


def _slowness(listing: Listing) -> int:
    """How much longer sizes stay in the book of a quiet symbol."""
    return 1 if listing.trades_per_minute > _BRISK else 20
