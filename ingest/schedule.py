"""What is polled when: pure, in seconds of an injected monotonic clock.

A poll of a group (an endpoint) comes due every `every_s` seconds; the members of a group are spread
evenly over that time and the groups against each other, so that ten symbols each five seconds are
two requests a second and never ten at once. A tick that was missed is skipped: what counts is the
newest state, and missed trades and candles are asked for by their ids and times.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ingest.binance import endpoints
from ingest.errors import ScheduleTooHeavy
from ingest.settings import IngestSettings


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to ask again and again. `weight` is of one request."""

    endpoint: str
    every_s: float
    weight: int
    symbol: str = ""
    interval: str = ""


# Order of urgency where several are due at once: what cannot be asked again later comes first.
_PRIORITY = {
    name: rank
    for rank, name in enumerate(
        ("trades", "ticker/price", "depth", "ticker/24hr", "klines", "exchangeInfo")
    )
}


def plan(settings: IngestSettings, symbols: Sequence[str]) -> list[Poll]:
    """All polls that the settings ask for, exchangeInfo first, with `symbols` in full."""
    polls = [
        _poll(endpoints.exchange_info(), settings.exchange_info_every_s),
        _poll(endpoints.prices(), settings.prices_every_s),
        _poll(endpoints.ticker_24h(), settings.ticker_24h_every_s),
    ]
    for symbol in symbols:
        book = endpoints.depth(symbol, settings.depth_limit)
        tape = endpoints.trades(symbol, settings.trades_limit)
        polls.append(_poll(book, settings.depth_every_s, symbol))
        polls.append(_poll(tape, settings.trades_every_s, symbol))
    for interval in settings.kline_intervals:
        for symbol in symbols:
            candles = endpoints.klines(symbol, interval, limit=3)
            polls.append(_poll(candles, settings.klines_every_s, symbol, interval))
    return polls


def _poll(request: endpoints.Request, every_s: float, symbol: str = "", interval: str = "") -> Poll:
    return Poll(
        endpoint=request.endpoint,
        every_s=every_s,
        weight=request.weight,
        symbol=symbol,
        interval=interval,
    )


def weight_per_minute(polls: Sequence[Poll]) -> dict[str, float]:
    """Weight a minute of each endpoint."""
    weights: dict[str, float] = defaultdict(float)
    for poll in polls:
        weights[poll.endpoint] += poll.weight * 60 / poll.every_s
    return dict(weights)


def check(polls: Sequence[Poll], limit: int, share: float) -> None:
    """Refuse polls that need more than `share` of `limit` weight a minute, with the arithmetic."""
    needed = sum(weight_per_minute(polls).values())
    allowed = limit * share
    if needed > allowed:
        raise ScheduleTooHeavy(
            f"the schedule needs {math.ceil(needed)} weight a minute, allowed are {allowed:.0f} "
            f"({share:.0%} of the exchange's {limit}):\n{arithmetic(polls)}\n"
            "take fewer symbols (TIDEMARK_SYMBOLS, of patterns TIDEMARK_SYMBOLS_TOP) or longer "
            "intervals (TIDEMARK_*_EVERY_S)"
        )


def arithmetic(polls: Sequence[Poll]) -> str:
    """How the weight adds up, a line for each endpoint."""
    groups: dict[tuple[str, int, float], int] = defaultdict(int)
    for poll in polls:
        groups[poll.endpoint, poll.weight, poll.every_s] += 1
    lines = [
        f"  {endpoint}: {count} × weight {weight} × {60 / every_s:g} a minute"
        f" = {count * weight * 60 / every_s:g}"
        for (endpoint, weight, every_s), count in groups.items()
    ]
    return "\n".join(lines)


class Schedule:
    """When each poll is due. Driven by whoever holds the clock."""

    def __init__(self, polls: Sequence[Poll], start_s: float) -> None:
        self._queue: list[tuple[float, int, Poll]] = []
        self._pushed = itertools.count()  # keeps heapq from comparing polls
        self.follow(polls, start_s)

    def follow(self, polls: Sequence[Poll], now_s: float) -> None:
        """Have these polls from now on: those that were there keep their times, others begin."""
        wanted = set(polls)
        self._queue = [entry for entry in self._queue if entry[2] in wanted]
        heapq.heapify(self._queue)
        known = {poll for _, _, poll in self._queue}
        groups: dict[str, list[Poll]] = defaultdict(list)
        for poll in polls:
            if poll not in known:
                groups[poll.endpoint].append(poll)
        for place, group in enumerate(groups.values()):
            slot_s = group[0].every_s / len(group)
            for number, poll in enumerate(group):
                self._push(now_s + slot_s * (number + place / len(groups)), poll)

    def next_due_s(self) -> float:
        """When the next poll is due; infinity where there is none."""
        return self._queue[0][0] if self._queue else math.inf

    def due(self, now_s: float) -> list[Poll]:
        """The polls that are due, most urgent first; each comes due again later than now_s."""
        ready = []
        while self._queue and self._queue[0][0] <= now_s:
            due_s, _, poll = heapq.heappop(self._queue)
            ready.append(poll)
            missed = math.floor((now_s - due_s) / poll.every_s)
            self._push(due_s + (missed + 1) * poll.every_s, poll)
        return sorted(ready, key=lambda poll: _PRIORITY[poll.endpoint])

    def _push(self, due_s: float, poll: Poll) -> None:
        heapq.heappush(self._queue, (due_s, next(self._pushed), poll))
