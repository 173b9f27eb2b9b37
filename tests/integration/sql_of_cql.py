"""A panel's query as SQL of the truth, so that PostgreSQL says what the panel must show.

Where a query has a lower bound of time, its buckets are left out: whatever lies in the range must
come back, and a bucket that was forgotten shows as rows that are missing.
"""

from __future__ import annotations

import re

from cdc.routes import ROUTES
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
)

ROUTE = {route.table: route for route in ROUTES}
UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "mo": "month", "y": "year"}
TRUNCATED = {"1h": "hour", "1d": "day", "1mo": "month", "1y": "year", "10y": "decade"}
TYPES = {"double": "double precision"}
JSON = {"bids", "asks"}


def sql(select: Select, table: Table, from_ms: int, to_ms: int) -> str:
    """The statement; variables must have been replaced."""
    return _Translation(table, {"timeFrom": from_ms, "timeTo": to_ms}).statement(select)


class _Translation:
    def __init__(self, table: Table, moments: dict[str, int]) -> None:
        self._table = table
        self._route = ROUTE[table.name]
        self._moments = moments

    def statement(self, select: Select) -> str:
        names = [f'{self._value(each.value)} AS "{each.name}"' for each in select.columns]
        where = [self._relation(each) for each in select.where if self._counts(each, select)]
        inner = (
            f"SELECT {', '.join(names)}, {self._place()} AS place FROM {self._rows()} "
            f"WHERE {' AND '.join(where)}"
        )
        columns = ", ".join(f'"{each.name}"' for each in select.columns)
        outer = f"SELECT {columns} FROM ({inner}) AS found"
        if select.per_partition_limit is not None:
            outer += f" WHERE place <= {select.per_partition_limit}"
        if select.order_by:
            ((column, descending),) = select.order_by
            outer += f" ORDER BY {column} {'DESC' if descending else 'ASC'}"
        return outer if select.limit is None else f"{outer} LIMIT {select.limit}"

    def _counts(self, relation: Relation, select: Select) -> bool:
        """Whether the truth needs this condition to say the same."""
        if relation.column != self._table.bucket:
            return True
        bounds = {each.operator for each in select.where if each.column == self._table.time}
        return not bounds & {">", ">="}

    def _rows(self) -> str:
        source = self._route.source.table
        if self._route.order_by is not None:
            key = ", ".join(self._route.key)
            newest = f"ORDER BY {key}, {self._route.order_by} DESC"
            return f"(SELECT DISTINCT ON ({key}) * FROM {source} {newest}) AS latest"
        if self._route.condition is not None:
            above = self._route.condition
            return f"(SELECT * FROM {source} WHERE {above.field} > {above.limit}) AS those"
        return source

    def _place(self) -> str:
        """A row's number within its partition, as Cassandra orders it."""
        partition = [self._column(name) for name in self._table.partition]
        order = [f"{name} {'DESC' if down else 'ASC'}" for name, down in self._table.clustering]
        ordered = f" ORDER BY {', '.join(order)}" if order else ""
        return f"row_number() OVER (PARTITION BY {', '.join(partition)}{ordered})"

    def _column(self, name: str) -> str:
        """A column of the truth; a bucket is the start of its row's."""
        if name != self._table.bucket:
            return name
        if name in {"hour", "day", "month"}:
            return f"date_trunc('{name}', {self._table.time}, 'UTC')"
        months, years = "'1m', '3m', '5m', '15m'", "'30m', '1h', '2h', '4h'"
        return (
            f"CASE WHEN interval IN ({months}) THEN date_trunc('month', open_time, 'UTC') "
            f"WHEN interval IN ({years}) THEN date_trunc('year', open_time, 'UTC') "
            "ELSE date_trunc('decade', open_time, 'UTC') END"
        )

    def _relation(self, relation: Relation) -> str:
        kind = self._table.columns[relation.column]
        values = ", ".join(self._value(each, kind) for each in relation.values)
        in_brackets = f"({values})" if relation.operator == "IN" else values
        return f"{self._column(relation.column)} {relation.operator} {in_brackets}"

    def _value(self, value: Expression, kind: str = "") -> str:  # noqa: PLR0911 - one a kind
        match value:
            case Column(name):
                return f"{name}::text" if name in JSON else self._column(name)
            case Literal():
                return _literal(value)
            case Macro(name):
                at = self._moments[name]
                return f"to_timestamp({at} / 1000.0)" if kind == "timestamp" else str(at)
            case Cast(to, inner, hint=hint):
                if hint and to == "timestamp":
                    return self._value(inner, to)
                return f"CAST({self._value(inner)} AS {TYPES.get(to, to)})"
            case Call(name, arguments):
                return self._call(name, arguments)
            case Arithmetic(operator, left, right):
                other = self._value(right)
                if operator == "/":  # Cassandra says NaN of what PostgreSQL refuses
                    other = f"nullif({other}, 0)"
                return f"({self._value(left)} {operator} {other})"
        raise NotImplementedError(f"{value} has no form in SQL yet")

    def _call(self, name: str, arguments: tuple[Expression, ...]) -> str:
        if name == "currenttimestamp":
            return "now()"
        if name == "tounixtimestamp":
            (moment,) = arguments
            return f"floor(extract(epoch FROM {self._value(moment)}) * 1000)::bigint"
        if name == "floor":
            start, width = arguments
            assert isinstance(width, Literal)
            return f"date_trunc('{TRUNCATED[width.text]}', {self._value(start)}, 'UTC')"
        return f"{name}({', '.join(self._value(each) for each in arguments)})"


def _literal(value: Literal) -> str:
    match value.kind:
        case "text":
            return "'" + value.text.replace("'", "''") + "'"
        case "duration":
            number, unit = re.fullmatch(r"(\d+)([a-z]+)", value.text).groups()  # type: ignore[union-attr]  # a token
            return f"interval '{number} {UNITS[unit]}'"
        case _:
            return value.text
