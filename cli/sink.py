"""`tidemark sink`: replicate the log into Cassandra until told to end."""

from __future__ import annotations

import click

from runtime import logs
from runtime.shutdown import Shutdown, leave


@click.command()
def sink() -> None:
    """Replicate the log into Cassandra; SIGTERM ends it cleanly within ten seconds."""
    from cdc.errors import CdcError  # noqa: PLC0415 - drivers import slowly, `--help` needs none
    from cdc.settings import CdcSettings  # noqa: PLC0415 - likewise
    from cdc.sink import service  # noqa: PLC0415 - likewise

    settings = CdcSettings()
    logs.configure("sink")
    try:
        service.run(settings, Shutdown().install(service.END_WITHIN_S))
    except CdcError as error:
        raise click.ClickException(str(error)) from error
    leave()
