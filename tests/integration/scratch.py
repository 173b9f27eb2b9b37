"""Databases of their own for tests of the schema and the store, in the stack's PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from cli.migrate import migrate_postgres
from contracts.naming import Role
from runtime.endpoints import PostgresEndpoint

Connection = psycopg2.extensions.connection


@contextmanager
def scratch_database(endpoint: PostgresEndpoint) -> Iterator[PostgresEndpoint]:
    """An empty database of the owner's; dropped at the end with what is connected to it."""
    name = f"scratch_{secrets.token_hex(4)}"
    run_as(endpoint, Role.POSTGRES_ADMIN, f"CREATE DATABASE {name} OWNER {Role.OWNER}", "postgres")
    scratch = endpoint.model_copy(update={"postgres_database": name})
    try:
        yield scratch
    finally:
        drop = f"DROP DATABASE {name} WITH (FORCE)"
        run_as(endpoint, Role.POSTGRES_ADMIN, drop, "postgres")


@contextmanager
def migrated_database(endpoint: PostgresEndpoint) -> Iterator[PostgresEndpoint]:
    """A database with the newest schema."""
    with scratch_database(endpoint) as scratch:
        migrate_postgres(scratch, lambda _line: None)
        yield scratch


def connect(endpoint: PostgresEndpoint, role: str = Role.OWNER) -> Connection:
    """A connection that commits each statement."""
    dsn: dict[str, Any] = endpoint.postgres_dsn(role)
    connection: Connection = psycopg2.connect(**dsn)
    connection.autocommit = True
    return connection


def run_as(endpoint: PostgresEndpoint, role: str, sql: str, database: str | None = None) -> None:
    """Run one statement in a connection of its own."""
    if database is not None:
        endpoint = endpoint.model_copy(update={"postgres_database": database})
    connection = connect(endpoint, role)
    try:
        connection.cursor().execute(sql)
    finally:
        connection.close()


def fetch(connection: Connection, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


def value(connection: Connection, sql: str, *parameters: object) -> Any:
    """The first column of the first row."""
    return fetch(connection, sql, *parameters)[0][0]


def empty(connection: Connection) -> None:
    """Leave no row in any table that a store writes."""
    tables = "instruments, listings, prices, depth, trades, klines, ticker_24h, "
    tables += "ticker_24h_history, movers_24h, coin_markets, gaps, certificates, events, outbox, "
    tables += "quarantine, heartbeat, backfills, dropped_days"
    connection.cursor().execute(f"SET LOCAL tidemark.allow_truncate = 'on'; TRUNCATE {tables}")
