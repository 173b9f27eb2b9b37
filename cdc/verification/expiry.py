"""Which days PostgreSQL has kept for long enough, and a pass that drops them where it may.

Dropping a partition writes no DELETE into the log, so nothing of it reaches Cassandra, which keeps
the rows for good. What may not be dropped now stays, with its reason, and is looked at next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from cdc.errors import CdcError, Contended, Retryable

Drop = Callable[[str, date], bool]


class Days(Protocol):
    """PostgreSQL's part."""

    def days(self, table: str) -> list[date]:
        """Days that a partitioned table holds."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a day that was old enough. `reason`: why it stays, '' where it is gone.

    `overdue`: it was old enough a day ago.
    """

    table: str
    day: date
    reason: str = ""
    overdue: bool = False

    def as_dict(self) -> dict[str, object]:
        """For a script."""
        return {
            "table": self.table,
            "day": self.day.isoformat(),
            "dropped": not self.reason,
            "reason": self.reason,
            "overdue": self.overdue,
        }


def expired(held: Iterable[date], keep_days: int, today: date) -> list[date]:
    """The days that are older than `keep_days` whole days before today, the oldest first."""
    if not keep_days:
        return []
    first_kept = today - timedelta(days=keep_days)
    return sorted(day for day in held if day < first_kept)


def expire(
    source: Days,
    keep_days: Mapping[str, int],
    drop: Drop,
    today: date,
    on_progress: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Drop every expired day that may go; `keep_days` by table. One day's trouble is its own.

    Where replication stands still nothing can be proved, so the rest is not tried.
    """
    outcomes = []
    blocked = ""
    for table, keep in keep_days.items():
        for day in expired(source.days(table), keep, today):
            reason = blocked
            try:
                if not blocked:
                    drop(table, day)
            except CdcError as error:
                reason = str(error)
                if isinstance(error, Retryable) and not isinstance(error, Contended):
                    blocked = reason
            overdue = bool(reason) and day < today - timedelta(days=keep + 1)
            outcome = Outcome(table=table, day=day, reason=reason, overdue=overdue)
            outcomes.append(outcome)
            on_progress(outcome)
    return outcomes
