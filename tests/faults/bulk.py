"""Trades of one venue in one hour of the past, many at a time, compared by themselves.

They lie before what `rig.under_load` compares, so that half a million of them burden only the row
that writes them. Each belongs to one of some pairs, so that no partition becomes too wide.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from cdc import keyspace
from cdc.settings import CdcSettings
from contracts.naming import Role
from tests.faults.trial import Counts

PAIRS = 20
AGE = timedelta(hours=2)
BETWEEN_S = 2.0

INSERT = """
INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity,
                    quote_quantity, notional_usd, is_buyer_maker, is_best_match)
SELECT %(venue)s, 'P' || n %% %(pairs)s, n, at, (extract(epoch FROM at) * 1000000)::bigint,
       1 + n / 1000000.0, 1, 1, 1, true, true
FROM generate_series(%(first)s, %(last)s) AS n,
     LATERAL (SELECT %(hour)s + n %% 3600000 * interval '1 ms' AS at) AS moment"""

# with every column: where a default has to be computed for each row, COPY writes each by itself
COLUMNS = (
    "venue, symbol, trade_id, traded_at, traded_at_us, price, quantity, quote_quantity, "
    "notional_usd, is_buyer_maker, is_best_match, ingested_at"
)

Cursor = Any  # psycopg2's
Rows = dict[tuple[str, int], Any]  # (symbol, trade id) → price


@dataclass
class Bulk:
    """The trades of one venue, which nobody else uses."""

    settings: CdcSettings
    venue: str
    hour: datetime

    @classmethod
    def begin(cls, settings: CdcSettings, name: str) -> Bulk:
        """A venue that no earlier run has used, and the day's partition."""
        hour = (datetime.now(UTC) - AGE).replace(minute=0, second=0, microsecond=0)
        made = cls(settings, f"{name}-{time.time_ns()}", hour)
        with closing(made.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT ensure_partition('trades', %s)", (hour.date(),))
        return made

    def connect(self) -> Any:
        """A connection as the owner of the tables."""
        dsn: dict[str, Any] = dict(self.settings.postgres_dsn(Role.OWNER))
        return psycopg2.connect(**dsn)

    def insert(self, cursor: Cursor, first: int, last: int) -> None:
        """One statement; each row has an LSN of its own."""
        values = {"venue": self.venue, "hour": self.hour, "pairs": PAIRS}
        cursor.execute(INSERT, values | {"first": first, "last": last})

    def copy(self, cursor: Cursor, first: int, last: int) -> None:
        """One COPY; rows of a page share an LSN."""
        text = "".join(self._line(number) for number in range(first, last + 1))
        cursor.copy_expert(f"COPY trades ({COLUMNS}) FROM STDIN", io.StringIO(text))

    def _line(self, number: int) -> str:
        at = self.hour + timedelta(milliseconds=number % 3_600_000)
        us = int(at.timestamp()) * 1_000_000 + at.microsecond
        key = f"{self.venue}\tP{number % PAIRS}\t{number}\t{at.isoformat()}\t{us}"
        return f"{key}\t{1 + number / 1e6:.6f}\t1\t1\t1\tt\tt\t{at.isoformat()}\n"

    def commit(self, write: Callable[[Cursor], None]) -> None:
        """Run a writer in a transaction of its own."""
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            write(cursor)

    def settle(self, within_s: float) -> Counts:
        """The comparison once it is equal, or as it stands when the time is up."""
        expected, deadline = self._in_postgres(), time.monotonic() + within_s
        while True:
            counts = _compared(expected, self._in_cassandra())
            if counts.equal or time.monotonic() > deadline:
                return counts
            time.sleep(BETWEEN_S)

    def _in_postgres(self) -> Rows:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT symbol, trade_id, price FROM trades WHERE venue = %s", (self.venue,)
            )
            return {(symbol, number): price for symbol, number, price in cursor}

    def _in_cassandra(self) -> Rows:
        with keyspace.session(self.settings, Role.READER) as session:
            query = session.prepare(
                "SELECT symbol, trade_id, price FROM trades_by_hour "
                "WHERE venue = ? AND symbol = ? AND hour = ?"
            )
            return {
                (each.symbol, each.trade_id): each.price
                for pair in range(PAIRS)
                for each in session.execute(query, (self.venue, f"P{pair}", self.hour), timeout=60)
            }


def _compared(expected: Rows, found: Rows) -> Counts:
    return Counts(
        rows=len(expected),
        missing=len(expected.keys() - found.keys()),
        extra=len(found.keys() - expected.keys()),
        different=sum(expected[key] != found[key] for key in expected.keys() & found.keys()),
    )
