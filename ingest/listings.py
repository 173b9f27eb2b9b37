"""Which asset a symbol stands for, and since when; pure.

A name is not an identity: LUNAUSDT was one asset until May 2022 and has been another since. Rows of
trades, candles and prices bear the name and a time, so what they are of is said by the newest
listing that began by then. A new one begins where the symbol was gone and comes back, or where its
assets are others than before: right after the last sign that the old one was still traded, for the
new one cannot have been traded earlier, whenever we saw it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from contracts.market import Instrument, Listing

_STEP = timedelta(milliseconds=1)


class Listings:
    """The newest listing of each symbol of one venue."""

    def __init__(self, known: Iterable[Listing] = ()) -> None:
        """`known` are those that the database holds."""
        self._newest: dict[str, Listing] = {}
        self._anew: dict[str, datetime] = {}
        for listing in sorted(known, key=lambda each: each.listed_at):
            self._note(listing)

    def anew_since(self, symbol: str) -> datetime | None:
        """When we learned of its present listing; None where it is the first, as far as we know."""
        return self._anew.get(symbol)

    def begun_anew(self) -> set[str]:
        """The symbols that have had more than one listing."""
        return set(self._anew)

    def begin(self, now: Instrument, last_sign: datetime | None) -> list[Listing]:
        """Rows for a symbol that is listed: none while it stands for what it did.

        `last_sign`: when what it stood for before was last known to be traded.
        """
        known = self._newest.get(now.symbol)
        if known is None:
            return self._noted(_listing(now, now.as_of))
        if known.delisted_at is None and _assets(known) == _assets(now):
            return []
        start = _whole_ms(max(last_sign or known.listed_at, known.listed_at)) + _STEP
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
            self._anew[listing.symbol] = listing.as_of
        self._newest[listing.symbol] = listing


def _listing(now: Instrument, start: datetime) -> Listing:
    return Listing(
        venue=now.venue,
        symbol=now.symbol,
        listed_at=_whole_ms(start),
        base_asset=now.base_asset,
        quote_asset=now.quote_asset,
        delisted_at=None,
        as_of=now.as_of,
    )


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _assets(one: Listing | Instrument) -> tuple[str, str]:
    return one.base_asset, one.quote_asset
