"""Snapshots for the local books, asked for one after the other beside the schedule.

They take only weight that the minute has left over so far, so that hundreds of books which begin at
once neither exceed the limit nor hold up a poll; until its book is in step, a symbol is polled.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from contracts.market import Depth
from ingest import metrics
from ingest.batch import Batch
from ingest.binance import endpoints, messages
from ingest.binance.books import Books
from ingest.binance.client import Client, Times
from ingest.binance.rows import Parsed
from ingest.errors import ExchangeError
from ingest.shedding import Shedding
from ingest.spool import Spool

log = structlog.get_logger(__name__)

SPAN: Final = 10  # levels asked for, for each that is shown: a price may move so far
AT_ONCE: Final = 2
_LOOK_S: Final = 0.1
_LIMITS: Final = tuple(levels for levels, _ in endpoints.DEPTH_WEIGHTS)


def snapshot_levels(shown: int) -> int:
    """Levels a side to ask for, where so many are shown: as many as the same weight gives."""
    return next((limit for limit in _LIMITS if limit >= SPAN * shown), _LIMITS[-1])


class Snapshots:
    """Asks for what the books of one venue want."""

    def __init__(
        self, venue: str, books: Books, client: Client, shedding: Shedding, shown: int
    ) -> None:
        """`shown`: levels a side that the books show."""
        self._venue = venue
        self._books = books
        self._client = client
        self._shedding = shedding
        self._limit = snapshot_levels(shown)

    async def run(self, spool: Spool[Batch]) -> None:
        """Until it is cancelled; evidence of what cannot be read goes to the spool."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._ask_on(spool))

    async def _ask_on(self, spool: Spool[Batch]) -> None:
        while True:
            symbol = None
            if not self._shedding.sheds_stream("depth"):
                symbol = self._books.next_wanting(_now_s())
            if symbol is None:
                await asyncio.sleep(_LOOK_S)
            else:
                await self._ask(symbol, spool)

    async def _ask(self, symbol: str, spool: Spool[Batch]) -> None:
        def read(body: bytes, times: Times) -> Parsed[Depth]:
            return messages.depth(body, self._venue, symbol, times.received)

        outcome = "failed"
        try:
            request = endpoints.depth(symbol, self._limit)
            answer = await self._client.fetch(request, read, patient=True)
        except ExchangeError as error:
            log.debug("no snapshot of a book", symbol=symbol, reason=str(error))
            self._books.refused(symbol, _now_s())
        else:
            for snapshot in answer.value.rows:
                fits = self._books.start(snapshot, self._limit, _now_s())
                outcome = "in step" if fits else "does not fit"
            if answer.value.rejected:
                self._books.refused(symbol, _now_s())
                await spool.put(Batch(rejected=answer.value.rejected), answer.size)
        metrics.BOOK_SNAPSHOTS.labels(outcome).inc()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
