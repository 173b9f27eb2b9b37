"""The schema goes up and down on data, alone or twice at once, and is what the tables say."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, create_engine

from cli.migrate import ALEMBIC_INI, MigrationFailed, migrate_postgres
from contracts.naming import PUBLICATION, Role
from ingest import tables
from ingest.batch import Batch
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.conftest import Stack
from tests.integration.scratch import connect, fetch, run_as, scratch_database, value
from tests.market_rows import depth, instrument, kline, price, ticker, trade

pytestmark = pytest.mark.integration

REVISIONS = [each.revision for each in ScriptDirectory(str(ALEMBIC_INI.parent)).walk_revisions()]
HEAD = REVISIONS[0]

OWN_TABLES = """
SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
  AND relname <> 'alembic_version'
"""

OWN_FUNCTIONS = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"

# What a table is made of, whatever its schema is called.
CATALOGUE = """
SELECT c.relname, 'column', a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull::text, a.attidentity::text, coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT c.relname, 'constraint', k.conname, pg_get_constraintdef(k.oid), '', '', ''
FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype <> 'n'
WHERE c.relnamespace = %s::regnamespace AND NOT c.relispartition
UNION ALL
SELECT c.relname, 'partition', coalesce(pg_get_partkeydef(c.oid), ''), '', '', '', ''
FROM pg_class c
WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT c.relname, 'index', i.relname,
       replace(pg_get_indexdef(i.oid), quote_ident(%s) || '.', ''), '', '', ''
FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = %s::regnamespace AND NOT c.relispartition
"""


@pytest.fixture
def database(postgres: Stack) -> Iterator[PostgresEndpoint]:
    with scratch_database(postgres.settings) as scratch:
        yield scratch


def alembic(endpoint: PostgresEndpoint) -> Config:
    config = Config(ALEMBIC_INI)
    config.attributes["settings"] = endpoint
    return config


def upgrade(endpoint: PostgresEndpoint) -> list[str]:
    steps: list[str] = []
    migrate_postgres(endpoint, steps.append)
    return steps


def fill(endpoint: PostgresEndpoint) -> None:
    now = datetime.now(UTC)
    store = Store(endpoint)
    store.write(
        Batch(
            instruments=[instrument()],
            prices=[price("1.5", observed_at=now)],
            depth=[depth(observed_at=now)],
            trades=[trade(traded_at=now)],
            klines=[kline(minute) for minute in range(100)],
            tickers=[ticker(as_of=now)],
        )
    )
    store.beat("ingest")
    store.close()


def engine_url(endpoint: PostgresEndpoint) -> URL:
    dsn: dict[str, Any] = endpoint.postgres_dsn(Role.OWNER)
    return URL.create(
        "postgresql+psycopg2", dsn["user"], dsn["password"], dsn["host"], dsn["port"], dsn["dbname"]
    )


def test_schema_goes_up_down_and_up_again_on_data(database: PostgresEndpoint) -> None:
    """With rows, partitions, the publication and a slot that Debezium left behind."""
    upgrade(database)
    fill(database)
    with closing(connect(database, Role.POSTGRES_ADMIN)) as admin:
        fetch(admin, "SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
        try:
            command.downgrade(alembic(database), "base")
            assert value(admin, OWN_TABLES) == 0
            assert value(admin, "SELECT count(*) FROM pg_publication") == 0
            assert value(admin, OWN_FUNCTIONS) == 0
            assert upgrade(database)[-1] == f"postgres: at revision {HEAD}"
            fill(database)
            assert value(admin, "SELECT count(*) FROM trades") == 1
        finally:
            fetch(admin, "SELECT pg_drop_replication_slot('left_behind')")


def test_each_revision_goes_back_and_forth_alone(database: PostgresEndpoint) -> None:
    """A step back leaves nothing that stops the same step forward."""
    upgrade(database)
    fill(database)
    for below in REVISIONS[1:]:
        command.downgrade(alembic(database), below)
        command.upgrade(alembic(database), "head")
    with closing(connect(database)) as owner:
        assert value(owner, "SELECT count(*) FROM klines") == 100
        assert value(owner, "SELECT relreplident FROM pg_class WHERE relname = 'depth'") == "f"


def test_second_run_changes_nothing(database: PostgresEndpoint) -> None:
    """One line a step when it is new, one line in all when it is not."""
    assert [line.split(":")[1].strip() for line in upgrade(database)] == [
        *(f"upgraded to {revision}" for revision in reversed(REVISIONS)),
        f"at revision {HEAD}",
    ]
    assert upgrade(database) == [f"postgres: at revision {HEAD}"]


def test_two_at_once_run_one_after_the_other(database: PostgresEndpoint) -> None:
    """`up` twice, or `up` beside `migrate`: both end well."""
    failures: list[BaseException] = []

    def migrate() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(ALEMBIC_INI), "upgrade", "head"],
            env=process_environment(database),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            failures.append(AssertionError(done.stderr))

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def process_environment(endpoint: PostgresEndpoint) -> dict[str, str]:
    return os.environ | {
        "TIDEMARK_ENV_FILE": os.devnull,
        "TIDEMARK_STATE_DIR": str(endpoint.state_dir),
        "TIDEMARK_SECRETS_DIR": str(endpoint.secret_path(Role.OWNER).parent),
        "TIDEMARK_POSTGRES_PORT": str(endpoint.postgres_port),
        "TIDEMARK_POSTGRES_DATABASE": endpoint.postgres_database,
    }


def test_alembic_works_alone_from_any_folder(database: PostgresEndpoint) -> None:
    """`alembic -c migrations/alembic.ini upgrade head`, and `check` finds nothing to do."""
    for arguments in (["upgrade", "head"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(ALEMBIC_INI), *arguments],
            cwd="/",
            env=process_environment(database),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    with closing(connect(database)) as owner:
        assert value(owner, "SELECT version_num FROM alembic_version") == HEAD


def test_autogenerate_finds_no_difference(database: PostgresEndpoint) -> None:
    """`ingest.tables` says what the revisions made; partitions are no tables of their own."""
    upgrade(database)
    engine = create_engine(engine_url(database))
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _: kind != "table" or name in tables.metadata.tables,
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_catalogue_is_the_one_that_the_tables_would_make(database: PostgresEndpoint) -> None:
    """Columns, types, defaults, checks, keys, indexes and partition keys, as PostgreSQL has them.

    Autogenerate compares neither checks nor partition keys.
    """
    upgrade(database)
    engine = create_engine(engine_url(database))
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE SCHEMA twin")
        connection.exec_driver_sql("SET search_path = twin")
        tables.metadata.create_all(connection)
        made, declared = (
            {tuple(row) for row in connection.exec_driver_sql(CATALOGUE, (schema,) * 5)}
            for schema in ("public", "twin")
        )
        connection.rollback()
    engine.dispose()
    migrated = {row for row in made if row[0] != "alembic_version"}
    assert migrated == declared


def test_publication_carries_exactly_the_published_tables(database: PostgresEndpoint) -> None:
    """Roots only, all verbs, through the root's name."""
    upgrade(database)
    with closing(connect(database)) as owner:
        names = fetch(owner, "SELECT tablename FROM pg_publication_tables")
        assert {name for (name,) in names} == {table.name for table in tables.PUBLISHED}
        flags = "SELECT pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate, puballtables "
        sql = flags + "FROM pg_publication WHERE pubname = %s"
        assert fetch(owner, sql, PUBLICATION) == [(True, True, True, True, True, False)]


