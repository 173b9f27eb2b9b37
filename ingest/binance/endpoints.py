"""What we ask Binance: path, parameters and the weight that each request costs.

Weights are the exchange's own (REST documents of August 2026), known before a request is sent.
"""

from __future__ import annotations

import msgspec

DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))  # so many levels a side: weight
PAGE = 1000  # rows of a full page of klines or trades


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One GET. `market_data`: hosts that serve public market data only have it, too."""

    endpoint: str
    path: str
    weight: int
    params: dict[str, str | int] = {}
    market_data: bool = True


def ping() -> Request:
    return Request(endpoint="ping", path="/api/v3/ping", weight=1)


def exchange_info() -> Request:
    return Request(
        endpoint="exchangeInfo",
        path="/api/v3/exchangeInfo",
        weight=20,
        params={"showPermissionSets": "false"},  # half of the body, and of no use to us
    )


def prices() -> Request:
    """Prices of every TRADING symbol; dead ones would answer with their last price."""
    return Request(
        endpoint="ticker/price",
        path="/api/v3/ticker/price",
        weight=4,
        params={"symbolStatus": "TRADING"},
    )


def ticker_24h() -> Request:
    """24 h statistics of every TRADING symbol; dead ones would spoil the rankings."""
    return Request(
        endpoint="ticker/24hr",
        path="/api/v3/ticker/24hr",
        weight=80,
        params={"symbolStatus": "TRADING"},
    )


def depth(symbol: str, limit: int) -> Request:
    """The best `limit` (≤ 5000) levels of each side."""
    weight = next(weight for levels, weight in DEPTH_WEIGHTS if limit <= levels)
    return Request(
        endpoint="depth",
        path="/api/v3/depth",
        weight=weight,
        params={"symbol": symbol, "limit": limit},
    )


def trades(symbol: str, limit: int) -> Request:
    """The last `limit` (≤ 1000) trades."""
    return Request(
        endpoint="trades",
        path="/api/v3/trades",
        weight=25,
        params={"symbol": symbol, "limit": limit},
    )


def historical_trades(symbol: str, from_id: int, limit: int = PAGE) -> Request:
    """Trades from_id, from_id + 1, …; the hosts for market data alone do not have it."""
    return Request(
        endpoint="historicalTrades",
        path="/api/v3/historicalTrades",
        weight=25,
        params={"symbol": symbol, "fromId": from_id, "limit": limit},
        market_data=False,
    )


def aggregate_trades(
    symbol: str, *, from_id: int | None = None, start_ms: int | None = None, limit: int = PAGE
) -> Request:
    """Aggregates from_id, from_id + 1, …, or those of a time in ms and after it."""
    params: dict[str, str | int] = {"symbol": symbol, "limit": limit}
    if from_id is not None:
        params["fromId"] = from_id
    if start_ms is not None:
        params["startTime"] = start_ms
    return Request(endpoint="aggTrades", path="/api/v3/aggTrades", weight=4, params=params)


def klines(
    symbol: str,
    interval: str,
    *,
    limit: int,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Request:
    """Candles whose open time is in [start_ms, end_ms], oldest first; the last ones without."""
    params: dict[str, str | int] = {"symbol": symbol, "interval": interval, "limit": limit}
    if start_ms is not None:
        params["startTime"] = start_ms
    if end_ms is not None:
        params["endTime"] = end_ms
    return Request(endpoint="klines", path="/api/v3/klines", weight=2, params=params)
