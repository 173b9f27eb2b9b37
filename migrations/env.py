"""How alembic reaches PostgreSQL, and what it compares the tables with.

The settings are the process's own, or `config.attributes["settings"]` where `tidemark migrate` and
tests hand some over. All pending revisions run in one transaction: they are there together, or not.
"""

from __future__ import annotations

import logging
import re

from alembic import context
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from contracts.naming import Role
from ingest.tables import metadata
from runtime.endpoints import PostgresEndpoint

PARTITION = re.compile(r"_p\d{8}$")
ONE_AT_A_TIME = 7_146_433  # advisory lock: two migrations at once run one after the other
LOCK_TIMEOUT_S = 20  # rather fail than make every writer queue behind us


def settings() -> PostgresEndpoint:
    """Where PostgreSQL is: handed over, or from the environment."""
    given = context.config.attributes.get("settings")
    return given if isinstance(given, PostgresEndpoint) else PostgresEndpoint()


def address() -> URL:
    """SQLAlchemy's form of the owner's connection."""
    dsn = settings().postgres_dsn(Role.OWNER)
    return URL.create(
        "postgresql+psycopg2",
        username=str(dsn.pop("user")),
        password=str(dsn.pop("password")),
        host=str(dsn.pop("host")),
        port=int(str(dsn.pop("port"))),
        database=str(dsn.pop("dbname")),
        query={name: str(value) for name, value in dsn.items()},
    )


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Whether autogenerate looks at it: partitions are made by function, not by revision."""
    return not (kind == "table" and name is not None and PARTITION.search(name))


OPTIONS = {
    "target_metadata": metadata,
    "include_name": is_ours,
    "compare_type": True,
    "compare_server_default": True,
}


def run_offline() -> None:
    """Print the SQL."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the revisions, alone, in one transaction."""
    engine = create_engine(address(), poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, **OPTIONS)
        with context.begin_transaction():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
            context.run_migrations()


if "settings" not in context.config.attributes:  # alembic was typed by a person
    logging.basicConfig(level=logging.INFO, format="%(levelname)-5s %(message)s")

if context.is_offline_mode():
    run_offline()
else:
    run_online()
