"""What a quote asset was worth in US dollars when a trade of the past happened.

As live (`ingest.valuation`), but by the price of then: the close of the last whole minute before
the trade, of the asset's pair with USDT. 0 where there was none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from contracts.market import Trade
from ingest.backfill.asking import Asking
from ingest.intervals import DAY, HOUR, MINUTE
from ingest.span import Span, in_ms
from ingest.valuation import DOLLAR, Valuation, notional

_DAYS = 64  # kept
_NOTHING = Decimal(0)


class _Closes(msgspec.Struct, frozen=True):
    """Closes of a day's minutes, and of an hour before it; `ends` are when they were known, ms."""

    ends: list[int]
    closes: list[Decimal]

    def before(self, at_ms: int) -> Decimal:
        place = bisect_right(self.ends, at_ms)
        return self.closes[place - 1] if place else _NOTHING


class PastPrices:
    """Prices trades of the past."""

    def __init__(
        self, asking: Asking, usd_quotes: Sequence[str], quote_assets: Mapping[str, str]
    ) -> None:
        """`quote_assets`: of every symbol that is listed."""
        self._asking = asking
        self._ones = Valuation(usd_quotes)
        self._quote_assets = quote_assets
        self._days: dict[tuple[str, int], _Closes] = {}

    async def price(self, symbol: str, trades: Sequence[Trade]) -> list[Trade]:
        """The trades with `notional_usd`."""
        asset = self._quote_assets[symbol]
        pair = f"{asset}{DOLLAR}"
        if self._ones.usd(asset) or pair not in self._quote_assets:
            return self._ones.price(trades, asset)
        priced = []
        for trade in trades:
            at_ms = in_ms(trade.traded_at)
            closes = await self._closes(pair, at_ms // DAY * DAY)
            usd = notional(trade.quote_quantity, closes.before(at_ms))
            priced.append(msgspec.structs.replace(trade, notional_usd=usd))
        return priced

    async def _closes(self, pair: str, midnight: int) -> _Closes:
        known = self._days.get((pair, midnight))
        if known is not None:
            return known
        found = []
        middle = midnight + DAY // 2  # two pages: one holds less than a day's minutes
        for span in (Span(midnight - HOUR, middle), Span(middle, midnight + DAY)):
            found += (await self._asking.klines(pair, "1m", span)).rows
        closes = _Closes(
            [in_ms(one.open_time) + MINUTE for one in found], [one.close for one in found]
        )
        while len(self._days) >= _DAYS:
            del self._days[next(iter(self._days))]
        self._days[pair, midnight] = closes
        return closes
