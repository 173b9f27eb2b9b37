"""A seeded load that is as hard on the order of changes as PostgreSQL allows.

Clients share a few hot keys, others as time goes on: they insert what others delete (and wait for
them, their record already in the WAL), change keys, change one many times in a transaction, COPY,
roll back, and leave transactions open while others commit. Whoever waits too long, or finds a key
taken, starts anew.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2

HOT_KEYS = 8  # at a time
HOT_S = 0.5  # after which half of them are others
SLOW_KEYS = range(800_000, 800_004)  # of the client that keeps its transactions open
FRESH_KEYS = 1_000_000  # from here on: keys that nobody else chooses
PATIENCE_MS = 250
MOMENT = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)

Cursor = Any  # psycopg2's
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table, the column of its key that clients choose, and a new row for a key."""

    name: str
    key: str
    row: Callable[[random.Random, int], Row]


def gap(rng: random.Random, key: int) -> Row:
    return {
        "venue": "adversary",
        "symbol": "HOT",
        "stream": "trades",
        "first_missing": key,
        "last_missing": key + rng.randrange(1_000_000_000),
        "state": "open",
        "cause": "cut",
        "detail": f"{rng.getrandbits(40):x}",
        "detected_at": MOMENT,
        "as_of": MOMENT,
    }


def trade(rng: random.Random, key: int) -> Row:
    """Half of them are large enough for the table of large trades."""
    return {
        "venue": "adversary",
        "symbol": "HOT",
        "trade_id": key,
        "traded_at": MOMENT,
        "traded_at_us": int(MOMENT.timestamp()) * 1_000_000,
        "price": rng.randrange(1, 1_000_000_000),
        "quantity": 1,
        "quote_quantity": 1,
        "notional_usd": rng.choice((50_000, 150_000)),
        "is_buyer_maker": True,
        "is_best_match": False,
    }


TABLES = (Table("gaps", "first_missing", gap), Table("trades", "trade_id", trade))


class Client(threading.Thread):
    """One connection's transactions until it is asked to end; `done` counts what came of them."""

    def __init__(self, dsn: dict[str, Any], seed: int, *, slow: bool = False) -> None:
        super().__init__(daemon=True, name=f"client-{seed}")
        self.done: Counter[str] = Counter()
        self._dsn = dsn
        self._rng = random.Random(seed)
        self._slow = slow
        self._ending = threading.Event()

    def end(self) -> None:
        """Finish the transaction that is under way, and no other."""
        self._ending.set()
        self.join(30)

    def run(self) -> None:
        with closing(psycopg2.connect(**self._dsn)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = {PATIENCE_MS}")
            connection.commit()
            while not self._ending.is_set():
                try:
                    self._transact(connection)
                except psycopg2.Error as error:
                    connection.rollback()
                    self.done[type(error).__name__] += 1

    def _transact(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            for _ in range(self._rng.choice((20, 40) if self._slow else (1, 1, 2, 4))):
                self._act(cursor, self._rng.choice(TABLES))
                time.sleep(self._rng.choice((0, 0, 0.004, 0.02)))
        if self._rng.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
            self.done["committed"] += 1

    def _act(self, cursor: Cursor, table: Table) -> None:
        key = self._rng.choice(SLOW_KEYS if self._slow else hot_keys())
        acts = (insert, insert, upsert, update, delete, *[renew] * 4, move, burst, copy)
        self._rng.choice(acts)(cursor, table, self._rng, key)


def hot_keys() -> range:
    """The keys that all clients choose from just now."""
    first = int(time.monotonic() / HOT_S) * (HOT_KEYS // 2) % 400_000
    return range(first, first + HOT_KEYS)


def insert(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Fails where the key is taken, waits where somebody is about to free it."""
    row = table.row(rng, key)
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    cursor.execute(f"INSERT INTO {table.name} ({names}) VALUES ({values})", row)


def upsert(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Never fails."""
    delete(cursor, table, rng, key)
    insert(cursor, table, rng, key)


def update(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Every value, or none: then the row is only touched."""
    row = table.row(rng, key)
    changed = ", ".join(f"{name} = %({name})s" for name in row)
    changed = changed if rng.random() < 0.8 else "venue = venue"
    cursor.execute(f"UPDATE {table.name} SET {changed} WHERE {_of(table)}", row | {"key": key})


def delete(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    del rng
    cursor.execute(f"DELETE FROM {table.name} WHERE {_of(table)}", {"key": key})


def renew(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Delete, give others time to wait for the key, and go on with it: their LSNs are lower."""
    delete(cursor, table, rng, key)
    time.sleep(rng.choice((0, 0.01, 0.03)))
    for act in rng.choice(((), (insert,), (insert, delete), (insert, delete))):
        act(cursor, table, rng, key)


def move(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Change a key to its neighbour, which fails where that is taken."""
    del rng
    change = f"UPDATE {table.name} SET {table.key} = %(to)s WHERE {_of(table)}"
    if table.name == "gaps":
        change = change.replace(" WHERE", ", last_missing = %(to)s + 5 WHERE")
    cursor.execute(change, {"key": key, "to": key ^ 1})


def burst(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Many changes of one key."""
    upsert(cursor, table, rng, key)
    for _ in range(rng.randrange(2, 14)):
        update(cursor, table, rng, key)


def copy(cursor: Cursor, table: Table, rng: random.Random, key: int) -> None:
    """Rows of one record: a key that was just freed, and some that nobody else has."""
    fresh = [FRESH_KEYS + rng.randrange(1_000_000) for _ in range(rng.randrange(1, 8))]
    rows = [table.row(rng, each) for each in dict.fromkeys((key, *fresh))]
    delete(cursor, table, rng, key)
    lines = "".join("\t".join(map(str, row.values())) + "\n" for row in rows)
    cursor.copy_expert(f"COPY {table.name} ({', '.join(rows[0])}) FROM STDIN", io.StringIO(lines))


def _of(table: Table) -> str:
    return f"venue = 'adversary' AND {table.key} = %(key)s"
