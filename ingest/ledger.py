"""PostgreSQL as the ledger sees it: minutes with their candles and trades, holes, gaps.

Has a store of its own, so that nothing that is written live waits for it. Errors are the store's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from contracts.market import Certificate, Gap, Kline, Trade
from ingest import ledger_queries, upserts
from ingest.batch import Batch
from ingest.binance.limits import utc_now
from ingest.conservation import Rebuilt
from ingest.store import Store

MINUTE = timedelta(minutes=1)


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """A minute of a symbol: its closed candle, what its trades make, its certificate so far."""

    venue: str
    symbol: str
    open_time: datetime
    candle: Kline | None
    made: Rebuilt
    known: Certificate | None


class Around(msgspec.Struct, frozen=True):
    """Ids of the trades that are held next before and after a range of time; None without any."""

    before: int | None
    after: int | None


class Ledger:
    """Of one venue."""

    def __init__(self, store: Store, venue: str) -> None:
        self._store = store
        self.venue = venue

    def fresh_minutes(self, symbols: Sequence[str], since: datetime, limit: int) -> list[Minute]:
        """Minutes from `since` on whose closed candle was not judged yet, oldest first."""
        return self._minutes(
            ledger_queries.FRESH_MINUTES,
            symbols=list(symbols),
            since=since,
            until=_now(),
            limit=limit,
        )

    def unsettled_minutes(
        self, state: str, after: tuple[datetime, str], limit: int
    ) -> list[Minute]:
        """Minutes whose certificate says so, from a place (time, symbol) on, oldest first."""
        return self._minutes(
            ledger_queries.UNSETTLED_MINUTES,
            state=state,
            since=after[0],
            after_symbol=after[1],
            until=_now(),
            limit=limit,
        )

    def minutes(self, symbol: str, since: datetime, until: datetime) -> list[Minute]:
        """Minutes of which there is a closed candle or a trade, oldest first."""
        return self._minutes(ledger_queries.MINUTES, symbol=symbol, since=since, until=until)

    def minute(self, symbol: str, open_time: datetime) -> Minute | None:
        """One minute; None where there is nothing of it."""
        found = self.minutes(symbol, open_time, open_time + MINUTE)
        return found[0] if found else None

    def around(self, symbol: str, since: datetime, until: datetime) -> Around:
        """The trades next to a range."""
        (row,) = self._read(
            ledger_queries.AROUND, symbol=symbol, since=since, until=until, now=_now()
        )
        return Around(**row)

    def holes(self, symbol: str, since: datetime, until: datetime) -> list[range]:
        """Ids that are missing between the trades of a range, and before and behind them."""
        rows = self._read(ledger_queries.HOLES, symbol=symbol, since=since, until=until, now=_now())
        return [range(row["first_missing"], row["last_missing"] + 1) for row in rows]

    def gaps_among(self, symbol: str, stream: str, first: int, last: int) -> list[Gap]:
        """Gaps with a part in [first, last] that are not repaired."""
        rows = self._read(
            ledger_queries.GAPS_AMONG, symbol=symbol, stream=stream, first=first, last=last
        )
        return [Gap(**row) for row in rows]

    def trades(self, symbol: str, open_time: datetime) -> list[Trade]:
        """All that is held of a minute."""
        rows = self._read(
            ledger_queries.TRADES, symbol=symbol, since=open_time, until=open_time + MINUTE
        )
        return [Trade(**row) for row in rows]

    def missing_candles(
        self, symbol: str, interval: str, since: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Holes between the first and the last closed candle that is held from `since` on."""
        (row,) = self._read(
            ledger_queries.CANDLE_BOUNDS, symbol=symbol, interval=interval, since=since
        )
        if row["first"] is None:
            return []
        return self._store.missing_klines(self.venue, symbol, interval, row["first"], row["last"])

    def trade_days(self) -> list[date]:
        """Days that have a partition for trades, the newest first."""
        return [row["day"] for row in self._store.read(ledger_queries.TRADE_DAYS)]

    def open_counts(self) -> list[tuple[str, str, int]]:
        """(gaps or minutes, stream or state, how many are open)."""
        rows = self._read(ledger_queries.OPEN_COUNTS)
        return [(row["what"], row["label"], row["count"]) for row in rows]

    def write(self, batch: Batch) -> None:
        """Store rows; they are committed when it returns."""
        self._store.write(batch)

    def correct(
        self, symbol: str, open_time: datetime, wrong: Iterable[Trade], told: Sequence[Trade]
    ) -> None:
        """Remove trades of a minute and put in others, or change them, in one transaction.

        RowsRefused where the minute would then not hold as many as its candle says.
        """
        keys = [{"trade_id": each.trade_id, "traded_at": each.traded_at} for each in wrong]
        self._store.read(
            ledger_queries.CORRECT,
            venue=self.venue,
            symbol=symbol,
            minute=open_time,
            wrong=msgspec.json.encode(keys).decode(),
            told=upserts.as_json(told),
        )

    def _minutes(self, sql: str, **parameters: object) -> list[Minute]:
        return [_minute(self.venue, row) for row in self._read(sql, **parameters)]

    def _read(self, sql: str, **parameters: object) -> list[dict[str, Any]]:
        return self._store.read(sql, venue=self.venue, **parameters)


def _now() -> datetime:
    """A moment behind which nothing is held; the exchange's clock may run a little ahead."""
    return utc_now() + MINUTE


def _minute(venue: str, row: dict[str, Any]) -> Minute:
    symbol, open_time = row["symbol"], row["open_time"]
    candle = _part(row, "candle_")
    known = _part(row, "known_")
    return Minute(
        venue=venue,
        symbol=symbol,
        open_time=open_time,
        candle=Kline(venue=venue, symbol=symbol, interval="1m", is_closed=True, **candle)
        if "open_time" in candle
        else None,
        made=Rebuilt(**_part(row, "made_", but="made_of")),
        known=Certificate(venue=venue, symbol=symbol, open_time=open_time, **known)
        if known
        else None,
    )


def _part(row: dict[str, Any], prefix: str, but: str = "") -> dict[str, Any]:
    """The columns with that prefix that are not NULL."""
    return {
        name.removeprefix(prefix): value
        for name, value in row.items()
        if name.startswith(prefix) and name != but and value is not None
    }
