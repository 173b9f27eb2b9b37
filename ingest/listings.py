"""Which asset a symbol stands for, and since when; pure.

A name is not an identity: LUNAUSDT was one asset until May 2022 and has been another since. Rows of
trades, candles and prices bear the name and a time, so what they are of is said by the newest
listing that began by then. A new one begins where the symbol was gone and comes back, or where its
assets are others than before. It begins at the last moment of which we know that the old one was
still there, or at the first at which it was gone: between them nobody traded it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from contracts.market import Instrument, Listing

_STEP = timedelta(milliseconds=1)


class Listings:
    """The newest listing of each symbol of one venue."""

    def __init__(
        self, known: Iterable[Listing] = (), signs: Mapping[str, datetime] | None = None
    ) -> None:
        """What the database holds; `signs`: when each symbol was last known to be traded."""
        self._newest: dict[str, Listing] = {}
        self._anew: dict[str, datetime] = {}
        self._signs = dict(signs or {})
        for listing in sorted(known, key=lambda each: each.listed_at):
            self._note(listing)

    def anew_since(self, symbol: str) -> datetime | None:
        """When its present listing began; None where it is the first, as far as we know."""
        return self._anew.get(symbol)

    def begun_anew(self) -> set[str]:
        """The symbols that have had more than one listing."""
        return set(self._anew)

    def begin(self, now: Instrument, before: Instrument | None) -> list[Listing]:
        """Rows for a symbol that is listed: none while it stands for what it did."""
        known = self._newest.get(now.symbol)
        if known is None:
            return self._noted(_listing(now, now.as_of))
        if known.delisted_at is not None:
            return self._noted(_listing(now, max(known.delisted_at, known.listed_at + _STEP)))
        if _assets(known) == _assets(now):
            return []
        signs = [known.listed_at, self._signs.get(now.symbol, known.listed_at)]
        start = max([*signs, before.as_of] if before else signs) + _STEP
        ended = msgspec.structs.replace(known, delisted_at=start, as_of=now.as_of)
        return self._noted(ended, _listing(now, start))

    def end(self, symbol: str, at: datetime) -> list[Listing]:
        """The row of a symbol that is no longer listed."""
        known = self._newest.get(symbol)
        if known is None or known.delisted_at is not None:
            return []
        return self._noted(msgspec.structs.replace(known, delisted_at=at, as_of=at))

    def _noted(self, *listings: Listing) -> list[Listing]:
        for listing in listings:
            self._note(listing)
        return list(listings)

    def _note(self, listing: Listing) -> None:
        before = self._newest.get(listing.symbol)
        if before is not None and before.listed_at < listing.listed_at:
            self._anew[listing.symbol] = listing.listed_at
        self._newest[listing.symbol] = listing


def _listing(now: Instrument, start: datetime) -> Listing:
    return Listing(
        venue=now.venue,
        symbol=now.symbol,
        listed_at=start.replace(microsecond=start.microsecond // 1000 * 1000),
        base_asset=now.base_asset,
        quote_asset=now.quote_asset,
        delisted_at=None,
        as_of=now.as_of,
    )


def _assets(one: Listing | Instrument) -> tuple[str, str]:
    return one.base_asset, one.quote_asset
