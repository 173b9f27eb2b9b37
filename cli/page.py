"""`tidemark page`: market and pipeline in a browser, as a process."""

from __future__ import annotations

import click

from page import service
from page.settings import PageSettings
from runtime import logs


@click.command()
def page() -> None:
    """Serve the page on loopback. Reads Cassandra alone. Ends on SIGTERM."""
    settings = PageSettings()
    if not settings.page_port:
        raise click.ClickException("TIDEMARK_PAGE_PORT is 0, which means no page; give it a port")
    logs.configure("page")
    service.run(settings)
