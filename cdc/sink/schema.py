"""PostgreSQL's columns against those that the routes declare: whether a table is still the same.

An event alone does not tell a changed table from a broken event, so whoever doubts asks the
catalogue. Columns that no field declares are nobody's business here: an added column stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdc.mapping import Kind, Source
from cdc.source import SourceDatabase
from contracts.naming import SCHEMA

# pg_type.typname of what Debezium writes in JSON as the kind wants it. Narrower is fine, wider not.
TYPES: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({"text", "varchar", "bpchar"}),
    Kind.JSONB: frozenset({"jsonb", "json"}),
    Kind.BIGINT: frozenset({"int8", "int4", "int2"}),
    Kind.INT: frozenset({"int4", "int2"}),
    Kind.BOOLEAN: frozenset({"bool"}),
    Kind.DECIMAL: frozenset({"numeric"}),
    Kind.TIMESTAMP: frozenset({"timestamptz"}),
}
_IN_WORDS = {Kind.DECIMAL: "numeric", Kind.TIMESTAMP: "timestamp with time zone"}


@dataclass(frozen=True)
class Table:
    """A table as the catalogue has it: {column: (typname, type in words)}, its primary key."""

    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    key: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Schema:
    """The catalogue at a moment of PostgreSQL's clock (µs since the epoch), and its revision."""

    at_us: int
    revision: str
    tables: dict[str, Table]


def read(database: SourceDatabase, tables: Iterable[str]) -> Schema:
    """The tables as they are now; one that does not exist has no columns."""
    ((at_us, revision),) = database.query(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, "
        "(SELECT string_agg(version_num, ', ') FROM public.alembic_version)"
    )
    found = {table: Table() for table in tables}
    for table, column, type_name, in_words in database.query(
        "SELECT c.relname, a.attname, t.typname, format_type(a.atttypid, a.atttypmod) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "JOIN pg_type t ON t.oid = a.atttypid WHERE c.relname = ANY(%s)",
        (SCHEMA, list(found)),
    ):
        found[table].columns[column] = (type_name, in_words)
    keys = database.query(
        "SELECT c.relname, array_agg(a.attname::text) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %s "
        "JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey) "
        "WHERE c.relname = ANY(%s) GROUP BY c.relname",
        (SCHEMA, list(found)),
    )
    for table, names in keys:
        found[table] = Table(found[table].columns, frozenset(names))
    return Schema(at_us=at_us, revision=revision or "none", tables=found)


def differences(source: Source, table: Table) -> list[str]:
    """What of a source's declared columns is not so in PostgreSQL, in words; empty where all is."""
    if not table.columns:
        return ["the table is gone from PostgreSQL"]
    found = []
    for each in source.fields:
        actual = table.columns.get(each.name)
        if actual is None:
            found.append(f"column {each.name} is gone from PostgreSQL{_new(source, table)}")
        elif actual[0] not in TYPES[each.kind]:
            expected = _IN_WORDS.get(each.kind, each.kind.value)
            found.append(f"column {each.name} is {actual[1]} in PostgreSQL, not {expected}")
    if table.key != frozenset(source.key):
        has = ", ".join(sorted(table.key)) or "gone"
        found.append(f"its primary key is {has}, not {', '.join(sorted(source.key))}")
    return found


def _new(source: Source, table: Table) -> str:
    """Columns that nobody declared: a renamed one is among them."""
    known = {each.name for each in source.fields} | set(source.omitted)
    new = sorted(set(table.columns) - known)
    return f" (undeclared there: {', '.join(new)})" if new else ""
