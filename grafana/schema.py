"""Cassandra's schema, read from cassandra/*.cql, and what those files do not say by themselves.

Widths of buckets and columns that may be null are declared here; tests/unit/test_grafana_schema.py
compares both with what fills the tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grafana.errors import UnknownSchema
from runtime.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "cassandra"

BUCKETS: Mapping[str, tuple[str, ...]] = {
    "hour": ("1h",),
    "day": ("1d",),
    "month": ("1mo",),
    # of candles: a month of 1m-15m, a year of 30m-4h, ten years above. 1s is not offered by any
    # panel: its bucket is a day, and a day of it is more rows than a panel may touch.
    "bucket": ("1mo", "1y", "10y"),
}
"""Column that buckets a partition → its widths, as the durations of `floor`."""

DAYS: Mapping[str, float] = {"1h": 1 / 24, "1d": 1, "1mo": 28, "1y": 365, "10y": 3652}
"""The shortest that a bucket of a width can be."""

NULLABLE: Mapping[str, frozenset[str]] = {
    "listings": frozenset({"delisted_at", "delisted_at_us"}),
    "coin_markets": frozenset(
        [
            "market_cap",
            "market_cap_rank",
            "total_volume",
            "high_24h",
            "low_24h",
            "price_change_percent_24h",
            "circulating_supply",
            "total_supply",
            "max_supply",
        ]
    ),
    # a row is there before it is known when it became visible, and one of a snapshot knows less
    "heartbeats_by_day": frozenset(
        ["committed_us", "captured_us", "produced_ms", "received_us", "visible_us"]
    ),
    "verified_through": frozenset({"verified_through", "differences", "full_pass_at"}),
    "dead_letters": frozenset(
        ["path", "lsn", "write_timestamp", "key", "payload", "redriven_at", "redrive_result"]
    ),
    "cdc_state": frozenset(
        [
            "snapshot_lsn",
            "snapshot_completed_at",
            "snapshot_seen_lsn",
            "resync_begun_at",
            "swept_at",
            "broken",
        ]
    ),
}
"""Table → columns that may be null: the plugin would show them as 0, as '' or as the year 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns with their types, and the parts of its key."""

    name: str
    columns: Mapping[str, str]
    partition: tuple[str, ...]
    clustering: tuple[tuple[str, bool], ...]  # (column, descending)

    @property
    def bucket(self) -> str | None:
        """The column of the partition key that bounds its size."""
        return next((name for name in self.partition if name in BUCKETS), None)

    @property
    def time(self) -> str | None:
        """The column that orders a partition's rows by time, where the first one does."""
        if self.clustering and self.columns[self.clustering[0][0]] == "timestamp":
            return self.clustering[0][0]
        return None

    @property
    def newest_first(self) -> bool:
        """Whether the rows of a partition come newest first."""
        return self.time is not None and self.clustering[0][1]


_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*)\)(?: WITH (.*))?", re.IGNORECASE)
_ADD = re.compile(r"ALTER TABLE (\w+) ADD IF NOT EXISTS (\w+) (\w+)", re.IGNORECASE)
_KEY = re.compile(r"PRIMARY KEY \(\(([^)]*)\)(?:, ([^)]*))?\)", re.IGNORECASE)
_SINGLE = re.compile(r"(\w+) \w+ PRIMARY KEY", re.IGNORECASE)
_ORDER = re.compile(r"(\w+) (DESC|ASC)", re.IGNORECASE)


def read(folder: Path = FOLDER) -> dict[str, Table]:
    """{name: table} after all files; UnknownSchema on a statement that is not understood."""
    tables: dict[str, Table] = {}
    for path in sorted(folder.glob("*.cql")):
        text = re.sub(r"--[^\n]*", " ", path.read_text(encoding="utf-8"))
        for statement in filter(None, (" ".join(each.split()) for each in text.split(";"))):
            table = _after(statement, tables)
            tables[table.name] = table
    return tables


def _after(statement: str, tables: Mapping[str, Table]) -> Table:
    """The table that a statement makes or changes, as it then is."""
    if match := _ADD.fullmatch(statement):
        name, column, kind = match.groups()
        before = tables[name]
        columns = {**before.columns, column: kind}
        return Table(name, columns, before.partition, before.clustering)
    if match := _CREATE.fullmatch(statement):
        return _created(match[1], match[2], match[3] or "")
    raise UnknownSchema(f"teach grafana/schema.py this statement: {statement[:80]}")


def _created(name: str, body: str, options: str) -> Table:
    if key := _KEY.search(body):
        partition = tuple(part.strip() for part in key[1].split(","))
        clustering = tuple(part.strip() for part in (key[2] or "").split(",") if part.strip())
        body = _KEY.sub("", body)
    elif single := _SINGLE.search(body):
        partition, clustering = (single[1],), ()
    else:
        raise UnknownSchema(f"{name} has a primary key that grafana/schema.py does not understand")
    columns = dict(each.split()[:2] for each in body.split(",") if each.strip())
    _, _, ordering = options.partition("CLUSTERING ORDER BY")
    descending = {each for each, way in _ORDER.findall(ordering) if way.upper() == "DESC"}
    return Table(name, columns, partition, tuple((each, each in descending) for each in clustering))
