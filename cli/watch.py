"""`tidemark watch`: keep the pipeline healthy, as a process."""

from __future__ import annotations

import click

from runtime import logs
from runtime.shutdown import Shutdown
from watch import service
from watch.settings import WatchSettings


@click.command()
def watch() -> None:
    """Restart failed tasks, make partitions ahead, raise and clear alarms. Ends on SIGTERM."""
    settings = WatchSettings()
    logs.configure("watch")
    service.run(settings, Shutdown().install())
