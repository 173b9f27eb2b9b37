"""Which symbols are watched in full: named, matched by a pattern, or the most traded. Pure.

    TIDEMARK_SYMBOLS=BTCUSDT,*USDT   TIDEMARK_SYMBOLS_TOP=20

watches BTCUSDT, and of all others that end in USDT the twenty with the largest turnover of the last
24 hours, in dollars. A symbol at the border of the ranking does not come and go: one that is in
stays until it falls well behind the last place, and one that is out takes another's place only when
it has risen well above it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ingest.catalogue import Catalogue
from ingest.fields import is_pattern

_NOTHING: Final = Decimal(0)
_MARGIN: Final = 5  # the border's width on either side: a fifth of the places


class Watchlist:
    """The symbols that are watched in full now, which may change while we run."""

    def __init__(self, symbols: Iterable[str] = ()) -> None:
        self.symbols: tuple[str, ...] = ()
        self._members: frozenset[str] = frozenset()
        self.replace(symbols)

    def replace(self, symbols: Iterable[str]) -> None:
        """Watch these from now on."""
        self.symbols = tuple(symbols)
        self._members = frozenset(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)


class Selection:
    """What the settings want; `names` are those that are named in full."""

    def __init__(self, wanted: Sequence[str], top: int = 0) -> None:
        """`top`: places for what the patterns match; 0: room for all of it."""
        self.names = tuple(name for name in wanted if not is_pattern(name))
        self._patterns = tuple(name for name in wanted if is_pattern(name))
        self.top = top

    @property
    def changes(self) -> bool:
        """Whether listings or rankings decide."""
        return bool(self._patterns)

    def foreseen(self) -> tuple[str, ...]:
        """Names of as many symbols as can be said without asking the exchange."""
        return (*self.names, *(f"place {number}" for number in range(1, self.top + 1)))

    def choose(
        self, catalogue: Catalogue, turnover: Mapping[str, Decimal], current: Collection[str]
    ) -> tuple[str, ...]:
        """The symbols to watch, the named ones first; what is not listed is not watched.

        A pattern matches what is traded; one that is halted while it is watched stays.

        `turnover`: dollars of the last 24 hours by symbol; `current`: what is watched now.
        """
        named = [name for name in self.names if catalogue.is_listed(name)]
        matched = [
            each
            for each in catalogue.listed()
            if self._matches(each) and (each in current or catalogue.is_trading(each))
        ]
        if self.top:
            ranked = sorted(matched, key=lambda each: (-turnover.get(each, _NOTHING), each))
            matched = leaders(ranked, current, self.top)
        return (*named, *matched)

    def _matches(self, symbol: str) -> bool:
        return symbol not in self.names and any(
            fnmatchcase(symbol, pattern) for pattern in self._patterns
        )


def leaders(ranked: Sequence[str], members: Collection[str], top: int) -> list[str]:
    """The holders of `top` places, by rank, among `ranked` (the best first) after `members`."""
    margin = max(1, top // _MARGIN)
    risen = [each for each in ranked[: max(top - margin, 0)] if each not in members]
    staying = [each for each in ranked[: top + margin] if each in members]
    chosen = {*risen, *staying[: top - len(risen)]}
    vacant = (each for each in ranked if each not in chosen)
    while len(chosen) < min(top, len(ranked)):
        chosen.add(next(vacant))
    return [each for each in ranked if each in chosen]
