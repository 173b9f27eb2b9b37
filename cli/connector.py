"""`tidemark connector apply|status|restart`: the Debezium connector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from cdc.connector.client import ConnectClient, ConnectorStatus
from cdc.connector.registration import apply as apply_connector
from cdc.errors import CdcError
from cdc.generation import current
from cdc.settings import CdcSettings


@contextmanager
def _one_line() -> Iterator[None]:
    """Errors of the stage become one line and exit code 1."""
    try:
        yield
    except CdcError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def connector() -> None:
    """Apply or inspect the Debezium connector of this generation."""


@connector.command()
@click.option("--wait", default=60.0, show_default=True, help="seconds until it must run")
def apply(wait: float) -> None:
    """Check that replication may start, then make the connector run; harmless when it does."""
    with _one_line():
        applied = apply_connector(CdcSettings(), wait)
    if applied.topics:
        click.echo(f"topics created: {len(applied.topics)}")
    click.echo(f"connector {applied.status.name}: {applied.change}, {_words(applied.status)}")
    for complaint in applied.complaints:
        click.echo(f"but {complaint}", err=True)


@connector.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def status(*, as_json: bool) -> None:
    """State of the connector and of its tasks; exit 1 unless all run."""
    with _one_line(), ConnectClient(current(CdcSettings())) as connect:
        found = connect.status()
        if found is None:
            raise click.ClickException(
                f"there is no connector {connect.name}; `tidemark connector apply` makes it"
            )
    if as_json:
        click.echo(json.dumps({**asdict(found), "running": found.running}))
    else:
        click.echo(f"connector {found.name}: {_words(found)}")
    if not found.running:
        raise click.exceptions.Exit(1)


@connector.command()
def restart() -> None:
    """Restart whatever has failed, connector or tasks."""
    with _one_line(), ConnectClient(current(CdcSettings())) as connect:
        if connect.status() is None:
            raise click.ClickException(f"there is no connector {connect.name}")
        connect.restart()
    click.echo(f"connector {connect.name}: failed parts are restarted")


def _words(found: ConnectorStatus) -> str:
    """State in a line, each task with the reason of its failure."""
    tasks = [
        f"task {task.id} {task.state}" + (f" ({task.reason})" if task.reason else "")
        for task in found.tasks
    ] or ["no task"]
    return ", ".join([found.state, *tasks, *([found.reason] if found.reason else [])])
