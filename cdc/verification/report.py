"""What a verification found, as data: for people, for `--json`, for the watch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cdc.fence import Passed, as_lsn
from cdc.verification.compare import Difference, Kind, Row


@dataclass(kw_only=True)
class TableReport:
    """One target table. `keys`: the first differing keys; all are counted."""

    table: str
    source: str
    columns: tuple[str, ...]  # of a key
    rows: int = 0
    candidates: int = 0  # rows that looked different at first sight
    missing: int = 0
    extra: int = 0
    different: int = 0
    unsettled: int = 0
    seconds: float = 0.0
    keys: list[dict[str, Any]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every row was judged, and is equal."""
        return not (self.missing or self.extra or self.different or self.unsettled)

    @property
    def rows_per_s(self) -> float:
        """Speed of the comparison."""
        return self.rows / self.seconds if self.seconds else 0.0

    def add(self, difference: Difference, limit: int) -> None:
        """Count a difference; keep its key if there are fewer than `limit`."""
        if difference.kind is Kind.MISSING:
            self.missing += 1
        elif difference.kind is Kind.EXTRA:
            self.extra += 1
        else:
            self.different += 1
        self._keep(difference.kind.value, difference.key, limit)

    def add_unsettled(self, key: Row, limit: int) -> None:
        """Count a row that changed too often to be judged."""
        self.unsettled += 1
        self._keep("unsettled", key, limit)

    def _keep(self, kind: str, key: Row, limit: int) -> None:
        if len(self.keys) < limit:
            self.keys.append({"kind": kind, **dict(zip(self.columns, key, strict=True))})

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times in keys are ms since the epoch."""
        return {
            "table": self.table,
            "source": self.source,
            "clean": self.clean,
            "rows": self.rows,
            "missing": self.missing,
            "extra": self.extra,
            "different": self.different,
            "unsettled": self.unsettled,
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s),
            "keys": self.keys,
        }


@dataclass(kw_only=True)
class Report:
    """A whole verification, at the fence it began with."""

    fence: Passed
    tables: list[TableReport] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether Cassandra equals PostgreSQL."""
        return all(table.clean for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "clean": self.clean,
            "fence_lsn": as_lsn(self.fence.lsn),
            "fence_at": self.fence.beat_at.isoformat(),
            "fence_seconds": round(self.fence.seconds, 3),
            "tables": [table.as_dict() for table in self.tables],
        }
