"""A route's packer, unrolled: one Python function, written for the columns of its table.

Column by column, a row costs a loop, a call through an object for each value, and a time is read
once for its bucket, once for its ms and once for its µs. The function made here has one expression
for each column instead:

- the partition's bytes are looked up whole, by the values and the part of the time that name it;
- each time is read once; clustering columns of fixed width are packed by one struct;
- a head, the values and a tail become one statement in one join.

Of `prices_by_day` it is, for example,

    def pack(row, head, tail):
        us_observed_at = read_observed_at(row.observed_at)
        us_ingested_at = read_ingested_at(row.ingested_at) if row.ingested_at is not None else None
        partition = partitions[row.venue, row.symbol, row.observed_at[:10],]
        clustering = fixed(8, us_observed_at // 1000)
        return partition, clustering, join((head, partition, clustering,
            (amount_price := decimal(row.price)),
            bigint(8, us_ingested_at) if row.ingested_at is not None else NULL, tail))

It knows what is usual. Else it raises one of UNUSUAL, and `cdc.sink.encoder` packs the row column
by column, or says what is wrong with it. It never gives other bytes than that would
(tests/unit/test_cdc_unrolled.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, cast

from cdc.errors import Poison
from cdc.mapping import Bucket, Column, Kind, Route, Via
from cdc.sink.packing import (
    FALSE,
    NULL,
    PREFIX,
    TRUE,
    BucketPacker,
    IntervalBucketPacker,
    Memo,
    pack_decimal,
    pack_text,
    time_reader,
)

# (row, head, tail) → (partition, clustering, head + all values + tail)
Pack = Callable[[Any, bytes, bytes], tuple[bytes, bytes, bytes]]

UNUSUAL: Final = (Poison, ValueError, TypeError, struct.error)

_NAMES = 20_000  # remembered, of each text column and of partitions
_FIXED: Final = {Kind.BIGINT: "iq", Kind.INT: "ii", Kind.TIMESTAMP: "iq"}  # length, value
_SIZE: Final = {Kind.BIGINT: 8, Kind.INT: 4, Kind.TIMESTAMP: 8}
_EPOCH: Final = "1970-01-01T00:00:00.000000Z"
_FUNCTION: Final = """
def pack(row, head, tail):
    {readings}
    partition = partitions[{names},]
    clustering = {clustering}
    return partition, clustering, join(({values}))
"""


def unrolled(route: Route, placeholder: str) -> Pack:
    """The packer of a route's rows; where `placeholder` stands for a text, the row is unusual."""
    return _Function(route, placeholder).made()


