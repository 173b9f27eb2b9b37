"""O1: every row of both stores, compared by a reader that shares nothing with `cdc.verification`.

Which table copies which is written here once more; which columns, both catalogs say. PostgreSQL is
read first. A difference counts once two passes some seconds apart agree on it, so that what is on
its way, or changes meanwhile, is none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.extras
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import SimpleStatement, tuple_factory

from cdc import keyspace
from cdc.failures import DRIVER_FAILURES
from cdc.settings import CdcSettings
from contracts.naming import Role
from tests.faults.trial import Counts

SETTLE_S = 90.0
BETWEEN_S = 2.0
ATTEMPTS = 5
FETCH = 5000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[Any, ...]
Rows = dict[Key, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A source table and its copy. `time`: its event time, by which long tables are cut."""

    source: str
    target: str
    key: tuple[str, ...]
    time: str | None = None
    bucket: tuple[str, timedelta] | None = None
    where: str = ""
    newest: bool = False  # the target keeps only the newest row of each (venue, symbol)


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
_SYMBOL = ("venue", "symbol")
COPIES = (
    Copy(source="instruments", target="instruments", key=_SYMBOL),
    Copy(source="listings", target="listings", key=(*_SYMBOL, "listed_at")),
    Copy(
        source="prices",
        target="prices_by_day",
        key=(*_SYMBOL, "observed_at"),
        time="observed_at",
        bucket=("day", DAY),
    ),
    Copy(source="prices", target="latest_prices", key=_SYMBOL, time="observed_at", newest=True),
    Copy(
        source="depth",
        target="depth_by_hour",
        key=(*_SYMBOL, "observed_at"),
        time="observed_at",
        bucket=("hour", HOUR),
    ),
    Copy(source="depth", target="latest_depth", key=_SYMBOL, time="observed_at", newest=True),
    Copy(
        source="trades",
        target="trades_by_hour",
        key=(*_SYMBOL, "traded_at", "trade_id"),
        time="traded_at",
        bucket=("hour", HOUR),
    ),
    Copy(
        source="trades",
        target="large_trades_by_day",
        key=(*_SYMBOL, "traded_at", "trade_id"),
        time="traded_at",
        bucket=("day", DAY),
        where="notional_usd > 100000",
    ),
    Copy(source="klines", target="klines", key=(*_SYMBOL, "interval", "open_time")),
    Copy(source="ticker_24h", target="ticker_24h", key=_SYMBOL),
    Copy(
        source="ticker_24h_history",
        target="ticker_24h_by_day",
        key=(*_SYMBOL, "as_of"),
        time="as_of",
        bucket=("day", DAY),
    ),
    Copy(
        source="movers_24h",
        target="movers_24h",
        key=("venue", "quote_asset", "ranking", "snapshot_at", "rank"),
        time="snapshot_at",
        bucket=("day", DAY),
    ),
    Copy(
        source="coin_markets",
        target="coin_markets",
        key=("venue", "coin_id", "vs_currency", "ts_event"),
    ),
    Copy(source="gaps", target="gaps", key=(*_SYMBOL, "stream", "first_missing")),
    Copy(
        source="certificates",
        target="certificates_by_day",
        key=(*_SYMBOL, "open_time"),
        time="open_time",
        bucket=("day", DAY),
    ),
    Copy(source="events", target="events_by_day", key=("venue", "at", "id"), bucket=("day", DAY)),
    Copy(
        source="heartbeat",
        target="heartbeats_by_day",
        key=("source", "beat_at"),
        time="beat_at",
        bucket=("day", DAY),
    ),
)


def reconcile(
    settings: CdcSettings,
    since: datetime | None = None,
    tables: tuple[str, ...] = (),
    settle_s: float = SETTLE_S,
) -> Counts:
    """Compare all tables (or these source tables); long ones from `since` on, where it is given."""
    with _stores(settings) as (postgres, session):
        deadline = time.monotonic() + settle_s
        total = Counts()
        for copy in COPIES:
            if not tables or copy.source in tables:
                total += _Comparison(copy, postgres, session, since).settle(deadline)
        return total


@contextmanager
def _stores(settings: CdcSettings) -> Iterator[tuple[Any, Any]]:
    """Both stores, as their owner."""
    dsn: dict[str, Any] = settings.postgres_dsn(Role.OWNER)
    with (
        closing(psycopg2.connect(**dsn)) as postgres,
        keyspace.session(settings, Role.OWNER) as session,
    ):
        postgres.autocommit = True
        session.get_execution_profile(EXEC_PROFILE_DEFAULT).row_factory = tuple_factory
        yield postgres, session


