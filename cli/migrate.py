"""`tidemark migrate`: PostgreSQL's schema by alembic, then Cassandra's by numbered CQL files."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from runtime.endpoints import PostgresEndpoint
from runtime.settings import PROJECT_ROOT

ALEMBIC_INI = PROJECT_ROOT / "migrations" / "alembic.ini"
HEAD = "head"

Progress = Callable[[str], None]


class MigrationFailed(click.ClickException):
    """A schema that could not be brought to where it should be; nothing of it was changed."""


def run(progress: Progress, to: str = HEAD) -> None:
    """Bring both schemas up to date with the settings of the environment; harmless when they are.

    `progress` gets one line per step. Raises MigrationFailed, SettingsError, or an error of cdc.
    """
    migrate_postgres(PostgresEndpoint(), progress, to)
    migrate_cassandra(progress)


def migrate_postgres(settings: PostgresEndpoint, progress: Progress, to: str = HEAD) -> None:
    """Upgrade PostgreSQL to a revision, all or nothing; never back, which would drop data."""
    config = Config(ALEMBIC_INI)
    config.attributes["settings"] = settings
    config.attributes["on_step"] = lambda step: progress(f"postgres: {step}")
    try:
        wanted = ScriptDirectory.from_config(config).get_revision(to).revision
        command.upgrade(config, wanted)
    except CommandError as error:
        raise MigrationFailed(str(error)) from error
    at = config.attributes["at"]
    if at != wanted:
        raise MigrationFailed(
            f"PostgreSQL is at revision {at}, later than {wanted}; to go back drops what came "
            f"since: alembic -c migrations/alembic.ini downgrade {wanted}"
        )
    progress(f"postgres: at revision {at}")


def migrate_cassandra(progress: Progress) -> None:
    """Make Cassandra's roles where it is new, then run the CQL files that it has not seen."""
    from cdc import keyspace  # noqa: PLC0415 - the driver is slow to import, `--help` needs none
    from cdc.errors import CdcError  # noqa: PLC0415 - likewise
    from cdc.settings import CdcSettings  # noqa: PLC0415 - likewise

    settings = CdcSettings()
    try:
        keyspace.bootstrap(settings)
        progress("cassandra: roles are there")
        for script in keyspace.migrate(settings):
            progress(f"cassandra: applied {script}")
    except CdcError as error:
        raise MigrationFailed(str(error)) from error
    progress(f"cassandra: keyspace {settings.cassandra_keyspace} is up to date")


@click.command()
@click.option("--to", default=HEAD, show_default=True, help="PostgreSQL's revision")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def migrate(to: str, *, as_json: bool) -> None:
    """Bring PostgreSQL's and Cassandra's schema up to date; harmless when they are."""
    steps: list[str] = []
    run(steps.append if as_json else click.echo, to)
    if as_json:
        click.echo(json.dumps({"steps": steps}))
