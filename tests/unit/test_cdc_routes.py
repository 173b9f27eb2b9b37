"""The routes fit PostgreSQL's tables on one side and Cassandra's on the other."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, Integer, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from cdc.cql_script import read_scripts
from cdc.keyspace import SCRIPTS
from cdc.mapping import Kind, Order, Route, Source, Via
from cdc.routes import ROUTES, SOURCES, UNROUTED, routes_of
from ingest.tables import PARTITIONED_BY, PUBLISHED

TABLES: dict[str, Table] = {table.name: table for table in PUBLISHED}
KIND_OF: list[tuple[type[Any], Kind]] = [
    (BigInteger, Kind.BIGINT),
    (Integer, Kind.INT),
    (Boolean, Kind.BOOLEAN),
    (Numeric, Kind.DECIMAL),
    (DateTime, Kind.TIMESTAMP),
    (JSONB, Kind.JSONB),
    (Text, Kind.TEXT),
]
_CREATE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)PRIMARY KEY \(\(([^)]*)\),?\s*([^)]*)\)\s*\)(.*)",
    re.DOTALL,
)
_ALTER = re.compile(r"ALTER TABLE (\w+) (ADD|DROP) (?:IF (?:NOT )?EXISTS )?(\w+)\s*(.*)")


def kind_of(column: Any) -> Kind:
    """The kind that a column of PostgreSQL is read as."""
    return next(kind for sql_type, kind in KIND_OF if isinstance(column.type, sql_type))


def cql_tables() -> dict[str, tuple[dict[str, str], list[str], list[str], str]]:
    """{table: (types by column, partition, clustering, options)} as the .cql files say."""
    found: dict[str, tuple[dict[str, str], list[str], list[str], str]] = {}
    for script in read_scripts(SCRIPTS):
        for statement in script.statements():
            altered = _ALTER.fullmatch(statement)
            if altered is not None and altered[1] in found:
                table, verb, column, cql_type = altered.groups()
                if verb == "ADD":
                    found[table][0][column] = cql_type
                else:
                    del found[table][0][column]
                continue
            match = _CREATE.match(statement)
            if match is None:
                continue
            name, body, partition, clustering, options = match.groups()
            columns = dict(
                line.split()[:2] for line in body.replace(",", "").splitlines() if line.split()
            )
            found[name] = (
                columns,
                [each.strip() for each in partition.split(",")],
                [each.strip() for each in clustering.split(",") if each.strip()],
                options,
            )
    return found


def test_every_published_table_is_routed_or_said_to_be_left_alone() -> None:
    """A table that is added to the publication cannot be forgotten."""
    assert {source.table for source in SOURCES} | set(UNROUTED) == set(TABLES)
    assert not {source.table for source in SOURCES} & set(UNROUTED)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.table)
def test_a_source_is_its_postgresql_table(source: Source) -> None:
    """Columns in order, kinds, key, the column it is partitioned by."""
    table = TABLES[source.table]
    declared = {each.name: each.kind for each in source.fields}
    assert declared == {
        column.name: kind_of(column)
        for column in table.columns
        if column.name not in source.omitted
    }
    assert source.key == tuple(column.name for column in table.primary_key.columns)
    assert source.time == PARTITIONED_BY.get(source.table)
    assert all(source.omitted.values()), "an omitted column needs a reason"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.table)
def test_only_times_that_postgresql_floors_are_taken_as_whole_ms(source: Source) -> None:
    """Any other time has its exact µs beside it."""
    checks = " ".join(
        str(each.sqltext)
        for each in TABLES[source.table].constraints
        if isinstance(each, CheckConstraint)
    )
    for each in source.fields:
        if each.kind is Kind.TIMESTAMP:
            assert each.whole_ms == (f"date_trunc('milliseconds', {each.name})" in checks)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_no_column_of_the_source_is_lost(route: Route) -> None:
    """Each field feeds a column, and a time finer than ms feeds its µs."""
    copied = {(each.source, each.via) for each in route.columns}
    for each in route.source.fields:
        if each.kind is Kind.TIMESTAMP and not each.whole_ms:
            assert (each.name, Via.MICROS) in copied
        else:
            assert (each.name, Via.VALUE) in copied


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_a_target_key_is_made_of_the_sources_key(route: Route) -> None:
    """Else a delete, which carries the key alone, could not find its row."""
    by_name = {each.name: each for each in route.columns}
    fed_by = {by_name[name].source for name in route.key}
    assert fed_by <= set(route.source.key)
    if route.one_to_one:
        assert fed_by == set(route.source.key), "two source rows would meet in one target row"
    if route.order is Order.DOMAIN:
        assert route.order_by in route.source.key


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_the_cql_files_make_the_tables_of_the_routes(route: Route) -> None:
    """Columns and types, partition, clustering with its direction, compaction."""
    columns, partition, clustering, options = cql_tables()[route.table]
    assert columns == {each.name: each.cql for each in route.columns}
    assert tuple(partition) == route.partition
    assert clustering == [each.name for each in route.clustering]
    for each in route.clustering:
        assert (f"{each.name} DESC" in options) == each.descending
    assert "UnifiedCompactionStrategy" in options


def added_columns() -> set[tuple[str, str]]:
    """(table, column) of what the .cql files added to tables that were there already."""
    statements = (each for script in read_scripts(SCRIPTS) for each in script.statements())
    altered = (match for each in statements if (match := _ALTER.fullmatch(each)) is not None)
    return {(match[1], match[3]) for match in altered if match[2] == "ADD"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_a_column_that_was_added_says_what_events_from_before_hold(route: Route) -> None:
    """Else each of those events, read again, would be a dead letter."""
    added = {column for table, column in added_columns() if table == route.table}
    for each in route.copied:
        if each.name in added:
            assert route.source.field_of(str(each.source)).changed, f"{each.name}: added=True?"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_key_columns_stand_first(route: Route) -> None:
    """The encoder cuts its values there."""
    assert tuple(each.name for each in route.columns[: len(route.key)]) == route.key


def test_routes_of_a_table_are_all_of_its_targets() -> None:
    """Trades go to the tape and to the whales."""
    assert [each.table for each in routes_of("trades")] == ["trades_by_hour", "large_trades_by_day"]
    assert routes_of("quarantine") == ()
