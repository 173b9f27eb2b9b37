"""What the ledger says, for people: gaps and certificates, read as the role of readers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from contracts.market import Certificate, Gap
from contracts.naming import Role
from ingest.session import Cursor, Session
from runtime.endpoints import PostgresEndpoint

_WANTED = (
    "(%(venue)s::text IS NULL OR venue = %(venue)s) "
    "AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)"
)
_GAPS = f"""
FROM gaps WHERE {_WANTED} AND (%(stream)s::text IS NULL OR stream = %(stream)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
"""
_LIST = f"""
SELECT venue, symbol, stream, first_missing, last_missing, state, cause, detail, detected_at, as_of
{_GAPS} ORDER BY state <> 'open', detected_at DESC, symbol, first_missing LIMIT %(limit)s
"""
_SUMMARY = f"""
SELECT venue, stream, state, cause, count(*) AS gaps,
       sum(last_missing - first_missing + 1) FILTER (WHERE stream = 'trades')::bigint AS trades
{_GAPS} GROUP BY venue, stream, state, cause ORDER BY venue, stream, state, cause
"""

_JUDGED = f"""
WITH judged AS (
    SELECT venue, symbol, open_time, state FROM certificates
    WHERE {_WANTED} AND open_time >= %(since)s
), began AS (
    SELECT venue, symbol, min(open_time) AS first FROM judged GROUP BY venue, symbol
), verdicts AS (
    SELECT venue, symbol, state FROM judged
    UNION ALL
    SELECT k.venue, k.symbol, 'not yet' FROM began AS b
    JOIN klines AS k ON k.venue = b.venue AND k.symbol = b.symbol AND k.interval = '1m'
        AND k.open_time >= b.first AND k.is_closed
    LEFT JOIN judged AS j ON j.venue = k.venue AND j.symbol = k.symbol
        AND j.open_time = k.open_time
    WHERE j.state IS NULL
)
SELECT venue, symbol, state, count(*) AS minutes FROM verdicts
GROUP BY venue, symbol, state ORDER BY venue, symbol, state
"""  # noqa: S608 - made of the constants above
_UNCERTIFIED = f"""
SELECT venue, symbol, open_time, state, trade_count, first_trade_id, last_trade_id, detail, as_of
FROM certificates WHERE {_WANTED} AND open_time >= %(since)s AND state <> 'certified'
ORDER BY open_time DESC, symbol LIMIT %(limit)s
"""  # noqa: S608 - made of the constants above


class GapCount(msgspec.Struct, frozen=True):
    """How many gaps of a kind there are; of trades, how many ids they span."""

    venue: str
    stream: str
    state: str
    cause: str
    gaps: int
    trades: int | None


class MinuteCount(msgspec.Struct, frozen=True):
    """How many minutes of a symbol have a verdict, or none yet."""

    venue: str
    symbol: str
    state: str
    minutes: int


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Of which rows; None stands for all."""

    venue: str | None = None
    symbol: str | None = None
    stream: str | None = None
    state: str | None = None


class Account:
    """Errors are the store's: StoreUnavailable, StoreRefused."""

    def __init__(self, settings: PostgresEndpoint) -> None:
        self._session = Session(settings, Role.READER, patience_s=2.0)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def gaps(self, scope: Scope, limit: int) -> list[Gap]:
        """Gaps, the open ones first, then the newest."""
        return [Gap(**row) for row in self._read(_LIST, scope, limit=limit)]

    def gap_counts(self, scope: Scope) -> list[GapCount]:
        """All gaps, by what they are."""
        return [GapCount(**row) for row in self._read(_SUMMARY, scope)]

    def uncertified(self, scope: Scope, since: datetime, limit: int) -> list[Certificate]:
        """Minutes from `since` on that are judged and not certified, the newest first."""
        rows = self._read(_UNCERTIFIED, scope, since=since, limit=limit)
        return [Certificate(**row) for row in rows]

    def minute_counts(self, scope: Scope, since: datetime) -> list[MinuteCount]:
        """Minutes by symbol and verdict, from `since` on or where certifying began."""
        return [MinuteCount(**row) for row in self._read(_JUDGED, scope, since=since)]

    def _read(self, sql: str, scope: Scope, **parameters: object) -> list[dict[str, Any]]:
        def fetch(cursor: Cursor) -> list[dict[str, Any]]:
            cursor.execute(sql, msgspec.structs.asdict(scope) | parameters)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return self._session.run(fetch)
