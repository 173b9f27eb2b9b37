"""The bytes in which Cassandra answers a row, and the SQL by which PostgreSQL makes the same.

Each value is its length (int32, −1 for NULL) and its bytes: so no two different rows have the same
bytes, and rows can be compared by digests of them without being decoded. PostgreSQL 18 makes the
bytes of all but the sink's own columns; a value that the sink refuses (NaN, a time beyond 64 bits
of µs) gets a length that Cassandra never sends. Equal bytes are equal rows. The reverse need not
hold: 1.00 that somebody else wrote is another spelling of the sink's 1; then rows are looked at.
Source: native_protocol_v5.spec, sections 3 and 6; cdc.sink.packing writes the same.
"""

# ruff: noqa: S608 - every name in a statement is a constant of cdc.routes

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from struct import Struct

from cdc.mapping import Column, Field, Kind, Route, Via
from cdc.times import MS_PER_HOUR
from contracts.naming import SCHEMA

SIZES = {Kind.TIMESTAMP: 8, Kind.BIGINT: 8, Kind.INT: 4, Kind.BOOLEAN: 1}  # bytes of a value

_NULL, _REFUSED = r"'\xffffffff'::bytea", r"'\xfffffffd'::bytea"
_US_OF_2000 = 946_684_800_000_000  # where PostgreSQL counts from
_US_END = "'294247-01-10 04:00:54.775808+00'"  # the first time beyond 64 bits of µs since 1970
_DIGITS = 18  # characters of a number that surely fits 64 bits
_2_63, _2_64 = 2**63, 2**64


@dataclass(frozen=True)
class Wire:
    """The compared columns of a bucketed route as both stores give them: its hour's time first.

    Columns of a fixed size stand before texts and decimals, so that they are passed in one step.
    """

    route: Route

    @cached_property
    def axis(self) -> Column:
        """The key's time, which buckets and hours come from; a whole number of ms."""
        bucket = next(each for each in self.route.columns if each.via is Via.BUCKET)
        return next(
            each
            for each in self.route.copied
            if each.source == bucket.source and each.via is Via.VALUE
        )

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        compared = [each for each in self.route.copied if each.via is not Via.BUCKET]
        fixed = [each for each in compared if self._kind(each) in SIZES and each != self.axis]
        rest = [each for each in compared if self._kind(each) not in SIZES]
        return (self.axis, *fixed, *rest)

    @cached_property
    def fixed(self) -> int:
        """How many columns have a fixed size, the time among them."""
        return sum(self._kind(each) in SIZES for each in self.columns)

    @cached_property
    def head(self) -> Struct:
        """The first columns of a row without NULLs: the time, then the length of each other one."""
        sizes = [SIZES[self._kind(each)] for each in self.columns[1 : self.fixed]]
        return Struct(">4xq" + "".join(f"i{size}x" for size in sizes))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that `head` finds where no value is NULL."""
        return tuple(SIZES[self._kind(each)] for each in self.columns[1 : self.fixed])

    @cached_property
    def names(self) -> str:
        """CQL's selection."""
        return ", ".join(each.name for each in self.columns)

    @cached_property
    def series(self) -> tuple[str, ...]:
        """The partition's columns without its bucket."""
        columns = {each.name: each for each in self.route.columns}
        picked = (columns[name] for name in self.route.partition)
        return tuple(str(each.source) for each in picked if each.via is not Via.BUCKET)

    @cached_property
    def digests(self) -> str:
        """SQL of cells: (series …, hour since the epoch, rows, sum of digests as text), sorted.

        A digest is the first 64 bits of the md5 of a row's bytes, signed. Bind [start, end) of the
        route's time. One line a cell leaves PostgreSQL.
        """
        groups = ", ".join(f'"{name}"' for name in self.series)
        row = " || ".join(self._frame(index) for index in range(len(self.columns)))
        digest = f"substr(decode(md5({row}), 'hex'), 1, 8)::bigint"
        hour = _floored("v0", MS_PER_HOUR * 1000)
        return (
            f"SELECT {groups}, {hour} AS hour, count(*), sum({digest})::text "
            f"FROM ({self._values}) r GROUP BY {groups}, hour ORDER BY {groups}, hour"
        )

    @cached_property
    def frames(self) -> str:
        """SQL of each row's bytes between two times: what `digests` hashes; for tests."""
        row = " || ".join(self._frame(index) for index in range(len(self.columns)))
        return f"SELECT {row} FROM ({self._values}) r"

    @cached_property
    def _values(self) -> str:
        """Rows with each column's pieces computed once: OFFSET 0 keeps the steps apart."""
        time = f't."{self.axis.source}"'
        above = self.route.condition
        condition = "" if above is None else f' AND t."{above.field}" > {above.limit}'
        rows = (
            f'FROM {SCHEMA}."{self.route.source.table}" t WHERE {time} >= %s AND {time} < %s '
            f"AND {time} > '-infinity' AND {time} < {_US_END}{condition}"
        )
        decimals = [i for i, each in enumerate(self.columns) if self._kind(each) is Kind.DECIMAL]
        first = ", ".join(self._piece(i) for i in range(len(self.columns)))
        steps = [f"SELECT t.*, {first} {rows} OFFSET 0"]
        for step in (_digits, _number, _width):
            if decimals:
                pieces = ", ".join(piece for i in decimals for piece in step(i))
                steps.append(f"SELECT *, {pieces} FROM ({steps[-1]}) s OFFSET 0")
        return steps[-1]

    def _piece(self, index: int) -> str:
        """What a column's frame is made of: µs since the epoch, an exact number, or the value."""
        column = self.columns[index]
        value = f't."{column.source}"'
        kind = self._field(column).kind
        if kind is Kind.TIMESTAMP:
            return (
                f"CASE WHEN {value} > '-infinity' AND {value} < {_US_END} "
                f"THEN timestamptz_send({value})::bigint + {_US_OF_2000} END AS v{index}"
            )
        if kind is Kind.DECIMAL:
            return f"trim_scale({value}) AS v{index}"
        return f"{value}{'::text' if kind is Kind.JSONB else ''} AS v{index}"

    def _frame(self, index: int) -> str:
        """SQL of a column's length and bytes."""
        column, field, value = self.columns[index], self._field(self.columns[index]), f"v{index}"
        if field.kind is Kind.DECIMAL:
            return _decimal_frame(index)
        if field.kind in (Kind.TEXT, Kind.JSONB):
            frame = f"int4send(octet_length({value})) || convert_to({value}, 'UTF8')"
            return f"coalesce({frame}, {_NULL})"
        if field.kind is Kind.TIMESTAMP:
            units = value if column.via is Via.MICROS else _milliseconds(value, field)
            refused = f'CASE WHEN "{field.name}" IS NULL THEN {_NULL} ELSE {_REFUSED} END'
            return f"coalesce({_sized(8)} || int8send({units}), {refused})"
        send = {Kind.BIGINT: "int8send", Kind.INT: "int4send", Kind.BOOLEAN: "boolsend"}[field.kind]
        return f"coalesce({_sized(SIZES[field.kind])} || {send}({value}), {_NULL})"

    def _field(self, column: Column) -> Field:
        return self.route.source.field_of(str(column.source))

    def _kind(self, column: Column) -> Kind:
        return self._field(column).kind


