"""TRUNCATE of what is published is refused, to its owner too, in every partition there ever is."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from contracts.naming import Role
from ingest import tables
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import connect, fetch, value

pytestmark = pytest.mark.integration


def refused(connection: Any, table: str) -> bool:
    """Whether the guard, and not a missing right, refuses to truncate a table."""
    try:
        connection.cursor().execute(f"TRUNCATE {table}")
    except psycopg2.errors.InsufficientPrivilege as error:
        return "tidemark.allow_truncate" in str(error.diag.message_hint)
    return False


@pytest.mark.parametrize("table", sorted(each.name for each in tables.PUBLISHED))
def test_its_owner_cannot_truncate_a_published_table(owner: Any, table: str) -> None:
    """Plain or partitioned, and each of its partitions by itself."""
    leaves = fetch(
        owner,
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
        table,
    )
    assert bool(leaves) == (table in tables.PARTITIONED_BY)
    for name in (table, *(leaf for (leaf,) in leaves)):
        assert refused(owner, name)


def test_a_partition_that_is_made_later_is_guarded_too(owner: Any) -> None:
    """TRUNCATE of a leaf would emit nothing at all."""
    day = datetime.now(UTC).date() + timedelta(days=20)
    assert value(owner, "SELECT ensure_partition('trades', %s)", day)
    assert refused(owner, f"trades_p{day:%Y%m%d}")


def test_a_superuser_is_refused_too(database: PostgresEndpoint) -> None:
    """It has every right, and makes the same mistakes."""
    with closing(connect(database, Role.POSTGRES_ADMIN)) as admin:
        assert refused(admin, "prices")


def test_who_means_it_says_so_first(owner: Any) -> None:
    """For one session, and only by that word."""
    owner.cursor().execute("SET tidemark.allow_truncate = 'perhaps'")
    assert refused(owner, "prices")
    owner.cursor().execute("SET tidemark.allow_truncate = 'on'")
    assert not refused(owner, "prices")
    owner.cursor().execute("RESET tidemark.allow_truncate")
    assert refused(owner, "prices")


def test_what_is_not_published_is_left_alone(owner: Any) -> None:
    """Nothing follows from emptying it."""
    assert not refused(owner, "quarantine")


def test_the_sink_may_ask_which_revision_the_schema_has(database: PostgresEndpoint) -> None:
    """It names it where a column is not as it was."""
    with closing(connect(database, Role.REPAIR)) as repair:
        assert value(repair, "SELECT version_num FROM alembic_version")
