"""The paths of the REST API, with what a request of each costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator import rest
from simulator.parameters import Parameters

Answer = Callable[[rest.Exchange, Parameters, rest.Moment], str]
Weight = Callable[[Mapping[str, str]], int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a path answers and what a request costs, by its raw parameters.

    `is_long`: whether the answer may take so long that others should not wait for it.
    """

    answer: Answer
    weight: Weight
    is_long: Callable[[Mapping[str, str]], bool] = lambda _query: False


def _fixed(weight: int) -> Weight:
    return lambda _query: weight


def _depth_weight(query: Mapping[str, str]) -> int:
    text = query.get("limit", "100")
    limit = int(text) if text.isdecimal() else 0
    return next((weight for top, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= top), 250)


def _ticker_weight(query: Mapping[str, str]) -> int:
    return 2 if "symbol" in query else 4


def _day_weight(query: Mapping[str, str]) -> int:
    if "symbol" in query:
        return 2
    count = query["symbols"].count(",") + 1 if "symbols" in query else 1000
    return next((weight for top, weight in ((20, 2), (100, 40)) if count <= top), 80)


def _whole_market(query: Mapping[str, str]) -> bool:
    return "symbol" not in query


def _spans_weeks(query: Mapping[str, str]) -> bool:
    return query.get("interval", "") not in {"1s", "1m", "3m", "5m", "15m", "30m"}


ENDPOINTS: dict[str, Endpoint] = {
    "/api/v3/ping": Endpoint(rest.ping, _fixed(1)),
    "/api/v3/time": Endpoint(rest.time, _fixed(1)),
    "/api/v3/exchangeInfo": Endpoint(rest.info, _fixed(20)),
    "/api/v3/depth": Endpoint(rest.depth, _depth_weight),
    "/api/v3/trades": Endpoint(rest.trades, _fixed(25)),
    "/api/v3/historicalTrades": Endpoint(rest.historical_trades, _fixed(25)),
    "/api/v3/aggTrades": Endpoint(rest.agg_trades, _fixed(4)),
    "/api/v3/klines": Endpoint(rest.kline_list, _fixed(2), _spans_weeks),
    "/api/v3/uiKlines": Endpoint(rest.kline_list, _fixed(2), _spans_weeks),
    "/api/v3/avgPrice": Endpoint(rest.average_price, _fixed(2)),
    "/api/v3/ticker/24hr": Endpoint(rest.ticker_24h, _day_weight, _whole_market),
    "/api/v3/ticker/price": Endpoint(rest.ticker_price, _ticker_weight),
    "/api/v3/ticker/bookTicker": Endpoint(rest.book_ticker, _ticker_weight),
}
