"""Changes of what is listed, by order of a test: halts, resumptions, delistings, listings.

They take effect with the next minute, as everything of the calendar does; one that is gone is gone
at once. A symbol that is listed anew, perhaps with another base asset, is traded from the next
minute on and shown a minute later. It has a life of its own: other prices, trade ids from 0.

A name that takes the place of another (`was`) is shown at the moment at which that one is gone, as
where an asset gets another name; so it has been traded since the minute before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec

from simulator import noise
from simulator.assets import asset
from simulator.catalogue import NEVER, Listing
from simulator.errors import ScriptError
from simulator.market import Market
from simulator.trades import MINUTE_US


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """GONE: exchangeInfo lists it no more. `base`: the asset that the symbol is of from now on.

    `was`: the symbol that is gone as this one is listed, which is like it.
    """

    symbol: str
    status: Literal["TRADING", "HALT", "BREAK", "GONE"]
    base: str | None = None
    was: str | None = None


def apply(market: Market, change: Change, now_us: int) -> None:
    """Change the market; ScriptError where there never was such a symbol."""
    minute = now_us // MINUTE_US
    if change.was is not None:
        _rename(market, change, change.was, minute)
        return
    known = market.listings.get(change.symbol) or market.gone.get(change.symbol)
    if known is None:
        raise ScriptError(f"there is no symbol {change.symbol!r}; it has to be one of the market's")
    if change.status == "GONE":
        market.listings.pop(change.symbol, None)
        market.gone[change.symbol] = known
    elif change.status != "TRADING":
        closed = minute + 1
        market.listings[change.symbol] = replace(known, closed=closed, closed_status=change.status)
    elif change.base is None and change.symbol in market.listings:
        market.listings[change.symbol] = replace(known, closed=NEVER)
    else:
        market.listings[change.symbol] = _anew(market, known, change.base, minute + 1)


def _rename(market: Market, change: Change, was: str, minute: int) -> None:
    """List a symbol in the place of another."""
    known = market.listings.get(was)
    if known is None or change.symbol in market.listings:
        raise ScriptError(f"{was!r} is not listed, or {change.symbol!r} is already")
    named = replace(known, symbol=change.symbol)
    market.listings[change.symbol] = _anew(market, named, change.base, minute - 1)
    market.gone[was] = market.listings.pop(was)


def _anew(market: Market, known: Listing, base: str | None, minute: int) -> Listing:
    return replace(
        known,
        base=known.base if base is None else asset(base),
        listed=minute,
        closed=NEVER,
        key=noise.key(market.seed, known.symbol, minute),
    )
