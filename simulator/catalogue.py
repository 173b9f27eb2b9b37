"""Which symbols the exchange has: a pure function of the seed and the intensity of trading."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from simulator import assets, noise
from simulator.assets import Asset, asset

# The ten watched pairs and their shares of `trades_per_second`.
WATCHED_SHARES = {
    "BTC": 0.16,
    "ETH": 0.14,
    "XRP": 0.10,
    "BNB": 0.10,
    "SOL": 0.12,
    "DOGE": 0.09,
    "TRX": 0.07,
    "ADA": 0.08,
    "SUI": 0.07,
    "LINK": 0.07,
}
DEFAULT_TRADES_PER_SECOND = 50.0
MAX_TRADES_PER_SECOND = 2000.0  # a month's quote volume still fits 64 bits

OPENED = datetime(2021, 1, 1, tzinfo=UTC)
_NEWCOMERS_FROM = datetime(2026, 1, 5, tzinfo=UTC)
_NEWCOMER_EVERY_DAYS = 12
_DELISTED_FROM = datetime(2022, 5, 13, 3, tzinfo=UTC)
_DELISTED_EVERY_DAYS = 47
_HALTED_AT = datetime(2026, 6, 30, 11, 17, tzinfo=UTC)
NEVER = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A symbol: its units, its life and how briskly it trades. Minutes count from the epoch.

    Each is its own only equal, so that what is drawn for it is kept by it: a changed listing is
    another one.

    A price is a whole number of ticks of 10^−price_decimals quote units, a quantity a whole number
    of lots of 10^−lot_decimals base units; their product is exact in 8 decimals.
    """

    symbol: str
    base: Asset
    quote: Asset
    price_decimals: int
    lot_decimals: int
    trades_per_minute: float
    jitter: float  # minutes by which activity wanders, below 1
    mean_lots: float  # a trade's usual size
    listed: int
    closed: int  # first minute without trading; far away while it trades
    closed_status: str  # what it says from then on: BREAK (delisted) or HALT
    key: int

    def status(self, minute: int) -> str:
        """Its trading status in that minute."""
        return self.closed_status if minute >= self.closed else "TRADING"

    @property
    def quote_decimals(self) -> int:
        """Decimals of a quote volume as an integer."""
        return self.price_decimals + self.lot_decimals

    @property
    def base_price(self) -> float:
        """Quote units around which the price moves."""
        return self.base.usd / self.quote.usd


@lru_cache(maxsize=8)
def catalogue(
    seed: int, trades_per_second: float = DEFAULT_TRADES_PER_SECOND
) -> dict[str, Listing]:
    """Every symbol that is, was or will be listed, in the exchange's own order."""
    watched = {
        f"{name}USDT": share * trades_per_second * 60.0 for name, share in WATCHED_SHARES.items()
    }
    listings = {}
    for base, quote, listed, closed, status in _pairs():
        symbol = base + quote
        listings[symbol] = _listing(
            seed, symbol, (asset(base), asset(quote)), (listed, closed, status), watched
        )
    return listings


def _pairs() -> list[tuple[str, str, int, int, str]]:
    """(base, quote, listed, closed, status after closing) of every pair."""
    opened = _minute(OPENED)
    majors = list(assets.MAJORS)
    pairs = [(base, "USDT", opened, NEVER, "BREAK") for base in majors]
    pairs += [("ETH", "BTC", opened, NEVER, "BREAK"), ("BNB", "BTC", opened, NEVER, "BREAK")]
    for place, base in enumerate([*assets.EXTREMES, *assets.OTHERS]):
        listed = opened + place * 5 * 1440 + place % 24 * 60
        pairs.append((base, "USDT", listed, NEVER, "BREAK"))
        if place % 6 == 0 and base.isascii():
            pairs.append((base, "BTC", listed, NEVER, "BREAK"))
        if place % 12 == 4:
            pairs.append((base, "USDC", listed, NEVER, "BREAK"))
    pairs += [(base, "ETH", opened, NEVER, "BREAK") for base in ("BNB", "XRP", "TRX", "LINK")]
    pairs += [(base, "BTC", opened, NEVER, "BREAK") for base in majors[2:] if base != "BNB"]
    pairs += [(base, "USDC", opened, NEVER, "BREAK") for base in majors]
    pairs += [(base, "EUR", opened, NEVER, "BREAK") for base in majors[:6]]
    pairs += [(base, "TRY", opened, NEVER, "BREAK") for base in [*majors[:8], "USDT"]]
    pairs += [(base, "USDT", opened, NEVER, "BREAK") for base in ("USDC", "FDUSD", "EUR")]
    for place, base in enumerate(assets.DELISTED):
        closed = _minute(_DELISTED_FROM) + place * _DELISTED_EVERY_DAYS * 1440
        pairs.append((base, "USDT", opened, closed, "BREAK"))
    halted = _minute(_HALTED_AT)
    pairs += [(base, "USDT", opened, halted, "HALT") for base in assets.HALTED]
    for place, base in enumerate(assets.NEWCOMERS):
        listed = _minute(_NEWCOMERS_FROM) + place * _NEWCOMER_EVERY_DAYS * 1440 + 13 * 60
        pairs.append((base, "USDT", listed, NEVER, "BREAK"))
    return pairs


def _listing(
    seed: int,
    symbol: str,
    pair: tuple[Asset, Asset],
    life: tuple[int, int, str],
    watched: dict[str, float],
) -> Listing:
    base, quote = pair
    price = base.usd / quote.usd
    magnitude = math.floor(math.log10(price))
    price_decimals = min(8, max(2, (4 if quote.name in {"USDT", "USDC"} else 3) - magnitude))
    lot_decimals = min(8 - price_decimals, max(0, math.ceil(math.log10(base.usd))))
    key = noise.key(seed, symbol)
    usual_usd = 300.0 if symbol in watched else 150.0
    mean_lots = usual_usd / base.usd * 10.0**lot_decimals
    if base.name == "DUST":
        mean_lots = 4e9  # 24 h volumes of 15 digits
    return Listing(
        symbol=symbol,
        base=base,
        quote=quote,
        price_decimals=price_decimals,
        lot_decimals=lot_decimals,
        trades_per_minute=watched.get(symbol) or _slow_rate(key, base.name),
        jitter=0.3 if symbol in watched else 0.9,
        mean_lots=max(1.0, float(f"{mean_lots:.3g}")),
        listed=life[0],
        closed=life[1],
        closed_status=life[2],
        key=key,
    )


def _slow_rate(key: int, base: str) -> float:
    """Trades a minute of an unwatched symbol: 0.02 … 20, log-uniform."""
    if base == "DUST":
        return 90.0
    return float(f"{0.02 * 1000.0 ** ((key >> 20) % 1000 / 1000.0):.3g}")


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60
