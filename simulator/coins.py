"""The simulated market as CoinGecko and CoinCap see it: coins in dollars, not pairs. Pure.

A coin's price is the last trade of its USDT pair (a USDT is a dollar here), its 24 h numbers are
that pair's, its market value is price × supply. A coin that no pair trades (HYPE) still has its
dollar value, and null where a pair would be needed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from simulator import path, wire
from simulator.assets import asset
from simulator.catalogue import Listing
from simulator.rest import Exchange
from simulator.trades import MINUTE_US


@dataclass(frozen=True, slots=True)
class Coin:
    """`gecko` and `cap`: its ids at CoinGecko and CoinCap. Supplies in coins; None: unknown."""

    asset: str
    gecko: str
    cap: str
    name: str
    circulating: int | None
    total: int | None
    most: int | None


COINS = (
    Coin("BTC", "bitcoin", "bitcoin", "Bitcoin", 19_990_000, 19_990_000, 21_000_000),
    Coin("ETH", "ethereum", "ethereum", "Ethereum", 120_700_000, 120_700_000, None),
    Coin("XRP", "ripple", "xrp", "XRP", 60_900_000_000, 99_985_000_000, 100_000_000_000),
    Coin("BNB", "binancecoin", "binance-coin", "BNB", 137_700_000, 137_700_000, 200_000_000),
    Coin("SOL", "solana", "solana", "Solana", 560_000_000, 620_000_000, None),
    Coin("DOGE", "dogecoin", "dogecoin", "Dogecoin", 153_000_000_000, 153_000_000_000, None),
    Coin("TRX", "tron", "tron", "TRON", 94_700_000_000, 94_700_000_000, None),
    Coin("ADA", "cardano", "cardano", "Cardano", 36_000_000_000, 45_000_000_000, 45_000_000_000),
    Coin("HYPE", "hyperliquid", "hyperliquid", "Hyperliquid", None, None, 1_000_000_000),
    Coin("SUI", "sui", "sui", "Sui", 3_700_000_000, 10_000_000_000, 10_000_000_000),
    Coin("LINK", "chainlink", "chainlink", "Chainlink", 697_000_000, 1_000_000_000, 1_000_000_000),
)
_BY_CAP = {coin.cap: coin for coin in COINS}


@dataclass(frozen=True, slots=True)
class _Worth:
    """A coin's price as text, in ticks of 10^−decimals, and when it was made."""

    ticks: int
    decimals: int
    at_us: int

    @property
    def text(self) -> str:
        return _trimmed(wire.number(self.ticks, self.decimals))


def markets(exchange: Exchange, ids: Collection[str] | None, now_us: int, limit: int) -> str:
    """CoinGecko's /coins/markets in dollars, the largest first; unknown ids are left out."""
    known = [(coin, _worth(exchange, coin, now_us)) for coin in COINS]
    caps = {coin.gecko: _cap(coin, worth) for coin, worth in known}
    ranked = sorted((gecko for gecko, cap in caps.items() if cap), key=lambda gecko: -caps[gecko])
    places = {gecko: place for place, gecko in enumerate(ranked, start=1)}
    known.sort(key=lambda each: places.get(each[0].gecko, len(COINS) + 1))
    rows = [
        _market(exchange, coin, worth, places.get(coin.gecko), now_us)
        for coin, worth in known
        if ids is None or coin.gecko in ids
    ]
    return wire.array(rows[:limit])


def prices(exchange: Exchange, assets: Sequence[str], now_us: int) -> dict[str, str]:
    """CoinCap's id → price in dollars, of those ids that it knows."""
    return {
        name: _worth(exchange, _BY_CAP[name], now_us).text for name in assets if name in _BY_CAP
    }


def _pair(exchange: Exchange, coin: Coin, now_us: int) -> Listing | None:
    return exchange.market.listing(f"{coin.asset}USDT", now_us)


def _worth(exchange: Exchange, coin: Coin, now_us: int) -> _Worth:
    listing = _pair(exchange, coin, now_us)
    if listing is not None:
        last = exchange.market.last(listing, now_us)
        return _Worth(last.price, listing.price_decimals, last.at_us)
    minute = now_us // MINUTE_US - 1  # the last one that is over
    dollars = path.dollars(exchange.market.seed, asset(coin.asset), np.array([minute]))
    return _Worth(max(int(dollars[0] * 1e8), 1), 8, (minute + 1) * MINUTE_US)


def _cap(coin: Coin, worth: _Worth) -> int:
    return worth.ticks * (coin.circulating or 0) // int(10**worth.decimals)


def _market(exchange: Exchange, coin: Coin, worth: _Worth, place: int | None, now_us: int) -> str:
    cap = _cap(coin, worth) if coin.circulating else None
    fields: dict[str, object] = {
        "id": _quoted(coin.gecko),
        "symbol": _quoted(coin.asset.lower()),
        "name": _quoted(coin.name),
        "image": "null",
        "current_price": worth.text,
        "market_cap": cap,
        "market_cap_rank": place,
        "fully_diluted_valuation": None,
        **_day(exchange, coin, now_us),
        "circulating_supply": coin.circulating,
        "total_supply": coin.total,
        "max_supply": coin.most,
        "roi": '{"times":32.1,"currency":"btc","percentage":3210.0}'
        if coin.asset == "ETH"
        else None,
        "last_updated": _quoted(_iso(worth.at_us)),
    }
    texts = (f'"{key}":{"null" if value is None else value}' for key, value in fields.items())
    return f"{{{','.join(texts)}}}"


def _day(exchange: Exchange, coin: Coin, now_us: int) -> dict[str, object]:
    """The last 24 h; all null where no pair trades the coin."""
    listing = _pair(exchange, coin, now_us)
    names = ("total_volume", "high_24h", "low_24h", "price_change_24h")
    if listing is None:
        return dict.fromkeys((*names, "price_change_percentage_24h"))
    numbers = exchange.rolling.statistics(listing, now_us)
    if numbers.count == 0:
        return dict.fromkeys((*names, "price_change_percentage_24h"))
    price = listing.price_decimals
    volume = wire.number(numbers.quote, listing.quote_decimals)
    ticks = (numbers.high, numbers.low, numbers.last - numbers.open)
    texts = [_trimmed(volume), *(_trimmed(wire.number(each, price)) for each in ticks)]
    percent = wire.change_percent(numbers.open, numbers.last)
    return {**dict(zip(names, texts, strict=True)), "price_change_percentage_24h": percent}


def _trimmed(number: str) -> str:
    """A number without zeros at its end, as JSON has it."""
    return number.rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _iso(at_us: int) -> str:
    seconds, rest_us = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_us // 1000:03d}Z"
