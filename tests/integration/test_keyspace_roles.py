"""Cassandra's schema, roles and grants, on a real node."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cassandra import InvalidRequest, Unauthorized

from cdc import keyspace
from cdc.errors import AccessDenied, MigrationChanged, SchemaMismatch, Unreachable
from cdc.mapping import Bucket
from cdc.routes import ROUTES
from cdc.times import bucket_start
from contracts.naming import Role
from tests.integration.conftest import Replica

pytestmark = pytest.mark.integration

FLOORS = {
    Bucket.HOUR: "1h",
    Bucket.DAY: "1d",
    Bucket.MONTH: "1mo",
    Bucket.YEAR: "1y",
    Bucket.DECADE: "10y",
}


def test_migrating_twice_changes_nothing(replica: Replica) -> None:
    """Roles, files and grants are as they were."""
    before = replica.cql("SELECT * FROM schema_migrations")
    keyspace.bootstrap(replica.settings)
    assert keyspace.migrate(replica.settings) == []
    assert replica.cql("SELECT * FROM schema_migrations") == before


def test_every_route_has_its_table(replica: Replica) -> None:
    """With the columns, keys and types that the routes declare, as Cassandra itself tells."""
    name = replica.settings.cassandra_keyspace
    for route in ROUTES:
        rows = replica.cql(
            "SELECT column_name, type, kind, position, clustering_order "
            "FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?",
            name,
            route.table,
        )
        assert {row.column_name: row.type for row in rows} == {
            column.name: column.cql for column in route.columns
        }
        partition = {row.position: row.column_name for row in rows if row.kind == "partition_key"}
        assert tuple(partition[at] for at in sorted(partition)) == route.partition
        clustering = {row.position: row for row in rows if row.kind == "clustering"}
        assert [
            (clustering[at].column_name, clustering[at].clustering_order == "desc")
            for at in sorted(clustering)
        ] == [(each.name, each.descending) for each in route.clustering]


def test_the_reader_reads_and_no_more(replica: Replica) -> None:
    """Grafana and people cannot change anything."""
    with keyspace.session(replica.settings, Role.READER) as session:
        session.execute("SELECT * FROM instruments LIMIT 1")
        for statement in (
            "INSERT INTO instruments (venue, symbol) VALUES ('v', 's')",
            "TRUNCATE instruments",
            "DROP TABLE instruments",
        ):
            with pytest.raises(Unauthorized):
                session.execute(statement)


def test_the_sink_writes_rows_and_no_schema(replica: Replica) -> None:
    """It may not touch tables, other keyspaces or roles."""
    with keyspace.session(replica.settings, Role.SINK) as session:
        session.execute("DELETE FROM instruments WHERE venue = 'nobody' AND symbol = 'nothing'")
        for statement in (
            "DROP TABLE instruments",
            "CREATE TABLE mine (a int PRIMARY KEY)",
            "CREATE ROLE friend",
            "SELECT * FROM system_auth.roles",
        ):
            with pytest.raises(Unauthorized):
                session.execute(statement)


def test_the_default_superuser_cannot_log_in(replica: Replica) -> None:
    """Its password is known to everybody."""
    (row,) = replica.cql(
        "SELECT can_login, is_superuser FROM system_auth.roles WHERE role = 'cassandra'"
    )
    assert (row.can_login, row.is_superuser) == (False, False)


def test_a_wrong_password_is_said_in_one_line(replica: Replica, tmp_path: Path) -> None:
    """With the remedy, and without the password."""
    (tmp_path / f"{Role.SINK}.password").write_text("hunter2")
    wrong = replica.settings.model_copy(update={"secrets_dir": tmp_path})
    with pytest.raises(AccessDenied, match=r"tidemark migrate") as caught:
        keyspace.connect(wrong, Role.SINK)
    assert "hunter2" not in str(caught.value)


def test_what_is_not_there_is_named(replica: Replica) -> None:
    """No node, no keyspace, no schema in it."""
    elsewhere = replica.settings.model_copy(update={"cassandra_port": 9})
    with pytest.raises(Unreachable, match=r"does not answer"):
        keyspace.connect(elsewhere, Role.SINK)
    nowhere = replica.settings.model_copy(update={"cassandra_keyspace": "nobody_made_it"})
    with pytest.raises(SchemaMismatch, match=r"tidemark migrate"):
        keyspace.connect(nowhere, Role.SINK)


def test_a_changed_migration_is_refused(replica: Replica) -> None:
    """Before anything is done."""
    (applied,) = replica.cql("SELECT checksum FROM schema_migrations WHERE number = 1")
    replica.cql("UPDATE schema_migrations SET checksum = 'other' WHERE number = 1")
    try:
        with pytest.raises(MigrationChanged, match=r"0001_market\.cql changed"):
            keyspace.migrate(replica.settings)
    finally:
        replica.cql("UPDATE schema_migrations SET checksum = ? WHERE number = 1", applied.checksum)
    assert keyspace.migrate(replica.settings) == []


@pytest.mark.parametrize("bucket", list(FLOORS))
def test_buckets_are_cassandras_floor(replica: Replica, bucket: Bucket) -> None:
    """What a query lets the server compute is where the sink put the row."""
    moments = [
        datetime(year, month, day, hour, minute, 59, 999_000, tzinfo=UTC)
        for year in (1970, 1979, 1980, 1999, 2000, 2024, 2026, 2100)
        for month, day in ((1, 1), (2, 28), (3, 1), (11, 20), (12, 31))
        for hour, minute in ((0, 0), (23, 59))
    ]
    with keyspace.session(replica.settings, Role.READER) as session:
        for moment in moments:
            ms = int(moment.timestamp() * 1000)
            floor = f"floor((timestamp){ms}, {FLOORS[bucket]})"
            row: Any = session.execute(f"SELECT {floor} AS start FROM system.local").one()
            assert row.start.replace(tzinfo=UTC).timestamp() * 1000 == bucket_start(bucket, ms)
        with pytest.raises(InvalidRequest):  # ours goes on where the server's refuses
            session.execute("SELECT floor((timestamp)-1, 1h) FROM system.local")
