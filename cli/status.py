"""`tidemark status`: is the pipeline well, and if not, what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Container
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live

from cdc.generation import current
from cli import status_page
from ingest.settings import IngestSettings
from page.settings import PageSettings
from stack import launcher
from stack.settings import StackSettings
from stack.supervision import ServiceState
from watch.health import Finding, findings
from watch.probes import Exchange
from watch.settings import WatchSettings
from watch.snapshot import Snapshot, Unread, take

AGAIN_S = 2.0
PIPED_WIDTH = 120  # columns where there is no terminal to ask


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the page shows. `services` is empty where no supervisor of ours runs them."""

    snapshot: Snapshot
    services: list[ServiceState]
    findings: list[Finding]


def look() -> Status:
    """One look at everything."""
    settings = current(WatchSettings())
    services = launcher.states(StackSettings())
    seen = take(settings)
    if not any(service.running for service in services):
        if _silent(seen):
            nothing = Finding("tidemark", "nothing runs", "`tidemark up`")
            return Status(snapshot=seen, services=services, findings=[nothing])
        services = []  # what answers runs elsewhere: in containers, or on other machines
    simulated = IngestSettings().exchange == "simulator" or _venue(seen) == "simulator"
    idle = set() if simulated else {"simulator"}
    if not PageSettings().page_port:
        idle.add("page")
    wrong = [*_stopped(services, idle), *findings(seen, settings)]
    return Status(snapshot=seen, services=services, findings=wrong)


def _venue(seen: Snapshot) -> str | None:
    return seen.exchange.venue if isinstance(seen.exchange, Exchange) else None


def _silent(seen: Snapshot) -> bool:
    parts = (seen.postgres, seen.connect, seen.kafka, seen.cassandra)
    return all(isinstance(part, Unread) for part in parts)


def _stopped(services: list[ServiceState], idle: Container[str]) -> list[Finding]:
    """A finding for each program that should run and does not; the idle ones need not."""
    return [
        Finding(
            service.name,
            f"it is {service.state}" + (f": {service.detail}" if service.detail else ""),
            f"`tidemark logs {service.name}`, then `tidemark up`",
        )
        for service in services
        if not service.running and service.name not in idle
    ]


def as_json(status: Status) -> str:
    """The same for machines; times in ISO 8601, units in the names."""

    def plain(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps({"healthy": not status.findings, **asdict(status)}, default=plain, indent=2)


@click.command()
@click.option("--json", "machine", is_flag=True, help="One JSON object for machines.")
@click.option("--watch", "again", is_flag=True, help="Show it again every two seconds.")
def status(*, machine: bool, again: bool) -> None:
    """Health, lag, rows on both sides, latency of each stage. Exit 1 if one is unhealthy."""
    if machine and again:
        raise click.UsageError("--json and --watch do not go together; call --json in a loop")
    if again:
        _show_again_and_again()
        return
    seen = look()
    if machine:
        click.echo(as_json(seen))
    else:
        _console().print(page_of(seen))
    if seen.findings:
        raise SystemExit(1)


def page_of(seen: Status) -> Group:
    return status_page.render(seen.snapshot, seen.services, seen.findings)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def _show_again_and_again() -> None:
    console = _console()
    with Live(page_of(look()), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(AGAIN_S)
            live.update(page_of(look()), refresh=True)
