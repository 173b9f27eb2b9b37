"""What happens inside a transaction of the store, given its cursor."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import msgspec

from contracts.market import Rejected
from ingest import admission, movers, queries, upserts
from ingest.batch import BackfillProgress, MoversPoll, Written
from ingest.errors import RowsRefused
from ingest.rows import Prepared
from ingest.session import Cursor, keeping_on

RAW_LIMIT = 65_536  # bytes of a rejected row's body that are kept
REASON_LIMIT = 500  # characters


def write(
    cursor: Cursor,
    prepared: Prepared,
    *,
    poll: MoversPoll | None = None,
    progress: BackfillProgress | None = None,
    careful: bool = False,
) -> Written:
    """Write the rows of each table, then rank the movers, set aside, and save the progress.

    `careful`: a row that PostgreSQL refuses is found and set aside, too; slower.
    """
    counts: dict[str, int] = {}
    rejected = list(prepared.rejected)
    for table, rows in prepared.rows.items():
        if careful:
            counts[table] = _insert_the_good(cursor, table, rows, rejected)
        else:
            counts[table] = _insert(cursor, table, rows)
    if poll is not None:
        cursor.execute(movers.RANK, movers.parameters(poll))
        counts["movers_24h"] = cursor.rowcount
    _set_aside(cursor, rejected)
    _save(cursor, progress)
    return Written({table: count for table, count in counts.items() if count}, len(rejected))


def copy(cursor: Cursor, prepared: Prepared, *, progress: BackfillProgress | None) -> Written:
    """As `write`, by COPY: for thousands of rows."""
    counts: dict[str, int] = {}
    for table, rows in prepared.rows.items():
        cursor.execute(upserts.make_stage(table))
        cursor.copy_expert(upserts.copy_to_stage(table), _Parts(upserts.as_csv(table, rows)))
        cursor.execute(upserts.from_stage(table))
        counts[table] = cursor.rowcount
    _set_aside(cursor, prepared.rejected)
    _save(cursor, progress)
    return Written(counts, len(prepared.rejected))


class _Parts(io.RawIOBase):
    """What COPY reads from: each read takes the next part, whatever its size."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts

    def read(self, _size: int = -1, /) -> bytes:
        """The next part; empty at the end."""
        return next(self._parts, b"")


def _insert(cursor: Cursor, table: str, rows: Sequence[msgspec.Struct]) -> int:
    cursor.execute(upserts.from_json(table), {"rows": upserts.as_json(rows)})
    return cursor.rowcount


def _insert_the_good(
    cursor: Cursor, table: str, rows: Sequence[msgspec.Struct], rejected: list[Rejected]
) -> int:
    outcome = keeping_on(cursor, lambda: _insert(cursor, table, rows))
    if not isinstance(outcome, RowsRefused):
        return outcome
    if len(rows) == 1:
        rejected.append(admission.rejection(rows[0], table, f"PostgreSQL: {outcome}"))
        return 0
    middle = len(rows) // 2
    halves = (rows[:middle], rows[middle:])
    return sum(_insert_the_good(cursor, table, half, rejected) for half in halves)


def _set_aside(cursor: Cursor, rejected: Sequence[Rejected]) -> None:
    if rejected:
        rows = [
            Rejected(
                source=_printable(each.source),
                endpoint=_printable(each.endpoint),
                reason=_printable(each.reason)[:REASON_LIMIT],
                raw=each.raw[:RAW_LIMIT],
            )
            for each in rejected
        ]
        cursor.execute(queries.QUARANTINE, {"rows": upserts.as_json(rows)})


def _printable(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and broken Unicode."""
    return text.replace("\0", "␀").encode("utf-8", "backslashreplace").decode()


def _save(cursor: Cursor, progress: BackfillProgress | None) -> None:
    if progress is not None:
        cursor.execute(queries.SAVE_BACKFILL_PROGRESS, msgspec.structs.asdict(progress))
