"""Seeded load on PostgreSQL beside the simulated market's own flow, under a venue of its own.

Transactions of one to five changes on four tables: inserts, updates, deletes, changed keys, a
delete and an insert of one key. The writer outlives the fault: it connects again and goes on. And
canaries: rows that only ever grow in version, or are deleted for good (O2).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg2

VENUE = "fault"
KEYS = 150
HOLD_S = 0.5  # between two attempts to connect

# The market itself trades little: what a fault has to survive is the seeded load, and every row of
# both is compared again and again.
CALM_MARKET = {
    "TIDEMARK_SIMULATOR_TRADES_PER_SECOND": "5",
    "TIDEMARK_TICKER_24H_EVERY_S": "60",
    "TIDEMARK_DEPTH_EVERY_S": "20",
    "TIDEMARK_KLINES_EVERY_S": "20",
    "TIDEMARK_COINGECKO": "off",
    "TIDEMARK_COINCAP": "off",
}

Cursor = Any
_NOW_MS = "date_trunc('milliseconds', clock_timestamp())"

UPSERT_INSTRUMENT = """
INSERT INTO instruments (venue, symbol, base_asset, quote_asset, status, tick_size, lot_size,
                         min_notional, as_of)
VALUES (%s, %s, 'B', 'Q', %s, %s, 0.000000000000000001, 0, clock_timestamp())
ON CONFLICT (venue, symbol) DO UPDATE
SET status = excluded.status, tick_size = excluded.tick_size, as_of = excluded.as_of"""

UPSERT_KLINE = """
INSERT INTO klines (venue, symbol, "interval", open_time, close_time, open, high, low, close,
                    volume, quote_volume, trade_count, taker_buy_volume, taker_buy_quote_volume,
                    is_closed, as_of)
VALUES (%s, %s, '1m', %s::timestamptz, %s::timestamptz + interval '59.999 s', 1, 2, 0.5, %s, 3, 4,
        %s, 1, 1, %s, clock_timestamp())
ON CONFLICT (venue, symbol, "interval", open_time) DO UPDATE
SET close = excluded.close, trade_count = excluded.trade_count, is_closed = excluded.is_closed,
    as_of = excluded.as_of"""

INSERT_TRADE = f"""
INSERT INTO trades (venue, symbol, trade_id, traded_at, traded_at_us, price, quantity,
                    quote_quantity, notional_usd, is_buyer_maker, is_best_match)
SELECT %s, %s, %s, at, (extract(epoch FROM at) * 1000000)::bigint + 7, %s, 1, %s, %s, true, true
FROM (SELECT {_NOW_MS} AS at) AS clock"""

UPSERT_GAP = """
INSERT INTO gaps (venue, symbol, stream, first_missing, last_missing, state, cause, detail,
                  detected_at, as_of)
