"""Mistakes that a query can be written with, made on purpose; and a statement as text again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grafana.query import Query
from grafana.schema import Table
from grafana.statement import (
    Arithmetic,
    Call,
    Cast,
    Column,
    Expression,
    Literal,
    Macro,
    Relation,
    Select,
    Selected,
    Variable,
)

Mutation = tuple[str, Query]
OTHER_WIDTH = {"1h": "1d", "1d": "1h", "1mo": "1d", "1y": "1mo", "10y": "1y"}
VIEWERS_DAY = Literal("text", "${__to:date:YYYY-MM-DD}")


def text(select: Select) -> str:
    """The statement as CQL."""
    parts = [f"SELECT {', '.join(_selected(each) for each in select.columns)} FROM {select.table}"]
    if select.where:
        parts.append("WHERE " + " AND ".join(_relation(each) for each in select.where))
    if select.group_by:
        parts.append("GROUP BY " + ", ".join(map(_value, select.group_by)))
    parts += [f"ORDER BY {name} {'DESC' if down else 'ASC'}" for name, down in select.order_by]
    if select.per_partition_limit is not None:
        parts.append(f"PER PARTITION LIMIT {select.per_partition_limit}")
    if select.limit is not None:
        parts.append(f"LIMIT {select.limit}")
    return " ".join([*parts, *(["ALLOW FILTERING"] if select.allow_filtering else [])])


def _selected(selected: Selected) -> str:
    own = isinstance(selected.value, Column) and selected.value.name == selected.name
    return _value(selected.value) + ("" if own or not selected.name else f" AS {selected.name}")


def _relation(relation: Relation) -> str:
    values = ", ".join(map(_value, relation.values))
    in_brackets = f"({values})" if relation.operator == "IN" else values
    return f"{relation.column} {relation.operator} {in_brackets}"


def _value(value: Expression) -> str:  # noqa: PLR0911 - one a kind
    match value:
        case Column(name):
            return name
        case Literal("text", content):
            return "'" + content.replace("'", "''") + "'"
        case Literal(_, content):
            return content
        case Macro(name):
            return f"$__{name}"
        case Variable(name, form):
            return f"${{{name}:{form}}}" if form else f"${{{name}}}"
        case Cast(kind, inner, hint=True):
            return f"({kind}){_value(inner)}"
        case Cast(kind, inner):
            return f"CAST({_value(inner)} AS {kind})"
        case Call(name, arguments):
            return f"{name}({', '.join(map(_value, arguments)) if arguments else '*'})"
        case Arithmetic(operator, left, right):
            return f"({_value(left)} {operator} {_value(right)})"


def mutations(query: Query, select: Select, table: Table) -> Iterator[Mutation]:
    """Each mistake that can be made in this query, by name."""
    for name, mutated in (
        *_of_the_key(select, table),
        *_of_the_bucket(select, table),
        *_of_the_result(select, table),
        *_of_the_rest(query, select, table),
    ):
        yield name, replace(query, text=text(mutated))
    yield "no space after SELECT", replace(query, text=text(select).replace("SELECT ", "SELECT\n"))
    yield "cut off", replace(query, text=text(select).rpartition(" ")[0])


def _instead(select: Select, old: Relation, *new: Relation) -> Select:
    where = [each for each in select.where if each != old]
    return replace(select, where=(*where, *new))


def _of_the_key(select: Select, table: Table) -> Iterator[tuple[str, Select]]:
    for relation in select.where:
        if relation.column in table.partition:
            yield f"without {relation.column}", _instead(select, relation)
            ranged = Relation(relation.column, ">=", relation.values[:1])
            yield f"a range of {relation.column}", _instead(select, relation, ranged)
            typo = replace(relation, column=f"{relation.column}s")
            yield f"unknown column {typo.column}", _instead(select, relation, typo)
    yield "unknown table", replace(select, table=f"{select.table}s")
    yield "filtered", replace(select, allow_filtering=True)
    loose = next(name for name in [*table.columns][::-1] if name not in table.partition)
    key = {name for name, _ in table.clustering}
    if loose not in key:
        more = Relation(loose, "=", (Literal("integer", "1"),))
        yield f"a condition on {loose}", replace(select, where=(*select.where, more))


def _of_the_bucket(select: Select, table: Table) -> Iterator[tuple[str, Select]]:
    relation = next((each for each in select.where if each.column == table.bucket), None)
    if relation is None:
        return
    several = relation.operator == "IN"
    for place in range(len(relation.values) if several else 0):
        rest = relation.values[:place] + relation.values[place + 1 :]
        yield f"without bucket {place}", _instead(select, relation, replace(relation, values=rest))
    for name, changed in (
        ("formatted by the viewer", lambda _: VIEWERS_DAY),
        ("of another width", _other_width),
        ("of the range's start", _from_start),
        ("not floored", lambda value: value.arguments[0]),
    ):
        values = tuple(map(changed, relation.values))
        yield f"buckets {name}", _instead(select, relation, replace(relation, values=values))
    if len(relation.values) > 1:
        backwards = replace(relation, values=relation.values[::-1])
        yield "buckets newest first", _instead(select, relation, backwards)


def _other_width(value: Expression) -> Expression:
    assert isinstance(value, Call)
    start, width = value.arguments
    assert isinstance(width, Literal)
    return Call("floor", (start, Literal("duration", OTHER_WIDTH[width.text])))


def _from_start(value: Expression) -> Expression:
    assert isinstance(value, Call)
    return Call("floor", (Cast("timestamp", Macro("timeFrom"), hint=True), value.arguments[1]))


def _of_the_result(select: Select, table: Table) -> Iterator[tuple[str, Select]]:
    first, *others = select.columns
    for place, selected in enumerate(select.columns):
        bare = _without_casts(selected.value, table)
        if bare != selected.value:
            yield f"decimal {selected.name}", _with_column(select, place, bare)
        if not isinstance(selected.value, Column):
            yield f"{selected.name} unnamed", _with_name(select, place, "")
        if isinstance(selected.value, Call) and selected.value.name in {"avg", "max"}:
            yield (
                f"{selected.name} ungrouped",
                _with_column(select, place, selected.value.arguments[0]),
            )
    if others:
        yield "second column first", replace(select, columns=(others[0], first, *others[1:]))
        yield "a name twice", _with_name(select, 1, first.name)
    yield "a text without a type", _with_column(select, 0, Literal("text", "x"))


def _with_column(select: Select, place: int, value: Expression) -> Select:
    columns = list(select.columns)
    columns[place] = replace(columns[place], value=value)
    return replace(select, columns=tuple(columns))


def _with_name(select: Select, place: int, name: str) -> Select:
    columns = list(select.columns)
    columns[place] = replace(columns[place], name=name)
    return replace(select, columns=tuple(columns))


def _without_casts(value: Expression, table: Table) -> Expression:
    """The same of exact decimals."""
    match value:
        case Cast("double", Column(name)) if table.columns[name] == "decimal":
            return Column(name)
        case Call(name, arguments):
            return Call(name, tuple(_without_casts(each, table) for each in arguments))
        case Arithmetic(operator, left, right):
            return Arithmetic(operator, _without_casts(left, table), _without_casts(right, table))
        case _:
            return value


def _of_the_rest(query: Query, select: Select, table: Table) -> Iterator[tuple[str, Select]]:
    limited = select.limit is not None or select.per_partition_limit is not None
    for relation in select.where:
        if relation.column == table.time and relation.operator == "<=":
            yield "beyond the range's end", _instead(select, relation)
        if relation.column == table.time and relation.operator == ">=":
            yield from _of_the_lower_bound(select, relation, limited=limited)
        for place, value in enumerate(relation.values):
            if isinstance(value, Variable):
                yield from _of_the_variable(select, relation, place, value)
    if limited:
        yield "without a LIMIT", replace(select, limit=None, per_partition_limit=None)
    if select.per_partition_limit is not None:
        whole = replace(select, limit=select.per_partition_limit, per_partition_limit=None)
        yield "one LIMIT for all", whole
    if select.order_by:
        yield "oldest first", replace(select, order_by=())
        yield "in another order", replace(select, order_by=(("ingested_at_us", True),))
    if query.role == "variable":
        macro = Relation(table.clustering[-1][0], "<=", (Macro("timeTo"),))
        yield "a macro in a variable", replace(select, where=(*select.where, macro))


def _of_the_lower_bound(
    select: Select, relation: Relation, *, limited: bool
) -> Iterator[tuple[str, Select]]:
    unknown = replace(relation, values=(Macro("timeFilter"),))
    yield "an unknown macro", _instead(select, relation, unknown)
    if not limited:
        yield "without a beginning", _instead(select, relation)
    if relation.values != (Macro("timeFrom"),):
        end = Cast("timestamp", Macro("timeTo"), hint=True)
        longer = Arithmetic("-", end, Literal("duration", "12y"))
        wider = replace(relation, values=(longer,))
        yield "wider than its buckets", _instead(select, relation, wider)


def _of_the_variable(
    select: Select, relation: Relation, place: int, value: Variable
) -> Iterator[tuple[str, Select]]:
    for name, other in (
        ("unformatted", Variable(value.name, "")),
        ("escaped as for another database", Variable(value.name, "singlequote")),
        ("in quotes", Literal("text", f"${{{value.name}}}")),
    ):
        values = (*relation.values[:place], other, *relation.values[place + 1 :])
        changed = replace(relation, values=values)
        yield f"${value.name} {name}", _instead(select, relation, changed)
