"""`tidemark watch`: keep the pipeline healthy, as a process."""

from __future__ import annotations

import click

from runtime import logs
from runtime.shutdown import Shutdown, leave
from watch import service
from watch.settings import WatchSettings

END_WITHIN_S = 9.5  # Docker kills after 10, the supervisor after 15


@click.command()
def watch() -> None:
    """Restart failed tasks, make partitions ahead, raise and clear alarms. Ends on SIGTERM."""
    settings = WatchSettings()
    logs.configure("watch")
    service.run(settings, Shutdown().install(END_WITHIN_S))
    leave()