class _Function:
    """The text of the function, and the names that it knows."""

    def __init__(self, route: Route, placeholder: str) -> None:
        self._route = route
        self._placeholder = placeholder
        self._times: list[str] = []  # source columns of the times that are read
        self._last_amount: str | None = None
        self._bucketed = {each.source for each in route.columns if each.bucket is not None}
        self._known: dict[str, Any] = {
            "NULL": NULL,
            "booleans": {True: TRUE, False: FALSE, None: NULL},
            "bigint": struct.Struct(">iq").pack,
            "integer": struct.Struct(">ii").pack,
            "decimal": pack_decimal,
            "text": self._text,
            "join": b"".join,
        }

    def made(self) -> Pack:
        partition, key = len(self._route.partition), len(self._route.key)
        columns = self._route.copied
        text = _FUNCTION.format(
            names=self._partition(columns[:partition]),
            clustering=self._clustering(columns[partition:key]),
            values=", ".join(
                ("head", "partition", "clustering", *map(self._value, columns[key:]), "tail")
            ),
            readings="\n    ".join(map(self._reading, self._times)),
        )
        code = compile(text, f"<packer of {self._route.table}>", "exec")
        exec(code, self._known)  # noqa: S102 - all that stands in it are names of cdc.routes
        return cast("Pack", self._known["pack"])

    def _text(self, value: str | None) -> bytes:
        if value == self._placeholder:
            raise ValueError("an unchanged value")
        return pack_text(value)

    def _kind(self, column: Column) -> Kind:
        return self._route.source.field_of(str(column.source)).kind

    def _nullable(self, column: Column) -> bool:
        return column.source not in self._route.source.key

    def _reading(self, source: str) -> str:
        self._known[f"read_{source}"] = time_reader(usual=source in self._bucketed)
        reading = f"us_{source} = read_{source}(row.{source})"
        if source in self._route.source.key:
            return reading
        return f"{reading} if row.{source} is not None else None"

    def _us(self, source: str) -> str:
        if source not in self._times:
            self._times.append(source)
        return f"us_{source}"

    def _partition(self, columns: tuple[Column, ...]) -> str:
        """What names a partition. A time is represented by what its bucket needs of it."""
        self._known["partitions"] = Memo(_packer_of_partitions(columns, self._text), _NAMES)
        names = []
        for column in columns:
            source = str(column.source)
            if column.bucket is None:
                names.append(f"row.{source}")
                continue
            self._us(source)  # refuses what is in no usual form
            names.append(f"row.{source}[:{_prefix(column.bucket)}]")
        return ", ".join(names)

    def _clustering(self, columns: tuple[Column, ...]) -> str:
        kinds = [self._kind(each) for each in columns]
        if not all(kind in _FIXED for kind in kinds):
            return f"join(({', '.join(map(self._value, columns))},))"
        self._known["fixed"] = struct.Struct(">" + "".join(_FIXED[each] for each in kinds)).pack
        values = (f"{_SIZE[self._kind(each)]}, {self._number(each)}" for each in columns)
        return f"fixed({', '.join(values)})"

    def _number(self, column: Column) -> str:
        source = str(column.source)
        if self._kind(column) is not Kind.TIMESTAMP:
            return f"row.{source}"
        return self._us(source) if column.via is Via.MICROS else f"{self._us(source)} // 1000"

    def _amount(self, source: str) -> str:
        """A decimal; the same as the one before it where it reads the same.

        As do a trade's worth in its quote and in USD, and most prices of a quiet candle.
        """
        last, self._last_amount = self._last_amount, source
        packed = f"amount_{source} := decimal(row.{source})"
        if last is None:
            return f"({packed})"
        same = f"amount_{source} := amount_{last}"
        return f"({same}) if row.{source} == row.{last} else ({packed})"

    def _value(self, column: Column) -> str:
        """The expression of a framed value."""
        source, kind = str(column.source), self._kind(column)
        if kind is Kind.TEXT:
            self._known[f"texts_{source}"] = Memo(self._text, _NAMES)
            return f"texts_{source}[row.{source}]"
        if kind is Kind.JSONB:
            return f"text(row.{source})"
        if kind is Kind.DECIMAL:
            return self._amount(source)
        if kind is Kind.BOOLEAN:
            return f"booleans[row.{source}]"
        number = self._number(column)
        framed = f"{'integer' if kind is Kind.INT else 'bigint'}({_SIZE[kind]}, {number})"
        return (
            f"{framed} if row.{source} is not None else NULL" if self._nullable(column) else framed
        )


def _prefix(bucket: Bucket) -> int:
    """How many characters of a time tell its bucket; of a candle's, in the finest of them."""
    finest = Bucket.DAY if bucket is Bucket.BY_INTERVAL else bucket
    return int(PREFIX[finest].stop)


def _packer_of_partitions(
    columns: tuple[Column, ...], text: Callable[[str | None], bytes]
) -> Callable[[tuple[str, ...]], bytes]:
    """Pack what names a partition, as `_Function._partition` gives it."""
    interval_at = next((at for at, each in enumerate(columns) if each.source == "interval"), -1)
    by_interval = IntervalBucketPacker()

    def packer(column: Column) -> Callable[[str, tuple[str, ...]], bytes]:
        if column.bucket is None:
            return lambda name, _: text(name)
        if column.bucket is Bucket.BY_INTERVAL:
            return lambda prefix, names: by_interval(_completed(prefix), names[interval_at])
        pack = BucketPacker(column.bucket)
        return lambda prefix, _: pack(_completed(prefix))

    packers = [packer(each) for each in columns]
    return lambda names: b"".join(
        [pack(name, names) for pack, name in zip(packers, names, strict=True)]
    )


def _completed(prefix: str) -> str:
    """The first time that begins so."""
    return prefix + _EPOCH[len(prefix) :]
