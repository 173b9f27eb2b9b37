"""A frame of `/prices`: a partial map, id → price in dollars, of what changed. Pure.

Frames bear no time, so a price is of when its frame came. Of the assets of a line only some stand
in a frame; one that nobody asked for (any more) is no news and no mistake.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from contracts.market import Price, Rejected
from ingest.binance.rows import UNREADABLE, BadValueError, Parsed, amounts, positive, reject

ENDPOINT = "coincap/prices"

_frame = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def prices(
    frame: bytes, venue: str, wanted: Collection[str], observed_at: datetime
) -> Parsed[Price]:
    """The prices of a frame, floored to ms; a price that is none is set aside, the others stay.

    A frame that is no map, or speaks of nothing that was asked for (an error, say), is set aside
    whole. Source: docs.coincap.io, WebSocket.
    """
    try:
        said = _frame.decode(frame)
    except UNREADABLE as error:
        return Parsed([], [reject(venue, ENDPOINT, f"no map of prices: {error}", frame)])
    known = {asset: raw for asset, raw in said.items() if asset in wanted}
    if said and not known:
        reason = "it speaks of nothing that was asked for"
        return Parsed([], [reject(venue, ENDPOINT, reason, frame)])
    at = observed_at.replace(microsecond=observed_at.microsecond // 1000 * 1000)
    rows: list[Price] = []
    rejected: list[Rejected] = []
    for asset, raw in known.items():
        try:
            (price,) = amounts((_text.decode(raw),), ("price",))
            positive(price, "price")
        except (*UNREADABLE, BadValueError) as error:
            own = msgspec.json.encode({asset: raw})
            rejected.append(reject(venue, ENDPOINT, str(error), own))
        else:
            rows.append(Price(venue=venue, symbol=asset, observed_at=at, price=price))
    return Parsed(rows, rejected)
