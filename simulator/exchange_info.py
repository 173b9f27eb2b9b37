"""/api/v3/exchangeInfo: what is listed, its filters, and the limits of the exchange."""

from __future__ import annotations

import json
from functools import lru_cache

from simulator import wire
from simulator.catalogue import Listing

_UNLIMITED = 1_000_000_000  # what a lifted weight limit is announced as
_ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"]
PERMISSIONS = ("SPOT", "MARGIN", "LEVERAGED", "TRD_GRP_004", "TRD_GRP_005")


def rate_limits(weight_limit: int) -> list[dict[str, object]]:
    """The announced limits; a weight limit of 0 (lifted) is announced as a huge one."""
    rows = (
        ("REQUEST_WEIGHT", "MINUTE", 1, weight_limit or _UNLIMITED),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
        ("RAW_REQUESTS", "MINUTE", 5, _UNLIMITED if weight_limit == 0 else 61_000),
    )
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in rows
    ]


def header(now_ms: int, weight_limit: int) -> str:
    """The answer up to its symbols."""
    limits = json.dumps(rate_limits(weight_limit), separators=(",", ":"))
    return (
        f'{{"timezone":"UTC","serverTime":{now_ms},"rateLimits":{limits},'
        '"exchangeFilters":[],"symbols":'
    )


def permissions(listing: Listing) -> tuple[str, ...]:
    """What an account needs, any of it, to trade the symbol."""
    margin = listing.quote.name in {"USDT", "BTC"} and listing.key % 3 != 0
    return ("SPOT", "MARGIN", "TRD_GRP_004") if margin else ("SPOT", "TRD_GRP_004")


@lru_cache(maxsize=4096)
def symbol_entry(listing: Listing, status: str, *, with_permissions: bool) -> str:
    """One entry of `symbols`, as JSON text."""
    entry = {
        "symbol": listing.symbol,
        "status": status,
        "baseAsset": listing.base.name,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote.name,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": status == "TRADING",
        "isMarginTradingAllowed": status == "TRADING" and "MARGIN" in permissions(listing),
        "filters": _filters(listing),
        "permissions": [],
        "permissionSets": [list(permissions(listing))] if with_permissions else [],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False)


def _filters(listing: Listing) -> list[dict[str, object]]:
    tick = wire.number(1, listing.price_decimals)
    lot = wire.number(1, listing.lot_decimals)
    highest = int(listing.base_price * 100 * 10**listing.price_decimals) + 1
    most = int(listing.mean_lots * 100_000)
    # about five dollars, the exchange's usual smallest order, in the quote asset
    notional = f"{5 / listing.quote.usd:.8f}"
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": tick,
            "maxPrice": wire.number(highest, listing.price_decimals),
            "tickSize": tick,
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": lot,
            "maxQty": wire.number(most, listing.lot_decimals),
            "stepSize": lot,
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": wire.ZERO,
            "maxQty": wire.number(most // 10, listing.lot_decimals),
            "stepSize": wire.ZERO,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": notional,
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]
