"""Rows of one route to the bytes that Cassandra stores. Pure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from cdc.errors import Poison, Undecodable, Unrepresentable
from cdc.mapping import Above, Bucket, Column, Kind, Route, Via
from cdc.sink import packing
from cdc.sink.packing import Packer
from cdc.sink.unrolled import UNUSUAL, unrolled

_FLOAT_ERROR = Decimal("1e-9")  # far more than a float's 1.1e-16

Row = Any  # a Struct of cdc.sink.decoder


class Packed(NamedTuple):
    """A target row as framed values: its partition, its clustering columns, the others.

    `partial`: some of the others are UNSET.
    """

    partition: bytes
    clustering: bytes
    rest: bytes
    partial: bool = False


class RouteEncoder:
    """Packs the rows of one route. `placeholder` stands for an unchanged TOAST value.

    Methods raise Poison where a value cannot be written; nothing is half done then.
    """

    def __init__(self, route: Route, placeholder: str) -> None:
        self.route = route
        self._placeholder = placeholder
        self._partition_ends, self._key_ends = len(route.partition), len(route.key)
        self._row = _Values(route, route.copied)
        self._key = _Values(route, route.copied[: self._key_ends])
        self._event_time = attrgetter(route.order_by) if route.order_by is not None else None
        self._event_us = packing.time_reader()
        self._usual = unrolled(route, placeholder)
        self.applies = _condition(route.condition)
        """Whether the route's condition holds for a row; None where it has none."""

    def statement(self, row: Row, head: bytes, tail: bytes) -> tuple[bytes, bytes, bytes, bool]:
        """Return partition, clustering columns, head + all values + tail, whether it is partial.

        What the event does not tell stays UNSET: what is unchanged in PostgreSQL (TOAST), and
        columns that the event is older than.
        """
        if not row.lacks:
            try:
                return *self._usual(row, head, tail), False
            except UNUSUAL:
                pass  # which column, and what of it, is told below
        partition, clustering, rest, partial = self.pack(row)
        return partition, clustering, b"".join((head, partition, clustering, rest, tail)), partial

    def pack(self, row: Row) -> Packed:
        """All columns of a row, one by one; those that the event does not tell are UNSET."""
        columns = self._row.columns
        untold = (self._placeholder, msgspec.UNSET)
        unchanged = {each.name for each in columns if getattr(row, str(each.source)) in untold}
        for column in self._key.columns:
            if column.name in unchanged:
                message = f"{self.route.table}: the event lacks {column.name} (TOAST)"
                raise Undecodable(message, f"$.after.{column.source}")
        known = msgspec.structs.replace(
            row, **{str(each.source): None for each in columns if each.name in unchanged}
        )
        packed = self._packed(self._row, known)
        values = [
            packing.UNSET if column.name in unchanged else value
            for column, value in zip(columns, packed, strict=True)
        ]
        return self._parts(values, partial=bool(unchanged))

    def pack_key(self, row: Row, side: str = "after") -> Packed:
        """The key of a row, or of the key that a delete carries (`before`); `rest` is empty."""
        return self._parts(self._packed(self._key, row, side), partial=False)

    def _packed(self, values: _Values, row: Row, side: str = "after") -> list[bytes]:
        try:
            return values(row)
        except Poison as error:
            path = f"$.{side}.{values.culprit(row)}"
            raise type(error)(f"{self.route.table}: {error}", path) from error

    def _parts(self, values: list[bytes], *, partial: bool) -> Packed:
        partition, key = self._partition_ends, self._key_ends
        return Packed(
            b"".join(values[:partition]),
            b"".join(values[partition:key]),
            b"".join(values[key:]),
            partial,
        )

    def event_us(self, row: Row) -> int:
        """The event time of a row whose route is ordered by it, µs."""
        if self._event_time is None:
            raise ValueError(f"{self.route.table} is ordered by position, not by an event's time")
        try:
            return self._event_us(self._event_time(row))
        except Poison as error:
            path = f"$.after.{self.route.order_by}"
            raise type(error)(f"{self.route.table}: {error}", path) from error


class _Values:
    """Packs some columns of a row, two or more."""

    def __init__(self, route: Route, columns: tuple[Column, ...]) -> None:
        self.columns = columns
        self._packers = [_packer(route, column) for column in columns]
        self._read = attrgetter(*(str(column.source) for column in columns))
        self._interval_at = next(
            (at for at, column in enumerate(columns) if column.bucket is Bucket.BY_INTERVAL), None
        )

    def __call__(self, row: Row) -> list[bytes]:
        values = self._read(row)
        if self._interval_at is not None:
            values = _with_interval(values, self._interval_at, row.interval)
        return [pack(value) for pack, value in zip(self._packers, values, strict=True)]

    def culprit(self, row: Row) -> str:
        """The source column whose value cannot be packed, where some value cannot."""
        for column, pack in zip(self.columns, self._packers, strict=True):
            value = getattr(row, str(column.source))
            try:
                pack((value, row.interval) if column.bucket is Bucket.BY_INTERVAL else value)
            except Poison:
                return str(column.source)
        return ""


def _with_interval(values: tuple[Any, ...], at: int, interval: str) -> tuple[Any, ...]:
    return (*values[:at], (values[at], interval), *values[at + 1 :])


_PACKERS: dict[Kind, Callable[[], Packer]] = {
    Kind.TEXT: lambda: packing.pack_text,
    Kind.JSONB: lambda: packing.pack_text,
    Kind.DECIMAL: lambda: packing.pack_decimal,
    Kind.TIMESTAMP: lambda: packing.TimePacker(per_unit=1000),
    Kind.BOOLEAN: lambda: packing.pack_boolean,
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
    """A test of rows. Only near the limit, where a float may be wrong, a Decimal decides."""
    if above is None:
        return None
    read, path = attrgetter(above.field), f"$.after.{above.field}"
    clearly_below = float(above.limit - abs(above.limit) * _FLOAT_ERROR)

    def holds(row: Row) -> bool:
        text = read(row)
        if text is None:
            return False
        try:
            if float(text) < clearly_below:
                return False
            value = Decimal(text)
        except (ValueError, InvalidOperation) as error:
            raise Unrepresentable(f"{above.field} is not a number", path) from error
        if not value.is_finite():
            raise Unrepresentable(f"{above.field} is not a finite number", path)
        return value > above.limit

    return holds
