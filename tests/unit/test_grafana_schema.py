"""What the dashboards know of Cassandra's tables is what fills them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.mapping import Bucket, Route
from cdc.routes import ROUTES, SOURCES, TIMINGS
from grafana import findings, pipeline, schema, variables, volume
from grafana.errors import UnknownSchema
from ingest import tables
from ingest.intervals import INTERVALS
from watch.alarms import VENUE

TABLES = schema.read()
WIDTHS = {
    Bucket.HOUR: {"1h"},
    Bucket.DAY: {"1d"},
    Bucket.MONTH: {"1mo"},
    Bucket.BY_INTERVAL: {"1mo", "1y", "10y"},
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_tables_are_read_as_they_are_filled(route: Route) -> None:
    """Columns, types, keys and their order."""
    table = TABLES[route.table]
    assert dict(table.columns) == {column.name: column.cql for column in route.columns}
    assert table.partition == route.partition
    assert table.clustering == tuple((each.name, each.descending) for each in route.clustering)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.table)
def test_buckets_have_the_widths_with_which_they_are_written(route: Route) -> None:
    """Those of 1s are left out on purpose."""
    column = TABLES[route.table].bucket
    written = next((each for each in route.columns if each.bucket is not None), None)
    assert column == (None if written is None else written.name)
    if written is not None and written.bucket is not None and column is not None:
        assert set(schema.BUCKETS[column]) == WIDTHS[written.bucket]


def test_nullable_columns_are_known() -> None:
    """As PostgreSQL declares them, and what the sink writes later or not at all."""
    found: dict[str, set[str]] = {}
    for route in ROUTES:
        source = tables.metadata.tables[route.source.table]
        nullable = {column.name for column in source.columns if column.nullable}
        names = {
            column.name
            for column in route.columns
            if column.source in nullable or column in TIMINGS
        }
        if names:
            found[route.table] = names
    declared = {name: set(columns) for name, columns in schema.NULLABLE.items()}
    assert {name: declared.get(name) for name in found} == found
    for name, columns in declared.items():
        assert columns <= TABLES[name].columns.keys()


def test_every_table_has_an_estimate() -> None:
    """Else a query of it could not be judged."""
    estimated = volume.ROWS_A_DAY.keys() | volume.ROWS_A_PARTITION.keys()
    assert estimated == TABLES.keys()
    for name, table in TABLES.items():
        assert (name in volume.ROWS_A_DAY) == (table.bucket is not None)
    assert TABLES.keys() >= volume.UNBOUNDED


def test_lists_of_tables_are_complete() -> None:
    """What is verified, and whose events may become dead letters."""
    assert set(pipeline.VERIFIED_TABLES) == {route.table for route in ROUTES}
    assert set(findings.SOURCE_TABLES) == {source.table for source in SOURCES}


def test_names_of_the_market_are_the_markets() -> None:
    """Intervals but 1s, and the venue of the pipeline's own events."""
    assert set(variables.INTERVALS) | {"1s"} == INTERVALS.keys()
    assert variables.OF_THE_PIPELINE == VENUE


def test_a_statement_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    """Rather than a schema that is silently another one."""
    (tmp_path / "0001_odd.cql").write_text("CREATE INDEX odd ON trades_by_hour (price);")
    with pytest.raises(UnknownSchema, match="CREATE INDEX"):
        schema.read(tmp_path)
