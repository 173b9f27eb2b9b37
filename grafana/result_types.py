"""The CQL type of what a query selects, as far as panels need it. Pure."""

from __future__ import annotations

from grafana.schema import Table
from grafana.statement import (
    Arithmetic,
    Call,
    Cast,
    Column,
    Expression,
    Literal,
    Macro,
    Variable,
    walk,
)

_LITERALS = {"integer": "int", "float": "double", "duration": "duration", "boolean": "boolean"}
_WIDER = ("tinyint", "smallint", "int", "bigint", "varint", "float", "double", "decimal")
_OF_ARGUMENT = frozenset({"min", "max", "sum", "avg", "abs", "round", "floor"})
_FIXED = {"count": "bigint", "tounixtimestamp": "bigint", "currenttimestamp": "timestamp"}
AGGREGATES = frozenset({"min", "max", "sum", "avg", "count"})

NUMERIC = frozenset(_WIDER)
SHOWN = frozenset(["boolean", "text", "int", "bigint", "double", "float", "timestamp"])
"""Types that the plugin passes on as they are. `decimal` fails the whole query, and so do
collections; what else it takes no table of ours has."""


def type_of(value: Expression, table: Table) -> str | None:  # noqa: PLR0911 - one a kind
    """The type, or None where it cannot be told: a literal without a hint, an unknown function."""
    match value:
        case Column(name):
            return table.columns.get(name)
        case Cast(kind):
            return kind
        case Literal(kind):
            return _LITERALS.get(kind)
        case Call(name, arguments):
            if name in _FIXED:
                return _FIXED[name]
            return type_of(arguments[0], table) if name in _OF_ARGUMENT and arguments else None
        case Arithmetic(_, left, right):
            return _of_both(type_of(left, table), type_of(right, table))
        case Macro() | Variable():
            return None


def _of_both(left: str | None, right: str | None) -> str | None:
    if left == "timestamp" and right == "duration":
        return "timestamp"
    if left in NUMERIC and right in NUMERIC:
        return max(left, right, key=_WIDER.index)
    return None


def columns_of(value: Expression) -> set[str]:
    """The columns that a value is made of."""
    return {each.name for each in walk(value) if isinstance(each, Column)}


def bare_columns_of(value: Expression) -> set[str]:
    """Of these, those outside of any aggregate: aggregates leave nulls out, nothing else does."""
    if isinstance(value, Call) and value.name in AGGREGATES:
        return set()
    match value:
        case Column(name):
            return {name}
        case Cast(value=inner):
            return bare_columns_of(inner)
        case Call(arguments=arguments):
            return set().union(*(bare_columns_of(each) for each in arguments))
        case Arithmetic(left=left, right=right):
            return bare_columns_of(left) | bare_columns_of(right)
        case _:
            return set()
