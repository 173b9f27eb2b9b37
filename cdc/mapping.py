"""The vocabulary in which `cdc.routes` says which source table feeds which target tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What a source column holds, and so how Debezium writes it in JSON."""

    TEXT = "text"  # string
    JSONB = "jsonb"  # string that holds JSON
    BIGINT = "bigint"  # number
    INT = "int"  # number
    BOOLEAN = "boolean"  # true, false
    DECIMAL = "decimal"  # string (decimal.handling.mode=string)
    TIMESTAMP = "timestamp"  # timestamptz: ISO string (time.precision.mode=isostring)


class Bucket(StrEnum):
    """How wide a partition is; a bucket column holds the timestamp that starts it."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    DECADE = "decade"  # ten years, as Cassandra's floor(t, 10y): 1970, 1980, …
    BY_INTERVAL = "by_interval"  # klines: the wider the candle, the wider the bucket


class Order(Enum):
    """Which of two versions of a target row is the newer one (docs/decisions: write timestamps)."""

    POSITION = "position"  # one source row, one target row: the WAL's order
    DOMAIN = "domain"  # many source rows, one target row: the market's own time


class Via(Enum):
    """How a target column comes from its source column."""

    VALUE = "value"
    MICROS = "micros"  # exact µs since the epoch, beside a timestamp that holds ms
    BUCKET = "bucket"
    SINK = "sink"  # not from the row: when the sink and its like saw it


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a source table. `whole_ms`: PostgreSQL checks that it has no finer part.

    `column` is the target column's name where it is not the field's. The others say what events
    from before a change of the schema look like, as long as they may be read (again):

    - `added`: they lack the field; nothing is written to its column then, not even null;
    - `renamed_from`: they call it so;
    - `retyped_from`: they hold a value of that kind, which is left out as if it were absent.
    """

    name: str
    kind: Kind
    whole_ms: bool = False
    column: str = ""
    added: bool = False
    renamed_from: tuple[str, ...] = ()
    retyped_from: Kind | None = None

    @property
    def target(self) -> str:
        """The name of the target column that holds its value."""
        return self.column or self.name

    @property
    def changed(self) -> bool:
        """Whether there may be events that have it in another form."""
        return self.added or bool(self.renamed_from) or self.retyped_from is not None

    @property
    def may_lack(self) -> bool:
        """Whether there may be events without a value for it."""
        return self.added or self.retyped_from is not None


@dataclass(frozen=True, slots=True)
class Source:
    """A published PostgreSQL table.

    `time` is the column by which it is partitioned and retained, None where all rows stay.
    `full_identity`: REPLICA IDENTITY FULL, so that a touched row's large values arrive whole.
    `omitted`: columns that go nowhere, each with its reason.
    """

    table: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    time: str | None = None
    full_identity: bool = False
    omitted: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse what no event could be read by."""
        names = {each.name for each in self.fields}
        for each in self.fields:
            if each.may_lack and each.name in self.key:
                raise ValueError(f"{self.table}.{each.name}: every event must have its key")
            for name in each.renamed_from:
                if name in names:
                    raise ValueError(f"{self.table}.{each.name}: {name!r} is another field's name")

    def field_of(self, name: str) -> Field:
        """The field of that name; KeyError where there is none."""
        for each in self.fields:
            if each.name == name:
                return each
        raise KeyError(f"{self.table} has no field {name!r}")


@dataclass(frozen=True, slots=True)
class Column:
    """A target column. `source` is None where the sink itself is the source (`Via.SINK`)."""

    name: str
    cql: str
    source: str | None
    via: Via = Via.VALUE
    bucket: Bucket | None = None


@dataclass(frozen=True, slots=True)
class Clustering:
    """A clustering column and its direction."""

    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Above:
    """Only rows whose `field` is greater than `limit` are written."""

    field: str
    limit: Decimal


@dataclass(frozen=True, slots=True)
class Route:
    """One source table into one target table.

    `columns` starts with the partition columns, then the clustering columns, then the rest.
    `order_by` is the event-time field of Order.DOMAIN.
    """

    source: Source
    table: str
    partition: tuple[str, ...]
    clustering: tuple[Clustering, ...]
    columns: tuple[Column, ...]
    order: Order = Order.POSITION
    order_by: str | None = None
    condition: Above | None = None

    def __post_init__(self) -> None:
        """Refuse to decide by a field that an event may lack."""
        decisive = (self.order_by, None if self.condition is None else self.condition.field)
        for each in self.source.fields:
            if each.may_lack and each.name in decisive:
                raise ValueError(f"{self.table} cannot depend on {each.name}: events may lack it")

    @property
    def key(self) -> tuple[str, ...]:
        """The target's primary key: partition, then clustering columns."""
        return (*self.partition, *(each.name for each in self.clustering))

    @property
    def one_to_one(self) -> bool:
        """Whether each target row comes from one source row (so deletes and repairs apply)."""
        return self.order is Order.POSITION

    @property
    def copied(self) -> tuple[Column, ...]:
        """The columns that come from the source row: what verification compares."""
        return tuple(each for each in self.columns if each.via is not Via.SINK)


CQL_TYPE = {
    Kind.TEXT: "text",
    Kind.JSONB: "text",
    Kind.BIGINT: "bigint",
    Kind.INT: "int",
    Kind.BOOLEAN: "boolean",
    Kind.DECIMAL: "decimal",
    Kind.TIMESTAMP: "timestamp",
}


def columns_of(source: Source) -> Iterable[Column]:
    """Target columns of all fields: a time finer than ms gets its exact µs beside it."""
    for each in source.fields:
        if each.name == "ingested_at":  # nobody plots it: the exact µs alone
            yield Column("ingested_at_us", "bigint", each.name, Via.MICROS)
            continue
        yield Column(each.target, CQL_TYPE[each.kind], each.name)
        if each.kind is Kind.TIMESTAMP and not each.whole_ms:
            yield Column(f"{each.target}_us", "bigint", each.name, Via.MICROS)


def bucket_column(name: str, source: str, bucket: Bucket) -> Column:
    return Column(name, "timestamp", source, Via.BUCKET, bucket)


def route(  # noqa: PLR0913 - each keyword is one property of the route
    source: Source,
    table: str,
    partition: tuple[str, ...],
    clustering: tuple[str, ...],
    *,
    bucket: Column | None = None,
    extra: tuple[Column, ...] = (),
    order_by: str | None = None,
    condition: Above | None = None,
) -> Route:
    """A route of all of a source's fields; a clustering column is written `name` or `name DESC`."""
    ordered = tuple(
        Clustering(name, direction == "DESC")
        for name, _, direction in (each.partition(" ") for each in clustering)
    )
    available = {each.name: each for each in (*columns_of(source), *extra)}
    if bucket is not None:
        available[bucket.name] = bucket
    key = (*partition, *(each.name for each in ordered))
    rest = [name for name in available if name not in key]
    return Route(
        source=source,
        table=table,
        partition=partition,
        clustering=ordered,
        columns=tuple(available[name] for name in (*key, *rest)),
        order=Order.POSITION if order_by is None else Order.DOMAIN,
        order_by=order_by,
        condition=condition,
    )
