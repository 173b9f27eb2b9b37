"""Klines of every interval: seconds from trades, all others from minute candles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import candles, intervals, trades
from simulator.candles import DAY, Candles
from simulator.catalogue import Listing
from simulator.intervals import SECOND, Interval
from simulator.market import Market
from simulator.noise import Ints
from simulator.trades import MINUTE_US

SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Klines:
    """`opened_us` and `closed_us` (the last µs of each) beside the candles, shape (N,)."""

    opened_us: Ints
    closed_us: Ints
    candles: Candles


@dataclass(frozen=True, slots=True)
class Query:
    """Which klines: open times from `start_us` to `end_us`, both inclusive, at most `limit`.

    The oldest of them if a start is given, otherwise the newest; `shift`: minutes east of UTC.
    """

    interval: Interval
    limit: int
    start_us: int | None = None
    end_us: int | None = None
    shift: int = 0


def klines(market: Market, listing: Listing, query: Query, now_us: int) -> Klines | None:
    """The klines that exist by now: none before the listing, none after trading ended."""
    last_us = min(now_us, listing.closed * MINUTE_US - 1)
    end_us = last_us if query.end_us is None else min(query.end_us, last_us)
    if query.interval is SECOND:
        return _seconds(market, listing, query, (end_us, now_us))
    listed = intervals.opening(query.interval, listing.listed, query.shift)
    first, last = listed, intervals.opening(query.interval, end_us // MINUTE_US, query.shift)
    if query.start_us is not None:
        start = -(-query.start_us // MINUTE_US)
        opened = intervals.opening(query.interval, start, query.shift)
        if opened < start:
            opened = intervals.following(query.interval, opened, 1, query.shift)
        first = max(listed, opened)
        last = min(last, intervals.following(query.interval, first, query.limit - 1, query.shift))
    else:
        oldest = intervals.following(query.interval, last, 1 - query.limit, query.shift)
        first = max(listed, oldest)
    if first > last:
        return None
    opens = intervals.openings(query.interval, first, last, query.shift)
    end = intervals.following(query.interval, last, 1, query.shift)
    edges = np.append(opens, end)
    # a delisted pair's last candle is cut where trading ended
    closes = np.minimum(edges[1:], listing.closed)
    return Klines(
        opened_us=opens * MINUTE_US,
        closed_us=closes * MINUTE_US - 1,
        candles=_grouped(market, listing, edges, now_us),
    )


def _grouped(market: Market, listing: Listing, edges: Ints, now_us: int) -> Candles:
    """A candle for each pair of edges: merged day by day first, so that years stay small."""
    start = max(int(edges[0]), listing.listed)
    end = min(int(edges[-1]), listing.closed, now_us // MINUTE_US + 1)
    parts, starts = [], []
    for day in range(start // DAY, (end - 1) // DAY + 1):
        low, high = max(start, day * DAY), min(end, (day + 1) * DAY)
        cuts = edges[edges.searchsorted(low, "right") : edges.searchsorted(high, "left")]
        groups = np.concatenate([[low], cuts])
        if len(groups) == 1 and high - low == DAY and high * MINUTE_US <= now_us:
            parts.append(market.daily(listing, day))
        else:
            minutes = market.minutes(listing, low, high, now_us)
            parts.append(candles.merged(minutes, groups - low))
        starts.append(groups)
    at = np.concatenate(starts)
    owner = edges.searchsorted(at, side="right")
    return candles.merged(candles.joined(parts), np.flatnonzero(np.diff(owner, prepend=-1)))


def _seconds(
    market: Market, listing: Listing, query: Query, until_us: tuple[int, int]
) -> Klines | None:
    end_us, now_us = until_us
    first, last = listing.listed * 60, end_us // SECOND_US
    if query.start_us is not None:
        first = max(first, -(-query.start_us // SECOND_US))
        last = min(last, first + query.limit - 1)
    else:
        first = max(first, last - query.limit + 1)
    if first > last:
        return None
    seconds = np.arange(first, last + 1)
    return Klines(
        opened_us=seconds * SECOND_US,
        closed_us=(seconds + 1) * SECOND_US - 1,
        candles=_second_candles(market, listing, seconds, now_us),
    )


def _second_candles(market: Market, listing: Listing, seconds: Ints, now_us: int) -> Candles:
    begin, end = int(seconds[0]) * SECOND_US, (int(seconds[-1]) + 1) * SECOND_US - 1
    first_id = market.first_id_at(listing, begin)
    run = market.trades(listing, first_id, market.trade_count(listing, min(end, now_us)))
    if run is None:
        earlier = market.last(listing, begin).price if first_id else 0
        price = earlier or market.price_before(listing, listing.listed)
        return candles.flat(price, np.full(len(seconds), first_id))
    row_of_trade = run.at_us // SECOND_US - seconds[0]
    starts = np.flatnonzero(np.diff(row_of_trade, prepend=-1))
    busy, rows = trades.summed(run, starts), row_of_trade[starts]
    latest = np.searchsorted(rows, np.arange(len(seconds)), side="right") - 1
    carried = np.where(latest >= 0, busy.close[latest], run.before)
    ids = run.first_id + np.searchsorted(row_of_trade, np.arange(len(seconds)))
    result = candles.flat(carried, ids)
    for column, values in zip(result.columns()[:-1], busy.columns()[:-1], strict=True):
        column[rows] = values
    return result
