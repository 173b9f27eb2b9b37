"""What an amount of a quote asset is worth in US dollars; pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal

import msgspec

from contracts.market import Price, Trade

_EXACT = Context(prec=80)  # two NUMERIC(38,18) multiply to at most 76 digits
_STEP = Decimal("1e-18")
_ONE, _NOTHING = Decimal(1), Decimal(0)
DOLLAR = "USDT"  # the dollar that every other asset is quoted in


class Valuation:
    """The latest dollar price of each asset that has a pair with USDT."""

    def __init__(self, usd_quotes: Iterable[str]) -> None:
        """`usd_quotes` count as one dollar each."""
        self._ones = frozenset(usd_quotes)
        self._prices: dict[str, Decimal] = {}

    def learn(self, prices: Iterable[Price]) -> None:
        """Take the newest prices."""
        for price in prices:
            if price.symbol.endswith(DOLLAR):
                self._prices[price.symbol.removesuffix(DOLLAR)] = price.price

    def usd(self, asset: str) -> Decimal:
        """Dollars for one unit; 0 where nobody says."""
        return _ONE if asset in self._ones else self._prices.get(asset, _NOTHING)

    def price(self, trades: Iterable[Trade], quote_asset: str) -> list[Trade]:
        """The trades with `notional_usd`, rounded half-even to 18 places."""
        rate = self.usd(quote_asset)
        return [
            msgspec.structs.replace(trade, notional_usd=notional(trade.quote_quantity, rate))
            for trade in trades
        ]


def notional(quote_quantity: Decimal, rate: Decimal) -> Decimal:
    """quote_quantity × rate, exact but for the rounding to 18 places."""
    if rate == _ONE:
        return quote_quantity
    return _EXACT.quantize(_EXACT.multiply(quote_quantity, rate), _STEP)