def _sized(length: int) -> str:
    return rf"'\x{length:08x}'::bytea"


def _floored(value: str, units: int) -> str:
    """SQL of ⌊value ÷ units⌋: PostgreSQL's own division goes towards zero."""
    return f"(({value} - mod(mod({value}, {units}) + {units}, {units})) / {units})"


def _milliseconds(value: str, field: Field) -> str:
    return f"({value} / 1000)" if field.whole_ms else _floored(value, 1000)


# A decimal: scale (int32) and the unscaled number in as few bytes of two's complement as hold it.
# In four steps: v the number without zeros at its end; s its scale (NULL of NaN) and u or n the
# unscaled number, as 64 bits where that is quickly known; u its upper half where 64 are too few;
# w the bytes of u, and low its lower half.


def _digits(i: int) -> Iterator[str]:
    unscaled = f"replace(v{i}::text, '.', '')"
    short = f"length(v{i}::text) <= {_DIGITS}"
    yield f"scale(v{i}) AS s{i}"
    yield f"CASE WHEN scale(v{i}) IS NOT NULL AND {short} THEN {unscaled}::bigint END AS q{i}"
    yield f"CASE WHEN scale(v{i}) IS NOT NULL AND NOT {short} THEN {unscaled}::numeric END AS n{i}"


def _number(i: int) -> Iterator[str]:
    upper = f"div(n{i} - CASE WHEN n{i} < 0 THEN {_2_64 - 1} ELSE 0 END, {_2_64})"  # floored
    yield (
        f"CASE WHEN n{i} IS NULL THEN q{i} WHEN {_fits(f'n{i}', 8)} THEN n{i}::bigint "
        f"WHEN {_fits(f'n{i}', 16)} THEN {upper}::bigint END AS u{i}"
    )


def _width(i: int) -> Iterator[str]:
    widths = " ".join(f"WHEN {_fits(f'u{i}', size)} THEN {size}" for size in range(1, 8))
    yield f"CASE {widths} ELSE 8 END AS w{i}"
    low = f"(n{i} - u{i}::numeric * {_2_64})"
    signed = f"({low} - CASE WHEN {low} >= {_2_63} THEN {_2_64} ELSE 0 END)::bigint"
    yield (
        f"CASE WHEN n{i} IS NULL OR {_fits(f'n{i}', 8)} THEN ''::bytea "
        f"ELSE int8send({signed}) END AS low{i}"
    )


def _decimal_frame(i: int) -> str:
    return (
        f"CASE WHEN v{i} IS NULL THEN {_NULL} WHEN u{i} IS NULL THEN {_REFUSED} ELSE "
        f"int4send(4 + w{i} + octet_length(low{i})) || int4send(s{i}) || "
        f"substr(int8send(u{i}), 9 - w{i}) || low{i} END"
    )


def _fits(value: str, size: int) -> str:
    """SQL: whether a number has a place in `size` bytes."""
    half = 1 << (8 * size - 1)
    return f"{value} BETWEEN {-half} AND {half - 1}"


def bucketed(routes: Iterable[Route]) -> list[Route]:
    """The routes that have hours."""
    return [each for each in routes if any(c.via is Via.BUCKET for c in each.columns)]
