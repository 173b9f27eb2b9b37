"""What verification reads of a route from both sides: the same columns, as SQL and as CQL text.

Names come from `cdc.routes` alone, values are always bound. A row of either side is
(key columns without buckets …, the other copied columns …) as the same Python values: text, int,
bool, Decimal; times as ms since the epoch, which unlike `datetime` has no last year.
"""

# ruff: noqa: S608 - every name in a statement is a constant of cdc.routes

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cdc.mapping import Column, Kind, Order, Route, Via
from cdc.verification.compare import KeyOrder
from cdc.verification.wire import Wire, bucketed
from contracts.naming import SCHEMA


@dataclass(frozen=True)
class Selection:
    """SQL and CQL of one route."""

    route: Route

    @cached_property
    def key(self) -> tuple[Column, ...]:
        """Key columns that are not computed: they are the source's key, in the target's order."""
        return tuple(column for column in self._compared if column.name in self.route.key)

    @cached_property
    def _compared(self) -> tuple[Column, ...]:
        return tuple(column for column in self.route.copied if column.via is not Via.BUCKET)

    @cached_property
    def order(self) -> KeyOrder:
        """Order of keys inside a Cassandra partition, and of the source's rows over all."""
        down = {each.name: each.descending for each in self.route.clustering}
        return KeyOrder(tuple(down.get(column.name, False) for column in self.key))

    @cached_property
    def time_index(self) -> int | None:
        """Where a row has the time by which its source is retained; None where all rows stay."""
        time = self.route.source.time
        names = [column.source if column.via is Via.VALUE else "" for column in self._compared]
        return None if time is None else names.index(time)

    @cached_property
    def order_index(self) -> int:
        """Where a row of a route with Order.DOMAIN has the time that orders it."""
        return [column.name for column in self._compared].index(str(self.route.order_by))

    @property
    def _from(self) -> str:
        return f'{SCHEMA}."{self.route.source.table}" t'

    @cached_property
    def _columns(self) -> str:
        return ", ".join(self._sql(column) for column in self._compared)

    def _sql(self, column: Column) -> str:
        """A source column as the value that Cassandra's column gives."""
        source = str(column.source)
        kind = self.route.source.field_of(source).kind
        if kind is Kind.TIMESTAMP:
            return _epoch(f't."{source}"', 1_000_000 if column.via is Via.MICROS else 1000)
        return f't."{source}"::text' if kind is Kind.JSONB else f't."{source}"'

    @cached_property
    def _sorted(self) -> str:
        """ORDER BY as Cassandra sorts: text by its bytes, buckets by the time they come from."""
        terms = []
        for column, down in zip(self.key, self.order.descending, strict=True):
            text = self.route.source.field_of(str(column.source)).kind is Kind.TEXT
            collation = ' COLLATE "C"' if text else ""
            terms.append(f't."{column.source}"{collation}{" DESC" if down else ""}')
        return ", ".join(terms)

    @cached_property
    def _condition(self) -> str:
        above = self.route.condition
        return "true" if above is None else f't."{above.field}" > {above.limit}'

    @cached_property
    def axis(self) -> Column | None:
        """The key's time that buckets and hours come from; None where there is no bucket."""
        return self.wire.axis if bucketed([self.route]) else None

    @cached_property
    def axis_index(self) -> int | None:
        """Where a key has that time."""
        return None if self.axis is None else self.key.index(self.axis)

    @cached_property
    def wire(self) -> Wire:
        """The bytes of a bucketed route's rows."""
        return Wire(self.route)

    @cached_property
    def of_cell(self) -> str:
        """SQL of a series' rows, sorted; bind the series, then [start, end) of the route's time."""
        series = " AND ".join(f't."{name}" = %s' for name in self.wire.series)
        time = f't."{self.wire.axis.source}"'
        return (
            f"SELECT {self._columns} FROM {self._from} WHERE {series} "
            f"AND {time} >= %s AND {time} < %s AND {self._condition} ORDER BY {self._sorted}"
        )

    @cached_property
    def extent(self) -> str:
        """SQL: a bucketed table's bytes, its first time and the end of its last; 0 to 0 of none."""
        time = f't."{self.wire.axis.source}"'
        table = f'{SCHEMA}."{self.route.source.table}"'
        finite = f"{time} > '-infinity' AND {time} < 'infinity'"
        return (
            f"SELECT pg_relation_size('{table}'), coalesce({_epoch(f'min({time})', 1000)}, 0), "
            f"coalesce({_epoch(f'max({time})', 1000)} + 1, 0) FROM {self._from} WHERE {finite}"
        )

    @cached_property
    def everything(self) -> str:
        """SQL of all rows, sorted; of the newest row of each key for Order.DOMAIN."""
        if self.route.order is Order.POSITION:
            return (
                f"SELECT {self._columns} FROM {self._from} "
                f"WHERE {self._condition} ORDER BY {self._sorted}"
            )
        keys = ", ".join(f'"{column.source}"' for column in self.key)
        newest = (
            f'SELECT {keys}, max("{self.route.order_by}") AS "{self.route.order_by}" '
            f'FROM {SCHEMA}."{self.route.source.table}" GROUP BY {keys}'
        )
        return (
            f"SELECT {self._columns} FROM ({newest}) newest JOIN {self._from} "
            f'USING ({keys}, "{self.route.order_by}") ORDER BY {self._sorted}'
        )

    @cached_property
    def by_keys(self) -> str:
        """SQL of given keys, for execute_values; the last column is the row's version (xmin)."""
        names = [f'"{column.source}"' for column in self.key]
        keys = f"(VALUES %s) AS k ({', '.join(names)})"
        same = " AND ".join(f"t.{name} = k.{name}" for name in names)
        picked = f"SELECT {self._columns}, t.xmin::text FROM "
        if self.route.order is Order.POSITION:
            return f"{picked}{keys} JOIN {self._from} ON {same} WHERE {self._condition}"
        newest = (
            f"SELECT t.*, t.xmin FROM {self._from} WHERE {same} "
            f'ORDER BY t."{self.route.order_by}" DESC LIMIT 1'
        )
        return f"{picked}{keys} CROSS JOIN LATERAL ({newest}) t"

    @cached_property
    def of_partition(self) -> str:
        """CQL of a partition's rows; bind the partition's key."""
        return f"SELECT {self._names} FROM {self.route.table} WHERE {_bound(self.route.partition)}"

    @cached_property
    def of_key(self) -> str:
        """CQL of one row; bind the whole key."""
        return f"SELECT {self._names} FROM {self.route.table} WHERE {_bound(self.route.key)}"

    @cached_property
    def between(self) -> str:
        """What follows a partition's condition in CQL; bind [start, end) of the route's time."""
        time = self.wire.axis.name
        return f" AND {time} >= ? AND {time} < ?"

    @cached_property
    def pages_of_cells(self) -> str:
        """CQL of a partition's rows between two times, as `wire` orders their columns."""
        where = _bound(self.route.partition) + self.between
        return f"SELECT {self.wire.names} FROM {self.route.table} WHERE {where}"

    @cached_property
    def rows_of_cells(self) -> str:
        """CQL of a partition's rows between two times, as `of_partition` gives them."""
        return self.of_partition + self.between

    @cached_property
    def partitions(self) -> str:
        """CQL of the partitions' keys in a range of tokens; bind (after, to].

        Of a bucketed route, also bind [start, end) of the buckets: filtered by the server, so that
        only what is looked for crosses the network.
        """
        columns = {column.name: column for column in self.route.columns}
        names = ", ".join(_cql(columns[name]) for name in self.route.partition)
        token = f"token({', '.join(self.route.partition)})"
        where = f"{token} > ? AND {token} <= ?"
        for name in self.route.partition:
            if columns[name].via is Via.BUCKET:
                where += f" AND {name} >= ? AND {name} < ? ALLOW FILTERING"
        return f"SELECT DISTINCT {names} FROM {self.route.table} WHERE {where}"

    @cached_property
    def delete(self) -> str:
        """CQL that deletes one row; bind the write timestamp, then the whole key."""
        return f"DELETE FROM {self.route.table} USING TIMESTAMP ? WHERE {_bound(self.route.key)}"

    @cached_property
    def _names(self) -> str:
        return ", ".join(_cql(column) for column in self._compared)


def _epoch(time: str, units: int) -> str:
    """SQL of a timestamptz as whole units since the epoch; infinities as a bigint's ends."""
    return (
        f"CASE {time} WHEN 'infinity' THEN 9223372036854775807 "
        f"WHEN '-infinity' THEN -9223372036854775808 "
        f"ELSE floor(extract(epoch FROM {time}) * {units})::bigint END"
    )


def _cql(column: Column) -> str:
    return f"to_unix_timestamp({column.name})" if column.cql == "timestamp" else column.name


def _bound(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in names)