class _Comparison:
    """Passes over one copy."""

    def __init__(self, copy: Copy, postgres: Any, session: Any, since: datetime | None) -> None:
        self._copy = copy
        self._postgres = postgres
        self._session = session
        self._since = _whole(since) if since and copy.time and not copy.newest else None
        self._columns, self._selected, self._readers = self._match()

    def settle(self, deadline: float) -> Counts:
        """Pass after pass until no difference stays, or the time is up."""
        rows, before = self._differences()
        while before:
            time.sleep(BETWEEN_S)
            rows, after = self._differences()
            lasting = {key: both for key, both in after.items() if before.get(key) == both}
            if time.monotonic() > deadline:
                return self._count(rows, lasting)
            before = after
            if not lasting:
                break
        return self._count(rows, {})

    def _differences(self) -> tuple[int, dict[Key, tuple[Any, Any]]]:
        """Rows of PostgreSQL, and what each side has of the keys on which they differ."""
        ours, theirs = self._source_rows(), self._read_target()
        found = {
            key: (mine, copied)
            for key in ours.keys() | theirs.keys()
            if (mine := ours.get(key)) != (copied := theirs.get(key))
        }
        return len(ours), found

    def _count(self, rows: int, lasting: dict[Key, tuple[Any, Any]]) -> Counts:
        missing = sum(copied is None for _, copied in lasting.values())
        extra = sum(mine is None for mine, _ in lasting.values())
        examples = tuple(
            f"{self._copy.target}{key}: {self._unlike(*both)}"
            for key, both in list(lasting.items())[:5]
        )
        return Counts(rows, missing, extra, len(lasting) - missing - extra, examples)

    def _unlike(self, mine: Any, copied: Any) -> str:
        if mine is None or copied is None:
            return "missing in Cassandra" if copied is None else "not in PostgreSQL"
        return ", ".join(
            f"{name} {a!r}/{b!r}"
            for name, a, b in zip(self._columns, mine, copied, strict=True)
            if a != b
        )[:200]

    def _match(self) -> tuple[list[str], list[str], list[Callable[[Any], Any]]]:
        """PostgreSQL's columns, the copy's column for each, and how the latter is read."""
        with self._postgres.cursor() as cursor:
            cursor.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
                (self._copy.source,),
            )
            columns: dict[str, str] = dict(cursor.fetchall())
        known = {
            name
            for (name,) in self._session.execute(
                "SELECT column_name FROM system_schema.columns "
                "WHERE keyspace_name = %s AND table_name = %s",
                (self._session.keyspace, self._copy.target),
            )
        }
        selected, readers = [], []
        for name, kind in columns.items():
            exact = f"{name}_us"
            precise = kind.startswith("timestamp") and exact in known and exact not in columns
            target = exact if precise else name
            assert target in known, f"{self._copy.target} copies no column {name}"
            selected.append(target)
            readers.append(_reader(kind, precise=precise))
        return list(columns), selected, readers

    def _read_target(self) -> Rows:
        """Cassandra's rows, on a machine that may be too busy to answer at once."""
        for _ in range(ATTEMPTS - 1):
            with suppress(*DRIVER_FAILURES):
                return self._target_rows()
            time.sleep(BETWEEN_S)
        return self._target_rows()

    def _source_rows(self) -> Rows:
        copy = self._copy
        conditions = [copy.where] if copy.where else []
        if self._since is not None:
            conditions.append(f"{copy.time} >= %(since)s")
        text = ", ".join(f'"{name}"' for name in self._columns)
        distinct = "DISTINCT ON (venue, symbol) " if copy.newest else ""
        order = f" ORDER BY venue, symbol, {copy.time} DESC" if copy.newest else ""
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._postgres.cursor() as cursor:
            cursor.execute(
                f"SELECT {distinct}{text} FROM {copy.source}{where}{order}",
                {"since": self._since},
            )
            places = [self._columns.index(name) for name in copy.key]
            return {tuple(row[at] for at in places): row for row in cursor}

    def _target_rows(self) -> Rows:
        copy = self._copy
        names = [*self._selected, *([copy.bucket[0]] if copy.bucket else [])]
        text = ", ".join(f'"{name}"' for name in names)
        cut = f" WHERE {copy.time} >= %s ALLOW FILTERING" if self._since is not None else ""
        statement = SimpleStatement(f"SELECT {text} FROM {copy.target}{cut}", fetch_size=FETCH)
        values = (self._since,) if self._since is not None else None
        places = [self._columns.index(name) for name in copy.key]
        found: Rows = {}
        for raw in self._session.execute(statement, values, timeout=60):
            row = tuple(read(value) for read, value in zip(self._readers, raw, strict=False))
            key = tuple(row[at] for at in places)
            if not self._well_placed(row, raw):
                key = (*key, "wrong bucket", raw[-1])
            elif key in found:
                key = (*key, "twice")
            found[key] = row
        return found

    def _well_placed(self, row: tuple[Any, ...], raw: tuple[Any, ...]) -> bool:
        """Whether the bucket is the one in which a reader would look for the row."""
        copy = self._copy
        if copy.bucket is None:
            return True
        width = copy.bucket[1]
        at = row[self._columns.index(copy.time or "at")]
        return bool(_aware(raw[-1]) == EPOCH + (at - EPOCH) // width * width)


def _reader(kind: str, *, precise: bool) -> Callable[[Any], Any]:
    """How a Cassandra value becomes what psycopg2 gives for a column of that type."""
    if precise:
        return _from_us
    if kind.startswith("timestamp"):
        return _aware
    return json.loads if kind == "jsonb" else _same


def _whole(at: datetime) -> datetime:
    """Without a fraction: Cassandra would cut it to ms, and take in what PostgreSQL leaves out."""
    return at.replace(microsecond=0)


def _same(value: Any) -> Any:
    return value


def _from_us(us: int | None) -> datetime | None:
    return None if us is None else EPOCH + timedelta(microseconds=us)


def _aware(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