VALUES (%s, %s, 'trades', %s, %s, 'open', 'fault', %s, clock_timestamp(), clock_timestamp())
ON CONFLICT (venue, symbol, stream, first_missing) DO UPDATE
SET state = 'repaired', detail = excluded.detail, as_of = excluded.as_of"""

RECENT_TRADE = """
(SELECT trade_id, traded_at FROM trades WHERE venue = %s AND symbol = %s
 AND traded_at > clock_timestamp() - interval '2 min' ORDER BY traded_at DESC LIMIT 1)"""


class Changes:
    """Changes drawn from a seed; none needs another, so that a lost commit confuses nothing."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._trade = self._random.randrange(1 << 40)
        self._kinds: tuple[tuple[Callable[[Cursor], None], int], ...] = (
            (self._instrument, 20),
            (self._drop_instrument, 6),
            (self._rename_instrument, 4),
            (self._replace_instrument, 4),
            (self._kline, 22),
            (self._drop_kline, 4),
            (self._move_kline, 4),
            (self._insert_trade, 20),
            (self._reprice_trade, 5),
            (self._drop_trade, 4),
            (self._gap, 5),
            (self._drop_gap, 2),
        )

    def transaction(self, cursor: Cursor) -> int:
        """One to five changes; how many."""
        kinds, weights = zip(*self._kinds, strict=True)
        drawn = self._random.choices(kinds, weights, k=self._random.choice((1, 1, 1, 2, 3, 5)))
        for change in drawn:
            change(cursor)
        return len(drawn)

    def _symbol(self) -> str:
        return f"F{self._random.randrange(KEYS):03}"

    def _number(self) -> str:
        return f"{self._random.randrange(10**12)}.{self._random.randrange(10**18):018}"

    def _minute(self) -> str:
        """One of some minutes around the end of a month, so that a changed key changes bucket."""
        minute = self._random.randrange(60)
        day, hour = ("10-31", 23) if minute < 30 else ("11-01", 0)
        return f"2026-{day} {hour:02}:{(30 + minute) % 60:02}:00+00"

    def _instrument(self, cursor: Cursor) -> None:
        status = f"S{self._random.random()}"
        cursor.execute(UPSERT_INSTRUMENT, (VENUE, self._symbol(), status, self._number()))

    def _drop_instrument(self, cursor: Cursor) -> None:
        self._delete_instrument(cursor, self._symbol())

    def _delete_instrument(self, cursor: Cursor, symbol: str) -> None:
        cursor.execute("DELETE FROM instruments WHERE venue = %s AND symbol = %s", (VENUE, symbol))

    def _rename_instrument(self, cursor: Cursor) -> None:
        old, new = self._symbol(), self._symbol()
        if old == new:
            return
        self._delete_instrument(cursor, new)
        cursor.execute(
            "UPDATE instruments SET symbol = %s WHERE venue = %s AND symbol = %s",
            (new, VENUE, old),
        )

    def _replace_instrument(self, cursor: Cursor) -> None:
        symbol = self._symbol()
        self._delete_instrument(cursor, symbol)
        cursor.execute(UPSERT_INSTRUMENT, (VENUE, symbol, "REPLACED", self._number()))

    def _kline(self, cursor: Cursor) -> None:
        at = self._minute()
        count, closed = self._random.randrange(10**6), self._random.random() < 0.5
        cursor.execute(UPSERT_KLINE, (VENUE, self._symbol(), at, at, self._number(), count, closed))

    def _drop_kline(self, cursor: Cursor) -> None:
        cursor.execute(
            "DELETE FROM klines WHERE venue = %s AND symbol = %s AND open_time = %s",
            (VENUE, self._symbol(), self._minute()),
        )

    def _move_kline(self, cursor: Cursor) -> None:
        symbol, old, new = self._symbol(), self._minute(), self._minute()
        cursor.execute(
            "UPDATE klines SET open_time = %s WHERE venue = %s AND symbol = %s AND open_time = %s "
            "AND NOT EXISTS (SELECT FROM klines k WHERE k.venue = %s AND k.symbol = %s "
            'AND k."interval" = klines."interval" AND k.open_time = %s)',
            (new, VENUE, symbol, old, VENUE, symbol, new),
        )

    def _insert_trade(self, cursor: Cursor) -> None:
        self._trade += 1
        notional = self._random.choice(("99999.5", "100000", "100000.000000000000000001", "5e6"))
        cursor.execute(
            INSERT_TRADE,
            (VENUE, self._symbol(), self._trade, self._number(), notional, notional),
        )

    def _reprice_trade(self, cursor: Cursor) -> None:
        symbol = self._symbol()
        cursor.execute(
            "UPDATE trades SET notional_usd = %s, price = %s WHERE venue = %s AND symbol = %s "
            f"AND (trade_id, traded_at) = {RECENT_TRADE}",
            (self._random.choice((1, 200_000)), self._number(), VENUE, symbol, VENUE, symbol),
        )

    def _drop_trade(self, cursor: Cursor) -> None:
        symbol = self._symbol()
        cursor.execute(
            "DELETE FROM trades WHERE venue = %s AND symbol = %s "
            f"AND (trade_id, traded_at) = {RECENT_TRADE}",
            (VENUE, symbol, VENUE, symbol),
        )

    def _gap(self, cursor: Cursor) -> None:
        first = self._random.randrange(50)
        detail = "x" * self._random.choice((0, 10, 5000))
        cursor.execute(UPSERT_GAP, (VENUE, self._symbol(), first, first + 3, detail))

    def _drop_gap(self, cursor: Cursor) -> None:
        cursor.execute("DELETE FROM gaps WHERE venue = %s AND symbol = %s", (VENUE, self._symbol()))


