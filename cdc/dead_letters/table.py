"""The dead letters in Cassandra (cassandra/0004_dead_letters.cql): filed, found, marked.

The row's key follows from the event alone, and its write timestamp is the letter's own time: a
letter may be filed again, by whoever, and stays one row. `redriven_at` has timestamps of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import UNSET_VALUE

from cdc.dead_letters.letter import Letter
from cdc.errors import Unreachable
from cdc.failures import DRIVER_FAILURES
from cdc.readings import Count

Session = Any  # cassandra.cluster.Session, which ships no types

MAX_PAYLOAD_BYTES = 1_000_000  # of a larger one the topic alone has the bytes
_IN_FLIGHT = 16

# the columns that are named as the fields of a Letter
_PLAIN = (
    *("id", "cause", "path", "reason", "topic", "partition", "offset", "lsn", "write_timestamp"),
    *("logged_at", "at", "letter_partition", "letter_offset"),
)
_COLUMNS = f"source_table, day, {', '.join(_PLAIN)}, key, payload_bytes"
_FILE = (
    f"INSERT INTO dead_letters ({_COLUMNS}, payload) "  # noqa: S608 - our own column names
    f"VALUES ({', '.join('?' * (len(_PLAIN) + 5))}) USING TIMESTAMP ?"
)
_SELECT = f"SELECT {_COLUMNS}, redriven_at, redrive_result"
_PARTITION = "FROM dead_letters WHERE source_table = ? AND day = ?"
_OF_PARTITION = f"{_SELECT} {_PARTITION}"
_ONE = f"{_SELECT}, payload {_PARTITION} AND id = ?"
_PARTITIONS = "SELECT DISTINCT source_table, day FROM dead_letters"
_MARKS = "SELECT redriven_at FROM dead_letters"
_ROW = "WHERE source_table = ? AND day = ? AND id = ?"
_REDRIVEN = f"UPDATE dead_letters SET redriven_at = ?, redrive_result = ? {_ROW}"  # noqa: S608 - our own text
_ATTEMPTED = f"UPDATE dead_letters SET redrive_result = ? {_ROW}"  # noqa: S608 - our own text


class LetterTable:
    """Reads and writes of the table. Errors: Unreachable, and what Cassandra refuses."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prepared: dict[str, Any] = {}

    def file(self, letters: Sequence[Letter]) -> None:
        """Write letters; all are there when it returns."""
        with _speaking():
            execute_concurrent_with_args(
                self._session,
                self._statement(_FILE),
                [_values(letter) for letter in letters],
                concurrency=_IN_FLIGHT,
            )

    def newest(
        self, *, table: str | None = None, cause: str | None = None, redriven: bool = False
    ) -> Iterator[Letter]:
        """Letters without their payload, newest first; the redriven ones only where wanted."""
        for _day, partitions in groupby(self._partitions(table), key=itemgetter(1)):
            rows = [row for each in partitions for row in self._rows(_OF_PARTITION, each)]
            for row in sorted(rows, key=lambda row: (row.at, row.id), reverse=True):
                if cause in (None, row.cause) and (redriven or row.redriven_at is None):
                    yield _letter(row)

    def find(self, identity: str) -> Letter | None:
        """The letter of that id, with its payload where the table has it."""
        for partition in self._partitions(None):
            for row in self._rows(_ONE, (*partition, identity)):
                return replace(_letter(row), value=row.payload)
        return None

    def complete(self, letter: Letter) -> Letter:
        """The same letter as it is now, with its payload where the table has it."""
        (row,) = self._rows(_ONE, _key(letter))
        return replace(_letter(row), value=row.payload)

    def waiting(self, within_s: float) -> Count:
        """How many nobody has redriven, counted for at most `within_s`."""
        deadline, letters = time.monotonic() + within_s, 0
        for row in self._rows(_MARKS, ()):
            letters += row.redriven_at is None
            if time.monotonic() > deadline:
                return Count(rows=letters, exact=False)
        return Count(rows=letters, exact=True)

    def mark_redriven(self, letter: Letter, at: datetime, result: str) -> None:
        """Keep that a letter was written."""
        self._write(_REDRIVEN, (at, result, *_key(letter)))

    def note_attempt(self, letter: Letter, why_not: str) -> None:
        """Keep why a letter could not be written; one that was written once stays so."""
        if letter.redriven_at is None:
            self._write(_ATTEMPTED, (why_not, *_key(letter)))

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with _speaking():
            self._session.execute(self._statement(statement), values)

    def _partitions(self, table: str | None) -> list[tuple[str, datetime]]:
        """(source table, day) of what there is, newest day first."""
        found = [(row.source_table, row.day) for row in self._rows(_PARTITIONS, ())]
        wanted = [each for each in found if table in (None, each[0])]
        return sorted(wanted, key=itemgetter(1, 0), reverse=True)

    def _rows(self, statement: str, values: tuple[object, ...]) -> Iterator[Any]:
        with _speaking():
            yield from self._session.execute(self._statement(statement), values)

    def _statement(self, text: str) -> Any:
        if text not in self._prepared:
            self._prepared[text] = self._session.prepare(text)
        return self._prepared[text]


@contextmanager
def _speaking() -> Iterator[None]:
    try:
        yield
    except DRIVER_FAILURES as error:
        text = " ".join(str(error).split())[:200]
        raise Unreachable(f"Cassandra does not answer: {type(error).__name__}: {text}") from error


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _key(letter: Letter) -> tuple[str, datetime, str]:
    return letter.table, _day(letter.logged_at), letter.id


def _values(letter: Letter) -> tuple[object, ...]:
    """What `_FILE` binds."""
    value = letter.value
    kept = value if value is not None and len(value) <= MAX_PAYLOAD_BYTES else None
    return (
        *_key(letter)[:2],
        *(_bound(letter, name) for name in _PLAIN),
        letter.key,
        letter.value_bytes,
        kept,
        int(letter.at.timestamp() * 1000) * 1000,
    )


def _bound(letter: Letter, name: str) -> object:
    """A field; without a place in the order it leaves what another letter of the event says."""
    value = getattr(letter, name)
    return UNSET_VALUE if value is None and name == "write_timestamp" else value


def _letter(row: Any) -> Letter:
    """A row as a letter, without its payload."""
    said = {name: getattr(row, name) for name in _PLAIN}
    said |= {name: said[name].replace(tzinfo=UTC) for name in ("logged_at", "at")}  # naive UTC
    return Letter(
        table=row.source_table,
        key=row.key,
        value=None,
        value_bytes=row.payload_bytes,
        redriven_at=row.redriven_at and row.redriven_at.replace(tzinfo=UTC),
        redrive_result=row.redrive_result,
        **said,
    )
