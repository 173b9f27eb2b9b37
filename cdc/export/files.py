"""Files of rows: CSV (also compressed) and Parquet, complete or not there.

| CQL       | CSV                                      | Parquet               |
| --------- | ---------------------------------------- | --------------------- |
| timestamp | 2026-01-15T12:00:00.000Z                 | timestamp(ms, UTC)    |
| decimal   | digits as they are stored, no exponent   | decimal128(38, 18)    |
| bigint    | digits                                   | int64                 |
| int       | digits                                   | int32                 |
| boolean   | true, false                              | bool                  |
| text      | as it is                                 | string                |

A null is an empty field in CSV, and a null in Parquet.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TextIO

from cdc.errors import BadScope
from cdc.mapping import Column
from cdc.verification.compare import Row
from cdc.verification.span import EPOCH

SUFFIXES = (".csv", ".csv.gz", ".parquet")
STDOUT = "-"
ROWS_A_GROUP = 100_000  # of Parquet
DIGITS, SCALE = 38, 18  # of PostgreSQL's amounts, numeric(38,18)


class File(Protocol):
    """Takes rows in the order of the columns that it was opened with."""

    def write(self, rows: Iterable[Row]) -> int:
        """Write rows; how many they were."""


@contextmanager
def opened(to: str, columns: Sequence[Column], *, replace: bool = False) -> Iterator[File]:
    """A file for the length of a block; `-` is CSV on the standard output.

    It bears its name once it is complete. BadScope for a suffix that is none of SUFFIXES, a file
    that is there already (unless `replace`) and a folder that is not there.
    """
    if to == STDOUT:
        yield _Csv(sys.stdout, columns)
        return
    path = Path(to)
    suffix = next((each for each in SUFFIXES if path.name.endswith(each)), None)
    if suffix is None:
        raise BadScope(f"{path.name}: a file must end with one of {', '.join(SUFFIXES)}")
    if path.exists() and not replace:
        raise BadScope(f"{path} is there already; --force replaces it")
    if not path.parent.is_dir():
        raise BadScope(f"{path.parent} is no folder; make it first")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with ExitStack() as stack:
            yield _OPEN[suffix](unfinished, columns, stack)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class _Csv:
    def __init__(self, text: TextIO, columns: Sequence[Column]) -> None:
        self._writer = csv.writer(text, lineterminator="\n")
        self._writer.writerow([each.name for each in columns])
        self._words = [_WORDS.get(each.cql) for each in columns]

    def write(self, rows: Iterable[Row]) -> int:
        count = 0
        for row in rows:
            self._writer.writerow(
                [
                    value if words is None or value is None else words(value)
                    for words, value in zip(self._words, row, strict=True)
                ]
            )
            count += 1
        return count


class _Parquet:
    """Rows wait until a group is full, so that a group is never one small partition."""

    def __init__(self, path: Path, columns: Sequence[Column], stack: ExitStack) -> None:
        import pyarrow as pa  # noqa: PLC0415 - half a second that CSV does not need
        from pyarrow import parquet  # noqa: PLC0415 - the same

        types = {
            "timestamp": pa.timestamp("ms", tz="UTC"),
            "decimal": pa.decimal128(DIGITS, SCALE),
            "bigint": pa.int64(),
            "int": pa.int32(),
            "boolean": pa.bool_(),
            "text": pa.string(),
        }
        self._table = pa.Table
        self._array = pa.array
        self._schema = pa.schema([(each.name, types[each.cql]) for each in columns])
        self._file = stack.enter_context(parquet.ParquetWriter(path, self._schema))
        self._waiting: list[Row] = []
        stack.callback(self._flush)

    def write(self, rows: Iterable[Row]) -> int:
        count = 0
        for row in rows:
            self._waiting.append(row)
            count += 1
            if len(self._waiting) >= ROWS_A_GROUP:
                self._flush()
        return count

    def _flush(self) -> None:
        if self._waiting:
            parts = [
                self._array(values, type=each.type)
                for values, each in zip(zip(*self._waiting, strict=True), self._schema, strict=True)
            ]
            self._file.write_table(self._table.from_arrays(parts, schema=self._schema))
            self._waiting.clear()


def _csv(path: Path, columns: Sequence[Column], stack: ExitStack) -> File:
    return _Csv(stack.enter_context(path.open("w", encoding="utf-8", newline="")), columns)


def _csv_gz(path: Path, columns: Sequence[Column], stack: ExitStack) -> File:
    packed = stack.enter_context(gzip.GzipFile(path, "wb", compresslevel=5))
    text = stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
    return _Csv(text, columns)


def _moment(ms: int) -> str:
    """ISO 8601; the number itself where it is beyond Python's calendar."""
    try:
        moment = EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def _digits(value: Decimal) -> str:
    return f"{value:f}"


def _flag(value: Any) -> str:
    return "true" if value else "false"


_WORDS: dict[str, Callable[[Any], str]] = {
    "timestamp": _moment,
    "decimal": _digits,
    "boolean": _flag,
}
_OPEN: dict[str, Callable[[Path, Sequence[Column], ExitStack], File]] = {
    ".csv.gz": _csv_gz,
    ".csv": _csv,
    ".parquet": _Parquet,
}
