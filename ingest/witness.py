"""Whether trades that were asked for and not given are lost: what aggregate trades say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from contracts.market import Trade
from ingest.aggregates import Aggregate, Proof, proof
from ingest.binance import endpoints
from ingest.binance.rows import Parsed
from ingest.span import in_ms

VERDICTS: dict[Proof, tuple[str, str]] = {
    "lost": ("exchange-confirmed", "historicalTrades and aggTrades do not have them"),
    "withheld": ("open", "aggTrades counts them, historicalTrades does not give them"),
    "unknown": ("open", "historicalTrades does not give them, aggTrades does not tell"),
}
"""State and detail, in `gaps`, of ids that the exchange did not give."""


class AsksAggregates(Protocol):
    """Whoever can ask for a page of aggregates, from an id of theirs or a time on."""

    async def aggregates(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None
    ) -> Parsed[Aggregate]: ...


class Witness:
    """Asks for the aggregates beside a hole."""

    def __init__(self, asking: AsksAggregates) -> None:
        self._asking = asking

    async def proof(self, symbol: str, hole: range, around: Iterable[Trade]) -> Proof:
        """What is proved of a hole.

        `around`: trades that the exchange gave, of which one must be later. Errors are those of
        who asks.
        """
        later = [trade for trade in around if trade.trade_id >= hole.stop]
        if not later:
            return "unknown"
        first_later = min(later, key=lambda trade: trade.trade_id)
        return proof(hole, await self._beside(symbol, in_ms(first_later.traded_at)))

    async def _beside(self, symbol: str, at_ms: int) -> Sequence[Aggregate]:
        """A page of aggregates from a time on, and the page before them; none if one is broken."""
        later = await self._asking.aggregates(symbol, start_ms=at_ms)
        if not later.rows:
            return []
        first_id = later.rows[0].aggregate_id
        page = await self._asking.aggregates(symbol, from_id=max(first_id - endpoints.PAGE, 0))
        if page.rejected or later.rejected:  # what cannot be read may count what is missing
            return []
        return [*(each for each in page.rows if each.aggregate_id < first_id), *later.rows]
