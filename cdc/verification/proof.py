"""How far each target table has been proved equal to PostgreSQL: the table `verified_through`.

`through` T says: every row with a time before T that PostgreSQL had committed when the fence of its
pass was put up was in Cassandra, value for value, and nothing else was, without a hole before T.

- It advances only over passes that begin at or before it, and only over hours that were over, and a
  while more (LATE), when the fence was put up.
- It falls back to the hour of a difference that a later pass finds before it.
- A row that comes for an hour before T, or changes there, after that hour's pass (a repaired hole,
  a backfilled candle) is not covered by T. It flows as every row does, and is compared by the next
  pass over everything, which the watch makes now and then, and once more before its day is
  dropped (cdc.verification.retention).
- Rows of tables without hours are current state: T is the time of the last fence at which all
  were equal.

A row is written USING TIMESTAMP the log's position at that moment: the later word stays, whatever
the clocks say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cdc.fence import Passed
from cdc.times import MS_PER_HOUR
from cdc.verification.span import EPOCH, FIRST, Span
from cdc.verification.target import speaking

Session = Any  # cassandra.cluster.Session, which ships no types

LATE = timedelta(minutes=5)  # how long after an hour its last rows may be committed


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is known of a table. `at`: the last pass's fence; `differences`: what it left.

    `full_pass_at`: the fence of the last pass that compared all that PostgreSQL retains.
    """

    through: datetime | None = None
    at: datetime | None = None
    differences: int = 0
    full_pass_at: datetime | None = None


NOTHING = Proof()


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A comparison that was made: its fence's time, its range, and what is not equal after it.

    `first_bad_ms`: the time of the earliest such row; None where there is none, or no hours.
    """

    fence_at: datetime
    span: Span
    hourly: bool
    differences: int
    first_bad_ms: int | None = None


def proved(known: Proof, made: Pass) -> Proof:
    """What is known of a table after one more pass over it.

    A pass whose fence is older than what is known (a long one, overtaken by a short one) takes
    back what it found to differ, and advances nothing.
    """
    overtaken = known.at is not None and made.fence_at < known.at
    if made.hourly:
        through = _through_hours(known.through, made, advances=not overtaken)
    else:
        through = known.through if made.differences or overtaken else made.fence_at
    anew = not overtaken and _covers_all_that_is_open(known, made)
    return Proof(
        through=through,
        at=known.at if overtaken else made.fence_at,
        differences=made.differences if anew else max(known.differences, made.differences),
        full_pass_at=made.fence_at if _is_full(made) and not overtaken else known.full_pass_at,
    )


def _is_full(made: Pass) -> bool:
    return not made.hourly or (made.span.start <= FIRST and _is_open(made))


def _is_open(made: Pass) -> bool:
    return made.span.end >= ms_of(made.fence_at)


def _covers_all_that_is_open(known: Proof, made: Pass) -> bool:
    """Whether the pass has looked at everything that was not proved before."""
    return _is_full(made) or (_is_contiguous(known.through, made) and _is_open(made))


def _is_contiguous(known: datetime | None, made: Pass) -> bool:
    return made.span.start <= FIRST or (known is not None and made.span.start <= ms_of(known))


def _through_hours(known: datetime | None, made: Pass, *, advances: bool) -> datetime | None:
    reach = min(ms_of(made.fence_at - LATE), made.span.end)
    if made.first_bad_ms is not None:
        reach = min(reach, made.first_bad_ms)
    reached = _hour(reach)
    if known is not None and made.first_bad_ms is not None:
        known = min(known, reached)
    if not advances or not _is_contiguous(known, made):
        return known
    return reached if known is None else max(known, reached)


def _hour(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms - ms % MS_PER_HOUR)


def ms_of(moment: datetime) -> int:
    """Whole ms since the epoch."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def recall(session: Session) -> dict[str, Proof]:
    """What is known of each target table that was ever verified."""
    with speaking():
        rows = session.execute(
            "SELECT table_name, verified_through, at, differences, full_pass_at "
            "FROM verified_through"
        )
        return {
            row.table_name: Proof(
                through=_aware(row.verified_through),
                at=_aware(row.at),
                differences=row.differences or 0,
                full_pass_at=_aware(row.full_pass_at),
            )
            for row in rows
        }


def remember(session: Session, timestamp: int, fence: Passed, proofs: Mapping[str, Proof]) -> None:
    """Keep what was proved at a fence, at a write timestamp; `session` of Role.SINK."""
    with speaking():
        for table, proof in proofs.items():
            session.execute(
                "INSERT INTO verified_through (table_name, verified_through, fence_lsn, at, "
                "differences, full_pass_at) VALUES (%s, %s, %s, %s, %s, %s) "
                "USING TIMESTAMP %s",
                (
                    table,
                    proof.through,
                    fence.lsn,
                    proof.at,
                    proof.differences,
                    proof.full_pass_at,
                    timestamp,
                ),
            )


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)  # the driver gives naive UTC
