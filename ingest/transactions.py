"""What happens inside a transaction of the store, given its cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

import msgspec

from contracts.market import Rejected
from ingest import admission, bulk, movers, outbox, queries, upserts
from ingest.batch import BackfillProgress, MoversPoll, Written
from ingest.errors import RowsRefused
from ingest.outbox import Stored
from ingest.rows import Prepared
from ingest.session import Cursor, keeping_on

RAW_LIMIT = 65_536  # bytes of a rejected row's body that are kept
REASON_LIMIT = 500  # characters

Insert = Callable[[Cursor, str, Sequence[msgspec.Struct]], int]


def write(
    cursor: Cursor,
    prepared: Prepared,
    *,
    poll: MoversPoll | None = None,
    progress: BackfillProgress | None = None,
    careful: bool = False,
) -> Written:
    """Write the rows of each table, rank the movers, set aside, tell, and save the progress.

    `careful`: a row that PostgreSQL refuses is found and set aside, too; slower.
    """
    counts: Counter[str] = Counter()
    rejected = list(prepared.rejected)
    stored: list[Stored] = []

    def insert_all(insert: Insert, rows_of: Mapping[str, Sequence[msgspec.Struct]]) -> None:
        for table, rows in rows_of.items():
            if careful:
                counts[table] += _insert_the_good(cursor, insert, table, rows, rejected)
            else:
                counts[table] += insert(cursor, table, rows)

    insert_all(_insert, prepared.rows)
    insert_all(partial(_insert_and_keep, kept=stored), prepared.told)
    if poll is not None:
        cursor.execute(movers.RANK, movers.parameters(poll))
        counts["movers_24h"] = cursor.rowcount
    if prepared.told_at is not None:
        _tell(cursor, stored, rejected, prepared.told_at)
    _set_aside(cursor, rejected)
    _save(cursor, progress)
    return Written({table: count for table, count in counts.items() if count}, len(rejected))


def copy(cursor: Cursor, prepared: Prepared, *, progress: BackfillProgress | None) -> Written:
    """As `write`, by COPY: for thousands of rows."""
    counts = {table: bulk.load(cursor, table, rows) for table, rows in prepared.rows.items()}
    _set_aside(cursor, prepared.rejected)
    _save(cursor, progress)
    return Written(counts, len(prepared.rejected))


def _insert(cursor: Cursor, table: str, rows: Sequence[msgspec.Struct]) -> int:
    cursor.execute(upserts.from_json(table), {"rows": upserts.as_json(rows)})
    return cursor.rowcount


def _insert_and_keep(
    cursor: Cursor, table: str, rows: Sequence[msgspec.Struct], *, kept: list[Stored]
) -> int:
    """As `_insert`; `kept` gets what was really stored."""
    cursor.execute(upserts.telling(table), {"rows": upserts.as_json(rows)})
    names = [column.name for column in cursor.description or ()]
    kept += (dict(zip(names, row, strict=True)) for row in cursor)
    return cursor.rowcount


def _insert_the_good(
    cursor: Cursor,
    insert: Insert,
    table: str,
    rows: Sequence[msgspec.Struct],
    rejected: list[Rejected],
) -> int:
    outcome = keeping_on(cursor, lambda: insert(cursor, table, rows))
    if not isinstance(outcome, RowsRefused):
        return outcome
    if len(rows) == 1:
        rejected.append(admission.rejection(rows[0], table, f"PostgreSQL: {outcome}"))
        return 0
    middle = len(rows) // 2
    halves = (rows[:middle], rows[middle:])
    return sum(_insert_the_good(cursor, insert, table, half, rejected) for half in halves)


def _tell(cursor: Cursor, stored: Sequence[Stored], rejected: list[Rejected], at: datetime) -> None:
    """Events of what was stored, and of what was not; what the contract refuses is set aside."""
    prices, refused = outbox.price_events(stored, at)
    rejected += refused
    messages = [*prices, *outbox.dead_prices(_kept_of(rejected), at)]
    if messages:
        cursor.execute(queries.TELL, {"messages": upserts.as_json(messages)})


def _set_aside(cursor: Cursor, rejected: Sequence[Rejected]) -> None:
    if rejected:
        cursor.execute(queries.QUARANTINE, {"rows": upserts.as_json(_kept_of(rejected))})


def _kept_of(rejected: Sequence[Rejected]) -> list[Rejected]:
    """What is kept of rejected rows: cut, and without what PostgreSQL cannot hold."""
    return [
        Rejected(
            source=_printable(each.source),
            endpoint=_printable(each.endpoint),
            reason=_printable(each.reason)[:REASON_LIMIT],
            raw=each.raw[:RAW_LIMIT],
        )
        for each in rejected
    ]


def _printable(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and broken Unicode."""
    return text.replace("\0", "␀").encode("utf-8", "backslashreplace").decode()


def _save(cursor: Cursor, progress: BackfillProgress | None) -> None:
    if progress is not None:
        cursor.execute(queries.SAVE_BACKFILL_PROGRESS, msgspec.structs.asdict(progress))
