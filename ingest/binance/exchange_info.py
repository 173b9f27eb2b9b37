"""What exchangeInfo says: the instruments, the weight limit, the exchange's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from contracts.market import Instrument, Rejected
from ingest.binance.messages import Name
from ingest.binance.rows import UNREADABLE, BadValueError, amounts, decode_whole, moment, reject
from ingest.errors import BadAnswer


class ExchangeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`weight_limit`: weight a minute of one IP; None where the exchange names none."""

    server_time: datetime
    weight_limit: int | None
    instruments: list[Instrument]
    rejected: list[Rejected]


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: Annotated[int, msgspec.Meta(ge=1)]
    limit: Annotated[int, msgspec.Meta(ge=1)]


class _Info(msgspec.Struct, rename="camel"):
    server_time: int
    rate_limits: list[_RateLimit]
    symbols: list[msgspec.Raw]


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: str = "0"
    step_size: str = "0"
    min_notional: str = "0"


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: Name
    status: Name
    base_asset: Name
    quote_asset: Name
    filters: list[_Filter]


_info = msgspec.json.Decoder(_Info)
_symbol = msgspec.json.Decoder(_Symbol)


def exchange_info(body: bytes, venue: str) -> ExchangeInfo:
    """Instruments and limits; `as_of` of every instrument is the exchange's own clock."""
    info = decode_whole(_info, body, source=venue, endpoint="exchangeInfo")
    try:
        server_time = moment(info.server_time, "serverTime")
    except BadValueError as error:
        evidence = reject(venue, "exchangeInfo", str(error), body)
        raise BadAnswer("exchangeInfo", str(error), evidence) from error
    instruments, rejected = [], []
    for raw in info.symbols:
        try:
            instruments.append(_instrument(_symbol.decode(raw), venue, server_time))
        except (*UNREADABLE, BadValueError) as error:
            rejected.append(reject(venue, "exchangeInfo", str(error), raw))
    return ExchangeInfo(
        server_time=server_time,
        weight_limit=_weight_limit(info.rate_limits),
        instruments=instruments,
        rejected=rejected,
    )


def _instrument(symbol: _Symbol, venue: str, as_of: datetime) -> Instrument:
    by_type = {one.filter_type: one for one in symbol.filters}
    nothing = _Filter("")
    notional = by_type.get("NOTIONAL") or by_type.get("MIN_NOTIONAL") or nothing
    tick, lot, least = amounts(
        (
            by_type.get("PRICE_FILTER", nothing).tick_size,
            by_type.get("LOT_SIZE", nothing).step_size,
            notional.min_notional,
        ),
        ("tickSize", "stepSize", "minNotional"),
    )
    return Instrument(
        venue=venue,
        symbol=symbol.symbol,
        base_asset=symbol.base_asset,
        quote_asset=symbol.quote_asset,
        status=symbol.status,
        tick_size=tick,
        lot_size=lot,
        min_notional=least,
        as_of=as_of,
    )


def _weight_limit(limits: list[_RateLimit]) -> int | None:
    """The tightest weight limit, as weight a minute."""
    minutes = {"SECOND": 1 / 60, "MINUTE": 1, "HOUR": 60, "DAY": 1440}
    a_minute = [
        int(one.limit / (one.interval_num * minutes[one.interval]))
        for one in limits
        if one.rate_limit_type == "REQUEST_WEIGHT" and one.interval in minutes
    ]
    return min(a_minute, default=None)
