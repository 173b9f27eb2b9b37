"""Which streams are wanted, and which go together on a connection. Pure.

The exchange takes at most 1024 streams on a connection. Ours carry fewer: what one of them loses
when it breaks is less, and a reader that lags holds up less.
"""

from __future__ import annotations

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


def stream_of(poll: Poll) -> str | None:
    """The stream that tells what the poll asks for; None where there is none that we read."""
    match poll.endpoint:
        case "trades":
            return trade_stream(poll.symbol)
        case "klines":
            return kline_stream(poll.symbol, poll.interval)
        case "ticker/price":
            return WHOLE_MARKET
    return None


def allot(streams: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """The streams, each once, on as few connections of at most `most` as possible, evenly.

    ScheduleTooHeavy where that would be more than CONNECTIONS_LIMIT connections.
    """
    wanted = list(dict.fromkeys(streams))
    count = math.ceil(len(wanted) / min(most, STREAMS_LIMIT))
    if count > CONNECTIONS_LIMIT:
        raise ScheduleTooHeavy(
            f"{len(wanted)} streams need {count} connections of {most} streams, allowed are "
            f"{CONNECTIONS_LIMIT}: take fewer symbols (TIDEMARK_SYMBOLS) or intervals "
            "(TIDEMARK_KLINE_INTERVALS)"
        )
    # dealt like cards, so that each connection has of every kind and the busy ones are spread
    return [tuple(wanted[place::count]) for place in range(count)]