class Canaries:
    """Rows whose `status` is a version that only grows; each lives some rounds and dies."""

    LIFE = 12
    ALIVE = 4

    def __init__(self, seed: int) -> None:
        self.venue = f"canary-{seed}-{time.time_ns()}"
        self._round = 0

    def transaction(self, cursor: Cursor) -> int:
        """The next version of each living canary; the oldest one is deleted, a new one begins."""
        self._round += 1
        newest = self._round // (self.LIFE // self.ALIVE)
        for number in range(max(0, newest - self.ALIVE + 1), newest + 1):
            cursor.execute(
                UPSERT_INSTRUMENT,
                (self.venue, f"{number:05}", str(self._round), "1"),
            )
        if newest >= self.ALIVE:
            cursor.execute(
                "DELETE FROM instruments WHERE venue = %s AND symbol = %s",
                (self.venue, f"{newest - self.ALIVE:05}"),
            )
        return self.ALIVE


@dataclass
class Writer:
    """One thread that commits transactions at a rate, and connects again whenever it must."""

    dsn: dict[str, Any]
    transaction: Callable[[Cursor], int]
    rate: float
    committed: int = 0
    changes: int = 0
    reconnects: int = 0

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction under way."""
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the writer of the load does not end"

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with _connected(self.dsn) as connection:
                    self._write(connection)
            except psycopg2.Error:
                self.reconnects += 1
                self._ended.wait(HOLD_S)

    def _write(self, connection: Any) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            with connection.cursor() as cursor:
                try:
                    changes = self.transaction(cursor)
                    connection.commit()
                except (psycopg2.errors.DeadlockDetected, psycopg2.errors.IntegrityError):
                    connection.rollback()
                    continue
            self.committed += 1
            self.changes += changes
            due = max(due + 1 / self.rate, time.monotonic() - 1)  # no burst after a long fault
            self._ended.wait(max(0.0, due - time.monotonic()))


@contextmanager
def _connected(dsn: dict[str, Any]) -> Iterator[Any]:
    connection = psycopg2.connect(**{**dsn, "application_name": "fault-load"})
    try:
        yield connection
    finally:
        with suppress(psycopg2.Error):
            connection.close()


class Workload:
    """Writers of changes, and one of canaries five times a second, for the length of a block."""

    def __init__(self, dsn: dict[str, Any], seed: int, tps: float) -> None:
        share = max(1, round(tps / 150))  # one connection commits about 200 a second
        canaries = Canaries(seed)
        self.canary_venue = canaries.venue
        self._canaries = Writer(dsn, canaries.transaction, 5)
        self._writers = [
            Writer(dsn, Changes(seed * 1000 + number).transaction, tps / share)
            for number in range(share)
        ]

    @property
    def committed(self) -> int:
        """Transactions that PostgreSQL has confirmed."""
        return sum(writer.committed for writer in self._writers)

    @property
    def changes(self) -> int:
        return sum(writer.changes for writer in self._writers)

    def start(self) -> None:
        for writer in (*self._writers, self._canaries):
            writer.start()

    def stop(self) -> None:
        for writer in (*self._writers, self._canaries):
            writer.stop()
