"""What a query gives back: types that the plugin shows, the series column, missing values. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from grafana.result_types import NUMERIC, SHOWN, bare_columns_of, type_of
from grafana.schema import NULLABLE
from grafana.statement import Cast, Column, Expression
from grafana.window import Asked


def types_are_shown(asked: Asked) -> Iterator[str]:
    """One `decimal` fails the whole query; a text without a type is refused by Cassandra."""
    for selected in asked.select.columns:
        kind = type_of(selected.value, asked.table)
        if kind is None:
            yield f"give {selected.name or 'each column'} a type: (text)'…', CAST(… AS double)"
        elif kind not in SHOWN:
            yield f"the plugin cannot show {selected.name}, a {kind}: CAST({selected.name} AS …)"


def columns_have_names(asked: Asked) -> Iterator[str]:
    """Overrides and transformations name columns; Cassandra's own names of expressions change."""
    names = [selected.name for selected in asked.select.columns]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two columns are called {name!r}"
    if "" in names:
        yield "name each expression: … AS name"


def first_column_is_the_series(asked: Asked) -> Iterator[str]:
    """The plugin makes a frame of each value of the first column, in random order.

    So a table, whose rows have an order, begins with a constant; a variable takes what it wants.
    """
    query, first = asked.query, asked.select.columns[0]
    if first.name != query.series:
        yield f"the first column makes the series: {query.series!r}, not {first.name!r}"
    if type_of(first.value, asked.table) != "text":
        yield "the first column names a series: it must be a text"
    if query.role == "variable":
        return
    constant = _is_constant(first.value, asked)
    in_key = isinstance(first.value, Column) and first.value.name in asked.table.partition
    if query.shape == "table" and not constant:
        yield "a table is one frame: begin with a part of the key that is bound by =, or (text)'…'"
    elif query.shape == "series" and not (constant or in_key or first.name == "symbol"):
        yield f"{first.name} would make a frame of each of its many values"


def _is_constant(value: Expression, asked: Asked) -> bool:
    match value:
        case Cast("text", hint=True):
            return True
        case Column(name):
            return any(
                each.column == name and each.operator == "=" and name in asked.table.partition
                for each in asked.select.where
            )
    return False


def series_have_time_and_number(asked: Asked) -> Iterator[str]:
    """A chart and an alert need both, and in order of time."""
    if asked.query.role == "variable" or asked.query.shape == "table":
        return
    kinds = [type_of(selected.value, asked.table) for selected in asked.select.columns]
    if "timestamp" not in kinds:
        yield "a series needs a time: select a timestamp"
    shown = NUMERIC if asked.query.role == "alert" else NUMERIC | {"text"}
    if asked.query.role != "annotation" and not shown & {kind for kind in kinds[1:] if kind}:
        yield "a series needs a value beside its name and time: CAST(… AS double)"
    if asked.query.role == "alert" and asked.table.newest_first and not asked.select.order_by:
        yield "an alert's `last` of newest-first rows is the oldest: ORDER BY … ASC"


def missing_values_are_told(asked: Asked) -> Iterator[str]:
    """The plugin shows a missing value as 0, as '' or as the year 1."""
    nullable = NULLABLE.get(asked.table.name, frozenset()) - asked.query.nulls
    for selected in asked.select.columns:
        for name in sorted(bare_columns_of(selected.value) & nullable):
            yield f"{name} may be missing and would show as 0: take it inside max() or avg()"


def groups_are_whole(asked: Asked) -> Iterator[str]:
    """Of a column outside of aggregates Cassandra takes the group's first value without a word."""
    grouped = asked.select.group_by
    keys = {each.name for each in grouped if isinstance(each, Column)}
    for selected in asked.select.columns if grouped else ():
        loose = bare_columns_of(selected.value) - keys
        if loose and selected.value not in grouped:
            yield f"{selected.name} is that of a group's first row: take max() or avg()"


RESULT_RULES = (
    groups_are_whole,
    types_are_shown,
    columns_have_names,
    first_column_is_the_series,
    series_have_time_and_number,
    missing_values_are_told,
)
