"""Every role tries every verb on every table, and everything that it must not do besides."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from contracts.naming import Role
from ingest import tables
from runtime.endpoints import PostgresEndpoint
from tests.integration.scratch import connect, fetch

pytestmark = pytest.mark.integration

ROLES = (Role.INGEST, Role.CDC, Role.REPAIR, Role.WATCH, Role.READER)
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
TABLES = sorted(tables.metadata.tables)
PUBLISHED = {table.name for table in tables.PUBLISHED}
UPSERTED = {
    *("instruments", "listings", "klines", "ticker_24h", "coin_markets"),
    *("gaps", "certificates", "backfills"),
}
NOT_INGESTS = {"dropped_days"}
THE_WATCHS = {"load_shedding"}  # it writes, ingest obeys

ALLOWED: dict[str, dict[str, set[str]]] = {
    Role.INGEST: {
        "SELECT": set(TABLES) - NOT_INGESTS,
        "INSERT": set(TABLES) - NOT_INGESTS - THE_WATCHS,
        "UPDATE": UPSERTED,
    },
    Role.CDC: {"SELECT": PUBLISHED, "INSERT": {"heartbeat"}},
    Role.REPAIR: {
        "SELECT": PUBLISHED | {"dropped_days"},
        "UPDATE": PUBLISHED,
        "INSERT": {"heartbeat"},
    },
    Role.WATCH: {"SELECT": set(TABLES), "INSERT": {"events"}, "UPDATE": THE_WATCHS},
    Role.READER: {"SELECT": set(TABLES) - {"quarantine"}},
}

# What nobody but the owner may do: each must end in "permission denied" or "must be owner".
FORBIDDEN = (
    "CREATE TABLE intruder (x int)",
    "CREATE SCHEMA intruder",
    "CREATE PUBLICATION intruder FOR TABLE trades",
    "ALTER PUBLICATION tidemark DROP TABLE trades",
    "DROP PUBLICATION tidemark",
    "ALTER TABLE trades REPLICA IDENTITY NOTHING",
    "ALTER TABLE trades DISABLE TRIGGER ALL",
    "DROP TABLE trades",
    "CREATE INDEX intruder ON trades (price)",
    "ALTER ROLE tidemark_owner PASSWORD 'x'",
    "SET ROLE tidemark_owner",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY trades TO PROGRAM 'cat'",
)


def statement(verb: str, table: str) -> str:
    """A statement that needs just that right; what it does is rolled back."""
    column = list(tables.metadata.tables[table].columns)[-1].name
    return {
        "SELECT": f"SELECT {column} FROM {table} WHERE false",
        "INSERT": f"INSERT INTO {table} ({column}) VALUES (NULL)",
        "UPDATE": f"UPDATE {table} SET {column} = NULL WHERE false",
        "DELETE": f"DELETE FROM {table} WHERE false",
        "TRUNCATE": f"TRUNCATE {table}",
    }[verb]


def may(connection: psycopg2.extensions.connection, sql: str) -> bool:
    """Whether PostgreSQL lets the role do it; the trial is rolled back."""
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    except psycopg2.IntegrityError:
        return True  # the right was there, only the row was wrong
    finally:
        connection.rollback()
    return True


@pytest.mark.parametrize("role", ROLES)
def test_role_can_do_exactly_what_it_needs(database: PostgresEndpoint, role: str) -> None:
    """Each verb on each table is really tried, by login."""
    found: dict[str, set[str]] = {}
    with closing(connect(database, role)) as connection:
        for table in TABLES:
            for verb in VERBS:
                if may(connection, statement(verb, table)):
                    found.setdefault(verb, set()).add(table)
    assert found == ALLOWED[role]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("sql", FORBIDDEN)
def test_role_cannot_change_the_structure(database: PostgresEndpoint, role: str, sql: str) -> None:
    """Neither schema, publication, identities nor other roles, nor the server's files."""
    with closing(connect(database, role)) as connection:
        assert not may(connection, sql)


@pytest.mark.parametrize("role", ROLES)
def test_partitions_are_reached_through_their_table_only(
    database: PostgresEndpoint, role: str
) -> None:
    """TRUNCATE of a leaf would emit no event at all; nobody has a right on a leaf."""
    with closing(connect(database)) as owner:
        (leaf,) = fetch(owner, "SELECT inhrelid::regclass::text FROM pg_inherits LIMIT 1")[0]
    with closing(connect(database, role)) as connection:
        for sql in (f"SELECT * FROM {leaf}", f"TRUNCATE {leaf}", f"DELETE FROM {leaf}"):
            assert not may(connection, sql)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.INGEST, {"ensure_partition", "correct_trades"}),
        (Role.WATCH, {"ensure_partition", "ensure_partitions", "drop_partition"}),
        (Role.CDC, set()),
        (Role.REPAIR, {"record_dropped_days"}),
        (Role.READER, set()),
    ],
)
def test_functions_are_for_those_who_need_them(
    database: PostgresEndpoint, role: str, allowed: set[str]
) -> None:
    """Ingest makes days and puts trades right, the watch drops days, a sweep says what is gone."""
    calls = {
        "ensure_partition": "SELECT ensure_partition('prices', current_date)",
        "ensure_partitions": "SELECT ensure_partitions(0)",
        "drop_partition": "SELECT drop_partition('prices', '2015-01-01')",
        "record_dropped_days": "SELECT record_dropped_days('prices', '{2015-01-01}')",
        "correct_trades": "SELECT correct_trades('v', 's', '2015-01-01', '[]', '[]')",
        "partition_name": "SELECT partition_name('prices', current_date)",
    }
    with closing(connect(database, role)) as connection:
        assert {name for name, sql in calls.items() if may(connection, sql)} == allowed


@pytest.mark.parametrize("role", ROLES)
def test_only_ingest_makes_temporary_tables(database: PostgresEndpoint, role: str) -> None:
    """Bulk loads need them; nobody else fills the server's disk that way."""
    with closing(connect(database, role)) as connection:
        assert may(connection, "CREATE TEMPORARY TABLE scratch (x int)") == (role == Role.INGEST)


def test_others_cannot_even_connect(database: PostgresEndpoint) -> None:
    """A role that nobody granted anything is stopped at the database's door."""
    with closing(connect(database, Role.POSTGRES_ADMIN)) as admin:
        sql = "SELECT has_database_privilege('public', %s, 'CONNECT')"
        assert fetch(admin, sql, database.postgres_database) == [(False,)]


def test_no_role_is_more_than_a_login(database: PostgresEndpoint) -> None:
    """None is a superuser, makes roles or databases, or bypasses row security."""
    with closing(connect(database, Role.POSTGRES_ADMIN)) as admin:
        rows = fetch(
            admin,
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^tidemark_' AND "
            "(rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR NOT rolcanlogin)",
        )
    assert rows == []
