"""`tidemark sink`: replicate the log into Cassandra until told to end."""

from __future__ import annotations

import click

from runtime import logs
from runtime.shutdown import Shutdown


@click.command()
def sink() -> None:
    """Replicate the log into Cassandra; SIGTERM ends it cleanly within ten seconds."""
    from cdc import pipeline  # noqa: PLC0415 - the drivers are slow to import, `--help` needs none
    from cdc.errors import CdcError  # noqa: PLC0415 - likewise
    from cdc.settings import CdcSettings  # noqa: PLC0415 - likewise

    settings = CdcSettings()
    logs.configure("sink")
    try:
        pipeline.run(settings, Shutdown().install())
    except CdcError as error:
        raise click.ClickException(str(error)) from error
