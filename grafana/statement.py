"""What a parsed SELECT consists of. Pure data; `grafana.cql` makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal as OneOf


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: its kind and its text as written, quotes left out."""

    kind: OneOf["text", "integer", "float", "duration", "boolean"]
    text: str


@dataclass(frozen=True, slots=True)
class Macro:
    """What the plugin replaces: `$__timeTo` without its dollar and underscores."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """What Grafana replaces: `${name:format}`."""

    name: str
    format: str


@dataclass(frozen=True, slots=True)
class Cast:
    """`CAST(value AS type)`, or the hint `(type)value`."""

    type: str
    value: Expression
    hint: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments; `count(*)` has none."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two values and one of + − * / %."""

    operator: str
    left: Expression
    right: Expression


Expression = Column | Literal | Macro | Variable | Cast | Call | Arithmetic


@dataclass(frozen=True, slots=True)
class Selected:
    """One result column; `name` is its alias, else the column's own name, else empty."""

    value: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Relation:
    """One condition of WHERE; IN has several values, all others one."""

    column: str
    operator: str
    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """A whole statement."""

    columns: tuple[Selected, ...]
    table: str
    where: tuple[Relation, ...]
    group_by: tuple[Expression, ...]
    order_by: tuple[tuple[str, bool], ...]  # (column, descending)
    per_partition_limit: int | None
    limit: int | None
    allow_filtering: bool


def walk(value: Expression) -> Iterator[Expression]:
    """The expression and everything inside it."""
    yield value
    match value:
        case Cast(value=inner):
            yield from walk(inner)
        case Call(arguments=arguments):
            for each in arguments:
                yield from walk(each)
        case Arithmetic(left=left, right=right):
            yield from walk(left)
            yield from walk(right)
