"""Which prices become events of the contract; pure, in the prices' own time.

A price that is told costs about three times what a stored one does (docs/sizing.md), and a market
has thousands each second. So the prices of watched symbols go out as they come, those of the rest
of the market at most once in a while each.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from contracts.market import Price

Symbol = tuple[str, str]  # venue, symbol

_NOW = timedelta(0)  # a clock that was set back silences nobody


class Sampling:
    """Remembers when each symbol was told last; a restart may tell one price too many."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: between two prices of a symbol that nobody watches."""
        self._every = timedelta(seconds=every_s)
        self._told: dict[Symbol, datetime] = {}
        self._split: dict[Symbol, datetime] = {}  # of the last call, not committed yet

    def split(
        self, prices: Sequence[Price], watched: Collection[str]
    ) -> tuple[list[Price], list[Price]]:
        """The prices that are told, and those that are stored only."""
        told: list[Price] = []
        quiet: list[Price] = []
        newest: dict[Symbol, datetime] = {}
        for price in prices:
            key = price.venue, price.symbol
            last = newest.get(key) or self._told.get(key)
            lately = last is not None and _NOW <= price.observed_at - last < self._every
            if price.symbol in watched or not lately:
                newest[key] = price.observed_at
                told.append(price)
            else:
                quiet.append(price)
        self._split = newest
        return told, quiet

    def committed(self) -> None:
        """What the last split told is told."""
        self._told |= self._split
