"""Candles that are missing are asked for by their times; what is not there the exchange lacks."""

from __future__ import annotations

import msgspec

from contracts.market import Gap, Kline, Rejected
from ingest import metrics
from ingest.binance import endpoints, messages
from ingest.binance.client import Client, Times
from ingest.binance.limits import utc_now
from ingest.binance.rows import Parsed
from ingest.errors import ExchangeError
from ingest.intervals import INTERVALS, following
from ingest.span import Grid, Span, in_ms
from ingest.spare import Spare

STREAM = "klines_"


def interval_of(gap: Gap) -> str | None:
    """The interval of a gap in candles; None where it is of something else."""
    interval = gap.stream.removeprefix(STREAM)
    return interval if gap.stream.startswith(STREAM) and interval in INTERVALS else None


class Found(msgspec.Struct):
    """Candles of a gap that are there, rows for `gaps`, and what could not be read."""

    klines: list[Kline] = []
    gaps: list[Gap] = []
    rejected: list[Rejected] = []


class CandleRepair:
    """Fills holes between candles."""

    def __init__(self, client: Client, venue: str, spare: Spare) -> None:
        self._client = client
        self._venue = venue
        self._spare = spare

    async def refill(self, gap: Gap, interval: str) -> Found | None:
        """Ask for all of a gap; None where the exchange gives no answer, so that it stays open."""
        grid = Grid(interval, gap.first_missing)
        whole = Span(gap.first_missing, following(interval, gap.last_missing))
        found = Found()
        for page in grid.pages(whole, endpoints.PAGE):
            try:
                answer = await self._ask(gap.symbol, interval, page)
            except ExchangeError:
                return None
            found.klines += answer.rows
            found.rejected += answer.rejected
        missing = grid.missing(whole, (in_ms(kline.open_time) for kline in found.klines))
        found.gaps = settled(gap, [(run.start, max(grid.times(run))) for run in missing], found)
        return found

    async def _ask(self, symbol: str, interval: str, page: Span) -> Parsed[Kline]:
        def read(body: bytes, times: Times) -> Parsed[Kline]:
            return messages.klines(body, self._venue, symbol, interval, times.server)

        request = endpoints.klines(
            symbol, interval, limit=endpoints.PAGE, start_ms=page.start, end_ms=page.end - 1
        )
        await self._spare.take(request.weight)
        return (await self._client.fetch(request, read)).value


def settled(gap: Gap, missing: list[tuple[int, int]], found: Found) -> list[Gap]:
    """The rows that end a gap: what is missing still, and the rest as repaired.

    `missing`: first and last open times. What could not be read is nobody's proof.
    """
    state = "unprovable" if found.rejected else "exchange-confirmed"
    said = "not readable" if found.rejected else "klines does not have them"
    now = utc_now()
    rows = [
        msgspec.structs.replace(
            gap, first_missing=first, last_missing=last, state=state, detail=said, as_of=now
        )
        for first, last in missing
    ]
    if all(row.first_missing != gap.first_missing for row in rows):
        detail = f"{gap.detail}; asked for again".removeprefix("; ")
        rows.append(msgspec.structs.replace(gap, state="repaired", detail=detail, as_of=now))
    for row in rows:
        metrics.GAPS.labels(row.stream, row.state).inc()
    return rows
