"""`tidemark up`, `down`, `logs`, `doctor`: the life of everything that runs on this machine."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import click

from cdc.connector.client import ConnectClient
from cdc.errors import CdcError
from cdc.generation import current
from cdc.settings import CdcSettings
from cli import plan
from cli.ingest import failure
from cli.startup import Stages, StartupFailed
from ingest.errors import ScheduleTooHeavy
from runtime import logs as logs_setup
from runtime.settings import SettingsError
from stack import docker, launcher
from stack import doctor as physician
from stack.errors import StackError
from stack.settings import PROCESSES, SERVICES, StackSettings

FOLLOW_S = 0.3


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Errors of the stack end the command with their message and exit code 1."""
    try:
        yield
    except StackError as error:
        raise click.ClickException(str(error)) from error


@click.command()
@click.option("--services-only", is_flag=True, help="Only the four services, none of ours.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def up(*, services_only: bool, as_json: bool) -> None:
    """Start everything and wait until data flows; harmless when it runs already."""
    _only_warnings()
    settings = StackSettings()
    with _in_one_line():
        stages = Stages(settings, say=_quiet if as_json else click.echo)
    with _in_one_line(), launcher.locked(settings, stages.say):
        try:
            stages.run(services_only=services_only)
        except ScheduleTooHeavy as error:
            raise failure(error) from error
        except StartupFailed as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(stages.report()))
    elif not services_only:
        where = f": {stages.page_url}" if stages.page_url else ""
        click.echo(
            f"Running{where}. Next: `tidemark status`, `tidemark verify`, "
            "`tidemark logs ingest --follow`, `tidemark down`"
        )


@click.command()
@click.option("--delete-data", is_flag=True, help="Also delete data, logs and passwords.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
def down(*, delete_data: bool, yes: bool) -> None:
    """Stop everything; no process is left, data stays."""
    settings = StackSettings()
    if delete_data and not yes:
        click.confirm(f"Delete all data below {settings.state_dir}?", abort=True)
    began = time.monotonic()
    with _in_one_line(), launcher.locked(settings, click.echo):
        way = docker.choose(settings).name  # first: an engine that does not answer stops nothing
        _stop_connector()
        launcher.stop(settings, click.echo)
        if way == "docker":
            volumes = ["--volumes"] if delete_data else []
            docker.compose(settings, *docker.profiles(), "down", *volumes)
        if delete_data:
            launcher.delete_data(settings)
    click.echo(f"Stopped after {time.monotonic() - began:.1f} s; no process is left")


@click.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice(PROCESSES), metavar="NAME...")
def restart(names: tuple[str, ...]) -> None:
    """Start processes of ours anew, with the code and the declarations of now."""
    settings = StackSettings()
    with _in_one_line(), launcher.locked(settings, click.echo):
        if docker.choose(settings).name == "docker":
            docker.compose(settings, *docker.profiles(), "restart", *names)
        else:
            launcher.restart_processes(settings, names)
    click.echo(f"{', '.join(names)}: started anew")


def _stop_connector() -> None:
    """Connect would start it again by itself, before `up` has looked whether the slot was moved.

    Where Connect does not answer there is nothing to stop.
    """
    with suppress(CdcError, SettingsError), ConnectClient(current(CdcSettings())) as connect:
        connect.stop()


@click.command()
@click.argument("name", required=False, type=click.Choice([*SERVICES, *PROCESSES, "supervisor"]))
@click.option("--follow", "-f", is_flag=True, help="Keep showing what is added.")
@click.option("--lines", "-n", default=50, show_default=True, type=click.IntRange(min=0))
def logs(name: str | None, *, follow: bool, lines: int) -> None:
    """Show the last lines of a log, or of all of them."""
    settings = StackSettings()
    with _in_one_line():
        if docker.choose(settings).name == "docker":
            options = [f"--tail={lines}", *(["--follow"] if follow else [])]
            named = [name] if name else []
            docker.compose(settings, *docker.profiles(), "logs", *options, *named)
            return
    paths = [settings.logs / f"{name}.log"] if name else sorted(settings.logs.glob("*.log"))
    existing = [path for path in paths if path.is_file()]
    if not existing:
        raise click.ClickException(
            f"there is no log in {settings.logs} yet; `tidemark up` starts what writes them"
        )
    followers = [_Follower(path, prefix="" if name else f"{path.stem}: ") for path in existing]
    for follower in followers:
        follower.show_last(lines)
    while follow:
        time.sleep(FOLLOW_S)
        for follower in followers:
            follower.show_new()


class _Follower:
    """Reads on where it stopped; starts anew when the supervisor has rotated the file."""

    def __init__(self, path: Path, prefix: str) -> None:
        self._path = path
        self._prefix = prefix
        self._file = path.open(encoding="utf-8", errors="replace")

    def show_last(self, lines: int) -> None:
        for line in deque(self._file, maxlen=lines):
            self._show(line)

    def show_new(self) -> None:
        for line in self._file:
            self._show(line)
        try:
            rotated = self._path.stat().st_ino != _inode(self._file.fileno())
        except FileNotFoundError:  # between two names
            return
        if rotated:
            self._file.close()
            self._file = self._path.open(encoding="utf-8", errors="replace")

    def _show(self, line: str) -> None:
        click.echo(f"{self._prefix}{line.rstrip()}")


def _inode(descriptor: int) -> int:
    return Path(f"/proc/self/fd/{descriptor}").stat().st_ino


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def doctor(*, as_json: bool) -> None:
    """Find what would stop `up`, each with its remedy; exit 1 when something would."""
    _only_warnings()
    settings = StackSettings()
    try:
        planned = plan.read()
    except ScheduleTooHeavy as error:
        raise failure(error) from error
    with _in_one_line():
        way = docker.choose(settings)
        found: list[physician.Finding] = []
        if way.name == "local":
            found = physician.check(settings, planned.ports, planned.metrics_ports)
    stopping = [finding for finding in found if finding.stops]
    if as_json:
        listed = [asdict(finding) for finding in found]
        click.echo(json.dumps({"ok": not stopping, "way": way.name, "findings": listed}))
    else:
        for finding in found:
            click.echo(finding)
        click.echo(
            f"{len(stopping)} findings stop `tidemark up`"
            if stopping
            else f"Nothing stops `tidemark up` ({way.name}: {way.reason})"
        )
    if stopping:
        raise SystemExit(1)


def _only_warnings() -> None:
    """The lines of `up` are its own; the driver's complaints are told by the stage that fails."""
    logs_setup.configure("up")
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


def _quiet(_line: str) -> None:
    pass
