"""Rows of one route to the bytes that Cassandra stores. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, NamedTuple

from cdc import packing
from cdc.errors import Poison, Unrepresentable
from cdc.mapping import Above, Bucket, Column, Kind, Route, Via
from cdc.packing import Memo, Packer
from cdc.times import micros

Row = Any  # a Struct of cdc.decoder


class Key(NamedTuple):
    """A target row's primary key as framed values."""

    partition: bytes
    clustering: bytes


class RouteEncoder:
    """Packs the rows of one route. `placeholder` stands for an unchanged TOAST value.

    Methods raise Poison where a value cannot be written; nothing is half done then.
    """

    def __init__(self, route: Route, placeholder: str) -> None:
        self.route = route
        self._placeholder = placeholder
        sizes = len(route.partition), len(route.key)
        copied = route.copied
        self._partition = _Values(route, copied[: sizes[0]])
        self._clustering = _Values(route, copied[sizes[0] : sizes[1]])
        self._rest = _Values(route, copied[sizes[1] :])
        self._event_time = attrgetter(route.order_by) if route.order_by is not None else None
        self._applies = _condition(route.condition)

    def applies(self, row: Row) -> bool:
        """Whether the route's condition holds for the row."""
        return self._applies is None or self._applies(row)

    def key(self, row: Row) -> Key:
        """The target key of a row, or of the key that a delete carries."""
        try:
            return Key(b"".join(self._partition(row)), b"".join(self._clustering(row)))
        except Poison as error:
            raise type(error)(f"{self.route.table} key: {error}") from error

    def rest(self, row: Row) -> bytes:
        """The values of the other columns, in order."""
        try:
            return b"".join(self._rest(row))
        except Poison as error:
            raise type(error)(f"{self.route.table}: {error}") from error

    def rest_with_gaps(self, row: Row) -> tuple[bytes, bool]:
        """As `rest`, with what is unchanged in PostgreSQL left UNSET; whether anything was."""
        packed = self._rest.with_gaps(row, self._placeholder)
        return b"".join(packed), packing.UNSET in packed

    def event_us(self, row: Row) -> int:
        """The event time of a row whose route is ordered by it, µs."""
        if self._event_time is None:
            raise ValueError(f"{self.route.table} is ordered by position, not by an event's time")
        return micros(self._event_time(row))


class _Values:
    """Packs some columns of a row."""

    def __init__(self, route: Route, columns: tuple[Column, ...]) -> None:
        self._packers = [_packer(route, column) for column in columns]
        names = [str(column.source) for column in columns]
        read = attrgetter(*names) if names else (lambda _row: ())
        self._read: Callable[[Row], tuple[Any, ...]] = (
            read if len(names) != 1 else (lambda row: (read(row),))
        )
        self._interval_at = next(
            (at for at, column in enumerate(columns) if column.bucket is Bucket.BY_INTERVAL), None
        )

    def __call__(self, row: Row) -> list[bytes]:
        values = self._read(row)
        if self._interval_at is not None:
            values = _with_interval(values, self._interval_at, row.interval)
        return [pack(value) for pack, value in zip(self._packers, values, strict=True)]

    def with_gaps(self, row: Row, placeholder: str) -> list[bytes]:
        return [
            packing.UNSET if value == placeholder else pack(value)
            for pack, value in zip(self._packers, self._read(row), strict=True)
        ]


def _with_interval(values: tuple[Any, ...], at: int, interval: str) -> tuple[Any, ...]:
    return (*values[:at], (values[at], interval), *values[at + 1 :])


# A memo a column: a symbol is no exchange's status. What hardly repeats is not remembered.
_PACKERS: dict[Kind, Callable[[], Packer]] = {
    Kind.TEXT: lambda: Memo(packing.pack_text, entries=20_000).__getitem__,
    Kind.DECIMAL: lambda: Memo(packing.pack_decimal).__getitem__,
    Kind.TIMESTAMP: lambda: packing.TimePacker(per_unit=1000),
    Kind.BOOLEAN: lambda: packing.pack_boolean,
    Kind.JSONB: lambda: packing.pack_text,
    Kind.BIGINT: lambda: packing.pack_bigint,
    Kind.INT: lambda: packing.pack_int,
}


def _packer(route: Route, column: Column) -> Packer:
    """How a column's JSON value becomes a framed value."""
    if column.via is Via.MICROS:
        return packing.TimePacker(per_unit=1)
    if column.via is Via.VALUE:
        return _PACKERS[route.source.field_of(str(column.source)).kind]()
    if column.bucket is Bucket.BY_INTERVAL:
        pack_interval = packing.IntervalBucketPacker()
        return lambda pair: pack_interval(*pair)
    return packing.BucketPacker(_present(column.bucket))


def _present(bucket: Bucket | None) -> Bucket:
    if bucket is None:
        raise ValueError("a bucket column needs a bucket")
    return bucket


def _condition(above: Above | None) -> Callable[[Row], bool] | None:
    """A test of rows, with its answers remembered: the same amounts come again."""
    if above is None:
        return None
    read = attrgetter(above.field)

    def holds(text: str | None) -> bool:
        if text is None:
            return False
        try:
            value = Decimal(text)
        except InvalidOperation as error:
            raise Unrepresentable(f"{above.field} is not a number") from error
        if not value.is_finite():
            raise Unrepresentable(f"{above.field} is not a finite number")
        return value > above.limit

    memo = Memo(holds)
    return lambda row: memo[read(row)]
