"""The way into PostgreSQL: one batch, one short transaction; what cannot be stored is set aside.

Durability contract: when `write` or `copy` returns, their rows are committed. When they
raise, none of them are, or all (the answer to COMMIT was lost): do the same call again, a row that
is there already stays one row. A retryable StoreError says that it may then succeed.

Rows that PostgreSQL could not hold exactly never reach it (`ingest.admission`). Should it refuse
one nevertheless, the batch is written again in halves under savepoints until that row is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from contracts.market import Gap, Instrument, Listing, Price
from contracts.naming import Role
from ingest import queries, transactions
from ingest.batch import BackfillProgress, Batch, Written
from ingest.errors import RowsRefused
from ingest.rows import prepare
from ingest.sampling import Sampling
from ingest.session import Cursor, MissingPartition, Session
from runtime.endpoints import PostgresEndpoint

log = structlog.get_logger(__name__)

RECENT = timedelta(days=2)  # how far back the newest row of a symbol is looked for
BEAT_PATIENCE_S = 2.0  # the next heartbeat is better than a late one

T = TypeVar("T")
Days = set[tuple[str, date]]


class Store:
    """PostgreSQL as ingestion sees it. `beat` has a connection of its own, so no write delays it.

    Every method raises StoreUnavailable (retryable) or StoreRefused (a person must act).
    """

    def __init__(
        self,
        settings: PostgresEndpoint,
        *,
        patience_s: float = 8.0,
        sampling: Sampling | None = None,
    ) -> None:
        """Connects when first needed. `patience_s`: how long PostgreSQL may be away in a call.

        `sampling`: which prices become events of the contract; None: nothing does.
        """
        self._sampling = sampling
        self._session = Session(settings, Role.INGEST, patience_s)
        self._pulse = Session(settings, Role.INGEST, min(patience_s, BEAT_PATIENCE_S))
        self._days: Days = set()  # partitions known to be there

    def connect(self) -> None:
        """Find out now, rather than at the first write, whether PostgreSQL takes us."""
        for session in (self._session, self._pulse):
            session.run(lambda cursor: cursor.execute("SELECT 1"))

    def close(self) -> None:
        """Close both connections; the next call opens them again."""
        self._session.close()
        self._pulse.close()

    def write(self, batch: Batch) -> Written:
        """Store a batch in one transaction; its events get the time of this call."""
        prepared = prepare(batch, datetime.now(UTC), self._sampling)
        poll = batch.movers
        if not (prepared.rows or prepared.told or prepared.rejected or poll):
            return Written()
        days = prepared.days()
        if poll:
            days.add(("movers_24h", poll.snapshot_at.date()))
        quick = partial(transactions.write, prepared=prepared, poll=poll)
        written = self._or_with_care(days, quick, partial(quick, careful=True))
        if self._sampling is not None:
            self._sampling.committed()
        return written

    def copy(self, batch: Batch, progress: BackfillProgress | None = None) -> Written:
        """Bulk-load a batch and save how far its backfill came, in one transaction."""
        prepared = prepare(batch, datetime.now(UTC))
        quick = partial(transactions.copy, prepared=prepared, progress=progress)
        careful = partial(transactions.write, prepared=prepared, progress=progress, careful=True)
        written = self._or_with_care(prepared.days(), quick, careful)
        if written.quarantined:
            log.warning("rows set aside in quarantine", rows=written.quarantined)
        return written

    def beat(self, source: str) -> None:
        """Append a heartbeat with the database's time."""
        beat = partial(_beat, source=source)
        try:
            self._pulse.run(beat)
        except MissingPartition:
            today = datetime.now(UTC).date()
            self._pulse.run(partial(_ensure, table="heartbeat", day=today))
            self._pulse.run(beat)

    def load_shedding(self) -> tuple[int, float]:
        """The level that the watch wants, and the seconds since it last said so; as `beat`."""
        rows = self._pulse.run(partial(_fetch, sql=queries.LOAD_SHEDDING, parameters={}))
        return rows[0]["level"], rows[0]["age_s"]

    def open_gaps(self, venue: str) -> list[Gap]:
        """What is missing and may still be found, the oldest first."""
        return [Gap(**row) for row in self.read(queries.OPEN_GAPS, venue=venue)]

    def gaps_within(self, venue: str, symbol: str, stream: str, places: range) -> list[Gap]:
        """What is noted as missing of a stream, whatever its state but repaired, inside places."""
        rows = self.read(
            queries.GAPS_WITHIN,
            venue=venue,
            symbol=symbol,
            stream=stream,
            first=places.start,
            end=places.stop,
        )
        return [Gap(**row) for row in rows]

    def load_instruments(self, venue: str) -> list[Instrument]:
        """What was ever listed, delisted symbols too."""
        return [Instrument(**row) for row in self.read(queries.INSTRUMENTS, venue=venue)]

    def load_listings(self, venue: str) -> list[Listing]:
        """Every listing of each symbol, the oldest first."""
        return [Listing(**row) for row in self.read(queries.LISTINGS, venue=venue)]

    def last_signs(self, venue: str, *, back: timedelta = RECENT) -> dict[str, datetime]:
        """Symbol → when it was last known to be traded, by statistics or recent trades."""
        rows = self.read(queries.LAST_SIGNS, venue=venue, since=datetime.now(UTC) - back)
        return {row["symbol"]: row["at"] for row in rows}

    def last_trade_ids(self, venue: str, *, back: timedelta = RECENT) -> dict[str, int]:
        """Symbol → its newest trade's id, where it has one in the time `back` from now."""
        rows = self.read(queries.LAST_TRADE_IDS, venue=venue, since=datetime.now(UTC) - back)
        return {row["symbol"]: row["trade_id"] for row in rows}

    def next_trade_id(self, venue: str, symbol: str, after: int, since: datetime) -> int | None:
        """The next trade that is held behind one of that id and time; None without any."""
        of = {"venue": venue, "symbol": symbol, "after": after, "since": since}
        rows = self.read(queries.NEXT_TRADE_ID, **of)
        return rows[0]["trade_id"] if rows else None

    def latest_prices(self, venue: str, *, back: timedelta = RECENT) -> list[Price]:
        """The newest price of each symbol that has one in the time `back` from now."""
        rows = self.read(queries.LATEST_PRICES, venue=venue, since=datetime.now(UTC) - back)
        return [Price(**row) for row in rows]

    def last_closed_klines(
        self, venue: str, intervals: Iterable[str]
    ) -> dict[tuple[str, str], datetime]:
        """(symbol, interval) → open time of the newest closed candle."""
        rows = self.read(queries.LAST_CLOSED_KLINES, venue=venue, intervals=list(intervals))
        return {(row["symbol"], row["interval"]): row["open_time"] for row in rows}

    def missing_klines(
        self, venue: str, symbol: str, interval: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Holes among the closed candles of [start, end): open times of the first and last missing.

        `start` and `end` must be open times of that interval.
        """
        rows = self.read(
            queries.MISSING_KLINES,
            venue=venue,
            symbol=symbol,
            interval=interval,
            start=start,
            end=end,
            step=queries.interval_step(interval),
        )
        return [(row["first_missing"], row["last_missing"]) for row in rows]

    def backfills(self, venue: str, symbol: str, stream: str) -> list[BackfillProgress]:
        """What backfills have stored of a stream, the oldest times first."""
        rows = self.read(queries.BACKFILLS, venue=venue, symbol=symbol, stream=stream)
        return [BackfillProgress(**row) for row in rows]

    def read(self, sql: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a query with these parameters, by column."""
        return self._session.run(partial(_fetch, sql=sql, parameters=parameters))

    def _or_with_care(
        self, days: Days, quick: Callable[[Cursor], Written], careful: Callable[[Cursor], Written]
    ) -> Written:
        """The quick way; where PostgreSQL refuses rows, the way that finds them."""
        try:
            return self._where_partitions_are(days, quick)
        except MissingPartition:
            raise
        except RowsRefused as error:
            log.warning("PostgreSQL refuses rows: looking for them", reason=str(error))
            return self._where_partitions_are(days, careful)

    def _where_partitions_are(self, days: Days, work: Callable[[Cursor], T]) -> T:
        """Make partitions that are not known to be there; all once more if one was dropped."""
        self._make_partitions(days - self._days)
        try:
            return self._session.run(work)
        except MissingPartition:
            self._days.clear()
            self._make_partitions(days)
            return self._session.run(work)

    def _make_partitions(self, days: Days) -> None:
        for table, day in sorted(days):  # each in a short transaction: they lock their table
            self._session.run(partial(_ensure, table=table, day=day))
            self._days.add((table, day))


def _ensure(cursor: Cursor, table: str, day: date) -> None:
    cursor.execute(queries.ENSURE_PARTITION, {"table": table, "day": day})


def _beat(cursor: Cursor, source: str) -> None:
    cursor.execute(queries.BEAT, {"source": source})


def _fetch(cursor: Cursor, sql: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
    cursor.execute(sql, parameters)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]
