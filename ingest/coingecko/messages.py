"""`/coins/markets`. Pure: bytes in, rows and rejected rows out.

CoinGecko writes amounts as JSON numbers, tiny ones with an exponent (1.2e-08). They are read from
their own text, never through a float. `null` is an answer in most fields: a coin without a rank,
without trades in 24 h, without a highest supply. Without a price, a name or a time a row says
nothing and goes to quarantine.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from contracts.market import CoinMarket
from ingest.admission import fits
from ingest.binance.messages import Name
from ingest.binance.rows import BadValueError, Parsed, positive, read_rows

ENDPOINT = "coins/markets"

_NUMBER = re.compile(rb"-?[0-9]{1,40}+(?:\.[0-9]{1,60}+)?+(?:[eE][+-]?[0-9]{1,3})?")
_NULL = msgspec.Raw(b"null")
_Rank = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Coin(msgspec.Struct):
    id: Name
    symbol: Name
    name: Name
    last_updated: datetime
    current_price: msgspec.Raw = _NULL
    market_cap: msgspec.Raw = _NULL
    market_cap_rank: _Rank | None = None
    total_volume: msgspec.Raw = _NULL
    high_24h: msgspec.Raw = _NULL
    low_24h: msgspec.Raw = _NULL
    price_change_percentage_24h: msgspec.Raw = _NULL
    circulating_supply: msgspec.Raw = _NULL
    total_supply: msgspec.Raw = _NULL
    max_supply: msgspec.Raw = _NULL


_coin = msgspec.json.Decoder(_Coin)


def markets(
    body: bytes, venue: str, vs_currency: str, coins: Collection[str], as_of: datetime
) -> Parsed[CoinMarket]:
    """The coins of an answer; `as_of` is when it came. One that was not asked for is set aside.

    Raises BadAnswer where the body is no JSON array. Source: docs.coingecko.com, coins-markets.
    """

    def read(raw: msgspec.Raw) -> CoinMarket:
        coin = _coin.decode(raw)
        if coin.id not in coins:
            raise BadValueError(f"{coin.id[:60]!r} was not asked for")
        row = _row(coin, venue, vs_currency, as_of)
        if row.high_24h is not None and row.low_24h is not None and row.high_24h < row.low_24h:
            raise BadValueError(f"high_24h {row.high_24h} is below low_24h {row.low_24h}")
        return row

    return read_rows(body, source=venue, endpoint=ENDPOINT, read=read)


def _row(coin: _Coin, venue: str, vs_currency: str, as_of: datetime) -> CoinMarket:
    price = _number(coin.current_price, "current_price")
    if price is None:
        raise BadValueError("current_price is null")
    return CoinMarket(
        venue=venue,
        coin_id=coin.id,
        vs_currency=vs_currency,
        ts_event=_utc(coin.last_updated),
        symbol=coin.symbol,
        name=coin.name,
        price=positive(price, "current_price"),
        market_cap=_amount(coin.market_cap, "market_cap"),
        market_cap_rank=coin.market_cap_rank,
        total_volume=_amount(coin.total_volume, "total_volume"),
        high_24h=_amount(coin.high_24h, "high_24h"),
        low_24h=_amount(coin.low_24h, "low_24h"),
        price_change_percent_24h=_number(
            coin.price_change_percentage_24h, "price_change_percentage_24h"
        ),
        circulating_supply=_amount(coin.circulating_supply, "circulating_supply"),
        total_supply=_amount(coin.total_supply, "total_supply"),
        max_supply=_amount(coin.max_supply, "max_supply"),
        as_of=as_of,
    )


def _amount(raw: msgspec.Raw, name: str) -> Decimal | None:
    value = _number(raw, name)
    if value is not None and value < 0:
        raise BadValueError(f"{name} is {value}: below zero")
    return value


def _number(raw: msgspec.Raw, name: str) -> Decimal | None:
    """An exact value as it was written, None for null."""
    text = bytes(raw)
    if text == b"null":
        return None
    if _NUMBER.fullmatch(text):
        value = Decimal(text.decode())
        if fits(value):
            return value
    shown = text[:60].decode("utf-8", "replace")
    raise BadValueError(f"{name} is {shown}: no number that NUMERIC(38,18) holds exactly")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise BadValueError("last_updated names no time zone")
    return moment.astimezone(UTC)
