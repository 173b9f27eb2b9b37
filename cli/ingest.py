"""`tidemark ingest`: poll the exchange into PostgreSQL."""

from __future__ import annotations

import json

import click
import msgspec

from ingest import service
from ingest.errors import BadRange, IngestError, ScheduleTooHeavy, UnknownSymbol
from ingest.settings import IngestSettings
from runtime import logs
from runtime.shutdown import Shutdown


class Failed(click.ClickException):
    """Ingestion ended with an error; exit code 1."""


class Misused(Failed):
    """What was asked for makes no sense; exit code 2."""

    exit_code = 2


def failure(error: IngestError) -> Failed:
    """An error of ingestion as one line with its exit code."""
    misuse = isinstance(error, UnknownSymbol | ScheduleTooHeavy | BadRange)
    return (Misused if misuse else Failed)(str(error))


@click.command()
@click.option("--once", is_flag=True, help="One round of every poll, then end; 1 if any failed")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON object")
def ingest(*, once: bool, as_json: bool) -> None:
    """Poll the exchange into PostgreSQL.

    What is polled, how often and from where is said by TIDEMARK_* variables; see .env.sample.
    """
    logs.configure("ingest")
    settings = IngestSettings()
    try:
        summary = service.run(settings, Shutdown().install(), once=once)
    except IngestError as error:
        raise failure(error) from error
    if not once:
        return
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(summary)))
    else:
        for table, count in sorted(summary.rows.items()):
            click.echo(f"{table:20} {count:8} rows")
        click.echo(f"{'quarantine':20} {summary.quarantined:8} rows")
    if summary.failed:
        raise Failed("\n".join(summary.failed))
