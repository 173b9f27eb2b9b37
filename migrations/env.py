"""How alembic reaches PostgreSQL, and what it compares the tables with.

All pending revisions run in one transaction: they are there together, or not at all. What
`tidemark migrate` and tests hand over in `config.attributes`: `settings`, a PostgresEndpoint
(default: the process's own), `lock_timeout_s`, and `on_step`, called with the document line of each
revision that ran. `at` is handed back: the revision that the database now has.
"""

from __future__ import annotations

import logging
import re

from alembic import context
from alembic.runtime.migration import MigrationInfo
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
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


def tell(*, step: MigrationInfo, **_: object) -> None:
    """Hand the first line of a revision that ran to whoever wants to print it."""
    on_step = context.config.attributes.get("on_step")
    if on_step is not None:
        revision = step.up_revision
        verb = "upgraded to" if step.is_upgrade else "went back from"
        on_step(f"{verb} {revision.revision}: {revision.doc}")


OPTIONS = {
    "target_metadata": metadata,
    "include_name": is_ours,
    "compare_type": True,
    "compare_server_default": True,
    "on_version_apply": tell,
}


def run_offline() -> None:
    """Print the SQL."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: Connection) -> None:
    """Run the revisions, alone, in one transaction."""
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})"))
        timeout_s = int(context.config.attributes.get("lock_timeout_s", LOCK_TIMEOUT_S))
        connection.execute(text(f"SET LOCAL lock_timeout = '{timeout_s}s'"))
        context.run_migrations()
        context.config.attributes["at"] = context.get_context().get_current_revision()


def run_online() -> None:
    """Connect and run; a failure is one message without statement or traceback."""
    where = settings()
    name = f"{where.postgres_host}:{where.postgres_port}/{where.postgres_database}"
    try:
        with create_engine(address(), poolclass=NullPool).connect() as connection:
            run_on(connection)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise CommandError(f"PostgreSQL at {name}: {reason}") from error


if "settings" not in context.config.attributes:  # alembic was typed by a person
    logging.basicConfig(level=logging.INFO, format="%(levelname)-5s %(message)s")

if context.is_offline_mode():
    run_offline()
else:
    run_online()
