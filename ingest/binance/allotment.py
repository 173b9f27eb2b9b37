"""Which streams are wanted, and which go together on a connection. Pure.

The exchange takes at most 1024 streams on a connection. Ours carry fewer: what one of them loses
when it breaks is less, and a reader that lags holds up less.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Final

from ingest.binance.stream_messages import WHOLE_MARKET
from ingest.errors import ScheduleTooHeavy
from ingest.schedule import Poll

STREAMS_LIMIT: Final = 1024  # of a connection, by the exchange
CONNECTIONS_LIMIT: Final = 50  # ours: a start and a rotation at once stay far below 300 in 5 min


def trade_stream(symbol: str) -> str:
    return f"{symbol.lower()}@trade"


def kline_stream(symbol: str, interval: str) -> str:
    return f"{symbol.lower()}@kline_{interval}"


def book_streams(symbol: str) -> tuple[str, str]:
    """Changes of the book each second, and its best levels whenever they change."""
    return f"{symbol.lower()}@depth", f"{symbol.lower()}@bookTicker"


def stream_of(poll: Poll) -> str | None:
    """The stream that tells what the poll asks for; None where there is none that we read."""
    match poll.endpoint:
        case "depth":
            return book_streams(poll.symbol)[0]
        case "trades":
            return trade_stream(poll.symbol)
        case "klines":
            return kline_stream(poll.symbol, poll.interval)
        case "ticker/price":
            return WHOLE_MARKET
    return None


def streams_of(poll: Poll) -> tuple[str, ...]:
    """Every stream that is subscribed in the place of a poll; `stream_of` is the first of them."""
    if poll.endpoint == "depth":
        return book_streams(poll.symbol)
    stream = stream_of(poll)
    return () if stream is None else (stream,)


def allot(
    streams: Sequence[str], most: int, current: Sequence[Sequence[str]] = ()
) -> list[tuple[str, ...]]:
    """The streams, each once, on as few connections of at most `most` as possible, evenly.

    One that has a place in `current` keeps it, so that it is not cut when others come or go; places
    that are left empty stay, for the next. ScheduleTooHeavy where that would be more than
    CONNECTIONS_LIMIT connections.
    """
    wanted = dict.fromkeys(streams)
    count = math.ceil(len(wanted) / min(most, STREAMS_LIMIT))
    if count > CONNECTIONS_LIMIT:
        raise ScheduleTooHeavy(
            f"{len(wanted)} streams need {count} connections of {most} streams, allowed are "
            f"{CONNECTIONS_LIMIT}: take fewer symbols (TIDEMARK_SYMBOLS) or intervals "
            "(TIDEMARK_KLINE_INTERVALS)"
        )
    places = [[each for each in kept if each in wanted] for kept in current]
    places += [[] for _ in range(count - len(places))]
    known = {each for kept in places for each in kept}
    emptiest = [(len(kept), place) for place, kept in enumerate(places)]
    heapq.heapify(emptiest)
    for stream in wanted:
        if stream not in known:  # so each connection has of every kind, and busy ones are spread
            size, place = emptiest[0]
            places[place].append(stream)
            heapq.heapreplace(emptiest, (size + 1, place))
    return [tuple(each) for each in places]
