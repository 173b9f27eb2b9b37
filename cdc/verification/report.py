"""What a verification found, as data: for people, for `--json`, for the watch."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cdc.fence import Passed, as_lsn
from cdc.verification.compare import Difference, Kind, Row
from cdc.verification.recheck import Settled


@dataclass(kw_only=True)
class TableReport:
    """One target table. `keys`: the first differing keys; all are counted.

    `axis`: where a key has the time of its hour, None where rows have none. `cells_read`: cells
    whose digests differed, as those of the current hour do while it is written to.
    """

    table: str
    source: str
    columns: tuple[str, ...]  # of a key
    axis: int | None = None
    expected: int | None = None  # rows, by the planner's estimate; None where a range is compared
    rows: int = 0
    cells: int = 0
    cells_read: int = 0
    candidates: int = 0  # rows that looked different at first sight
    missing: int = 0
    extra: int = 0
    different: int = 0
    unsettled: int = 0
    healed: int = 0
    seconds: float = 0.0
    first_bad_ms: int | None = None  # time of the earliest row that is not proved equal
    verified_through: datetime | None = None
    not_healed: str = ""  # why, where a repair left a difference
    keys: list[dict[str, Any]] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Rows that differed."""
        return self.missing + self.extra + self.different

    @property
    def left(self) -> int:
        """Rows that differ still."""
        return self.found - self.healed

    @property
    def clean(self) -> bool:
        """Whether every row was judged, and is equal now."""
        return not (self.left or self.unsettled)

    @property
    def rows_per_s(self) -> float:
        """Speed of the comparison."""
        return self.rows / self.seconds if self.seconds else 0.0

    def add(self, found: Settled, left: Settled, limit: int) -> None:
        """Count what differed and what a repair left of it; keep the first `limit` keys."""
        stays = {each.key for each in left.differences} | set(left.unsettled)
        for each in found.differences:
            self._count(each)
            healed = each.key not in stays
            self.healed += healed
            self._keep(each.kind.value, each.key, limit, healed=healed)
        for key in found.unsettled:
            self.unsettled += 1
            self._keep("unsettled", key, limit, healed=False)
        if self.axis is not None and stays:
            earliest = min(key[self.axis] for key in stays)
            known = self.first_bad_ms
            self.first_bad_ms = earliest if known is None else min(known, earliest)

    def _count(self, difference: Difference) -> None:
        if difference.kind is Kind.MISSING:
            self.missing += 1
        elif difference.kind is Kind.EXTRA:
            self.extra += 1
        else:
            self.different += 1

    def _keep(self, kind: str, key: Row, limit: int, *, healed: bool) -> None:
        if len(self.keys) < limit:
            named = dict(zip(self.columns, key, strict=True))
            self.keys.append({"kind": kind, **named, **({"healed": True} if healed else {})})

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times in keys are ms since the epoch."""
        through = self.verified_through
        return {
            "table": self.table,
            "source": self.source,
            "clean": self.clean,
            "rows": self.rows,
            "cells": self.cells,
            "cells_read": self.cells_read,
            "missing": self.missing,
            "extra": self.extra,
            "different": self.different,
            "unsettled": self.unsettled,
            "healed": self.healed,
            "not_healed": self.not_healed,
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s),
            "verified_through": None if through is None else through.isoformat(),
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
