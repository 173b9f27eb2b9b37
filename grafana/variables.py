"""Variables and annotations that dashboards share.

The plugin replaces no macro in a variable's query, so these ask for the present.
"""

from __future__ import annotations

from grafana.board import Board
from grafana.looks import AMBER, BLUE, RED
from grafana.query import Query, buckets, cql, texts, within_range

VENUES = ("binance", "simulator")
QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY")
INTERVALS = [
    "1m",
    "3m",
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "8h",
    "12h",
    "1d",
    "3d",
    "1w",
    "1M",
]
NOW = "currentTimestamp()"
OF_THE_PIPELINE = "tidemark"  # the venue of what the pipeline says about itself


VENUE = Query(
    cql(
        f"SELECT venue FROM instruments WHERE venue IN ({texts(VENUES)})",
        "PER PARTITION LIMIT 1",
    ),
    series="venue",
    role="variable",
)

QUOTE = Query(
    cql(
        "SELECT quote_asset FROM movers_24h WHERE venue = ${venue:sqlstring}",
        f"AND quote_asset IN ({texts(QUOTES)}) AND ranking = 'volume'",
        f"AND {buckets('day', '1d', now=NOW)} PER PARTITION LIMIT 1",
    ),
    series="quote_asset",
    role="variable",
)

SYMBOL = Query(
    "SELECT symbol FROM latest_prices WHERE venue = ${venue:sqlstring}",
    series="symbol",
    role="variable",
)

WATCHED = Query(
    "SELECT symbol FROM latest_depth WHERE venue = ${venue:sqlstring}",
    series="symbol",
    role="variable",
)

INTERVAL = Query(
    cql(
        "SELECT interval FROM klines WHERE venue = ${venue:sqlstring}",
        f"AND symbol = ${{symbol:sqlstring}} AND interval IN ({texts(INTERVALS)})",
        f"AND {buckets('bucket', '1mo', '1y', '10y', now=NOW)} PER PARTITION LIMIT 1",
    ),
    series="interval",
    role="variable",
)


def _events(venue: str) -> Query:
    return Query(
        cql(
            "SELECT venue, at AS time, message AS text, kind AS tags FROM events_by_day",
            f"WHERE venue = {venue} AND {buckets('day', '1d', count=8)}",
            f"AND {within_range('at')} PER PARTITION LIMIT 200",
        ),
        series="venue",
        role="annotation",
        days=7,
    )


MARKET_EVENTS = _events("${venue:sqlstring}")
ALARMS = _events(f"'{OF_THE_PIPELINE}'")

GAPS = Query(
    cql(
        "SELECT venue, detected_at AS time, cause AS text, stream AS tags FROM gaps",
        "WHERE venue = ${venue:sqlstring} AND symbol IN (${symbol:sqlstring}, '*') LIMIT 2000",
    ),
    series="venue",
    role="annotation",
)


def venue(board: Board) -> None:
    """Which exchange; only those that have instruments."""
    board.variable("venue", VENUE, label="Venue")


def quote(board: Board) -> None:
    """In which asset prices are; only those that are ranked today."""
    board.variable("quote", QUOTE, label="Quote", current="USDT")


def symbol(board: Board) -> None:
    """Every symbol that has a price."""
    board.variable("symbol", SYMBOL, label="Symbol", current="BTCUSDT")


def watched_symbol(board: Board) -> None:
    """Every symbol that is, or was, watched in full."""
    board.variable("symbol", WATCHED, label="Symbol", current="BTCUSDT")


def interval(board: Board) -> None:
    """The lengths of candles that are stored of the symbol."""
    board.variable("interval", INTERVAL, label="Candle", current="1m")


def market_events(board: Board) -> None:
    """Listings, halts, bans and the like of the venue."""
    board.annotation("Market events", MARKET_EVENTS, BLUE)


def alarms(board: Board) -> None:
    """Alarms of the pipeline, as they were raised and cleared."""
    board.annotation("Alarms", ALARMS, RED)


def gaps(board: Board) -> None:
    """Gaps of the symbol, when each was found."""
    board.annotation("Gaps", GAPS, AMBER)
