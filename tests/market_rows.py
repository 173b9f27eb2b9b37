"""Rows of the market for tests: valid, with whatever a test wants to be different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.market import (
    Certificate,
    CoinMarket,
    Depth,
    Gap,
    Instrument,
    Kline,
    Listing,
    Price,
    Ticker24h,
    Trade,
)

VENUE = "simulator"
SYMBOL = "BTCUSDT"
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def instrument(symbol: str = SYMBOL, **changes: Any) -> Instrument:
    return Instrument(
        **{
            "venue": VENUE,
            "symbol": symbol,
            "base_asset": symbol.removesuffix("USDT"),
            "quote_asset": "USDT",
            "status": "TRADING",
            "tick_size": Decimal("0.01"),
            "lot_size": Decimal("0.00001"),
            "min_notional": Decimal(5),
            "as_of": NOON,
            **changes,
        }
    )


def listing(symbol: str = SYMBOL, **changes: Any) -> Listing:
    return Listing(
        **{
            "venue": VENUE,
            "symbol": symbol,
            "listed_at": NOON,
            "base_asset": symbol.removesuffix("USDT"),
            "quote_asset": "USDT",
            "delisted_at": None,
            "as_of": NOON,
            **changes,
        }
    )


def price(amount: str = "67000.12", **changes: Any) -> Price:
    fields = {"venue": VENUE, "symbol": SYMBOL, "observed_at": NOON, "price": Decimal(amount)}
    return Price(**{**fields, **changes})


def trade(trade_id: int = 1, **changes: Any) -> Trade:
    at = changes.get("traded_at", NOON)
    return Trade(
        **{
            "venue": VENUE,
            "symbol": SYMBOL,
            "trade_id": trade_id,
            "traded_at": at,
            "traded_at_us": round(at.timestamp() * 1_000_000),
            "price": Decimal("67000.12"),
            "quantity": Decimal("0.5"),
            "quote_quantity": Decimal("33500.06"),
            "notional_usd": Decimal("33500.06"),
            "is_buyer_maker": True,
            "is_best_match": True,
            **changes,
        }
    )


def kline(minute: int = 0, **changes: Any) -> Kline:
    """The candle that opens `minute` minutes after noon."""
    opened = NOON + minute * MINUTE
    return Kline(
        **{
            "venue": VENUE,
            "symbol": SYMBOL,
            "interval": "1m",
            "open_time": opened,
            "close_time": opened + MINUTE - timedelta(milliseconds=1),
            "open": Decimal("67000.12"),
            "high": Decimal("67100.5"),
            "low": Decimal(66900),
            "close": Decimal(67050),
            "volume": Decimal("12.5"),
            "quote_volume": Decimal("837500.25"),
            "trade_count": 321,
            "taker_buy_volume": Decimal("6.25"),
            "taker_buy_quote_volume": Decimal("418750.125"),
            "is_closed": True,
            "as_of": opened + MINUTE,
            **changes,
        }
    )


def ticker(symbol: str = SYMBOL, **changes: Any) -> Ticker24h:
    ones = "open high low last last_quantity weighted_average previous_close price_change"
    ones += " bid bid_quantity ask ask_quantity volume"
    return Ticker24h(
        **{
            **dict.fromkeys(ones.split(), Decimal(1)),
            "venue": VENUE,
            "symbol": symbol,
            "as_of": NOON,
            "open_time": NOON - timedelta(days=1),
            "price_change_percent": Decimal("1.5"),
            "quote_volume": Decimal(1_000_000),
            "first_trade_id": 1,
            "last_trade_id": 10,
            "trade_count": 10,
            **changes,
        }
    )


def depth(**changes: Any) -> Depth:
    return Depth(
        **{
            "venue": VENUE,
            "symbol": SYMBOL,
            "observed_at": NOON,
            "last_update_id": 7,
            "bids": [(Decimal(100), Decimal(3)), (Decimal(99), Decimal(1))],
            "asks": [(Decimal(101), Decimal(1)), (Decimal(102), Decimal(1))],
            **changes,
        }
    )


def gap(first_missing: int = 5, **changes: Any) -> Gap:
    return Gap(
        **{
            "venue": VENUE,
            "symbol": SYMBOL,
            "stream": "trades",
            "first_missing": first_missing,
            "last_missing": first_missing + 4,
            "state": "open",
            "cause": "disconnect",
            "detail": "",
            "detected_at": NOON,
            "as_of": NOON,
            **changes,
        }
    )


def certificate(minute: int = 0, **changes: Any) -> Certificate:
    return Certificate(
        **{
            "venue": VENUE,
            "symbol": SYMBOL,
            "open_time": NOON + minute * MINUTE,
            "state": "certified",
            "trade_count": 321,
            "first_trade_id": 1000,
            "last_trade_id": 1320,
            "detail": "",
            "as_of": NOON + (minute + 1) * MINUTE,
            **changes,
        }
    )


def coin_market(coin_id: str = "bitcoin", **changes: Any) -> CoinMarket:
    amounts = ("total_volume", "high_24h", "low_24h", "price_change_percent_24h")
    supplies = ("circulating_supply", "total_supply", "max_supply")
    fields: dict[str, Any] = {
        "venue": "coingecko",
        "coin_id": coin_id,
        "vs_currency": "usd",
        "ts_event": NOON,
        "symbol": "btc",
        "name": "Bitcoin",
        "price": Decimal("67000.12"),
        "market_cap": None,
        "market_cap_rank": None,
        **dict.fromkeys((*amounts, *supplies)),
        "as_of": NOON,
    }
    return CoinMarket(**{**fields, **changes})