def test_identity_is_full_where_values_are_large(database: PostgresEndpoint) -> None:
    """On the tables and on each of their partitions, also one that is made later."""
    upgrade(database)
    with closing(connect(database)) as owner:
        fetch(owner, "SELECT ensure_partition('depth', '2025-03-01')")
        rows = fetch(
            owner,
            "SELECT coalesce(p.relname, c.relname), c.relreplident FROM pg_class c "
            "LEFT JOIN pg_inherits i ON i.inhrelid = c.oid "
            "LEFT JOIN pg_class p ON p.oid = i.inhparent "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
        )
    full = {table.name for table in tables.FULL_IDENTITY}
    assert {name for name, identity in rows if identity == "f"} == full
    assert {name for name, identity in rows if identity != "f"}.isdisjoint(full)
    assert sum(name == "depth" for name, _ in rows) > 8


def test_going_back_is_refused_by_the_command(database: PostgresEndpoint) -> None:
    """`tidemark migrate --to 0002` on a newer schema says how, and changes nothing."""
    upgrade(database)
    with pytest.raises(MigrationFailed, match=r"later than 0002.*downgrade 0002"):
        migrate_postgres(database, lambda _line: None, "0002")


def test_unknown_revision_is_one_clear_line(database: PostgresEndpoint) -> None:
    """No traceback for a typing error."""
    with pytest.raises(MigrationFailed, match="nonsense"):
        migrate_postgres(database, lambda _line: None, "nonsense")


def test_missing_roles_are_named(database: PostgresEndpoint) -> None:
    """On a cluster that `tidemark up` did not make."""
    script = ScriptDirectory.from_config(alembic(database)).get_revision("0004")
    assert script is not None
    asked = script.module.ROLES_EXIST.replace("tidemark_watch", "tidemark_nobody")
    with pytest.raises(psycopg2.errors.RaiseException, match="roles are missing: tidemark_nobody"):
        run_as(database, Role.OWNER, asked)


def test_wrong_password_is_one_clear_line(
    database: PostgresEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The message names the server; no statement, no secret, no traceback."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / f"{Role.OWNER}.password").write_text("not-it")
    wrong = database.model_copy(update={"secrets_dir": folder})
    with pytest.raises(MigrationFailed, match="password authentication failed") as failure:
        upgrade(wrong)
    assert "not-it" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_migration_behind_a_lock_gives_up(database: PostgresEndpoint) -> None:
    """It fails after a while, rather than make every writer queue behind it; nothing is changed."""
    upgrade(database)
    command.downgrade(alembic(database), "0001")
    config = alembic(database)
    config.attributes["lock_timeout_s"] = 1
    with closing(connect(database)) as reader:
        reader.autocommit = False
        fetch(reader, "SELECT * FROM gaps")
        with pytest.raises(CommandError, match="lock timeout"):
            command.upgrade(config, "head")
        assert value(reader, "SELECT version_num FROM alembic_version") == "0001"


def test_owner_needs_no_superuser(database: PostgresEndpoint) -> None:
    """The migrating role can neither make roles nor databases."""
    upgrade(database)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_as(database, Role.OWNER, "CREATE ROLE tidemark_intruder")
