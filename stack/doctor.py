"""What would stop `up`, found before anything starts; each finding with its remedy in a line."""

from __future__ import annotations

import errno
import os
import platform
import re
import resource
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from runtime.settings import PROJECT_ROOT
from stack import accounts, artifacts, java, processes
from stack.errors import PrivilegeError
from stack.services import grafana, postgres
from stack.settings import StackSettings, postgres_architecture
from stack.supervision import Supervisor

MB = 1024 * 1024
DISK_MB = 3000  # a day of defaults, with room for the WAL that a stopped sink keeps
ARTIFACTS_MB = 700
_OPEN_FILES = 8192
# Anything else has a meaning to somebody who reads the path: `:` splits a class path, `,` a list of
# Kafka's or Log4j's, `=` an agent's options; `#?%` are parts of a file:// URL, `%` the supervisor's
# too; `[*?` are its patterns, `;` and quotes its syntax; `$` and `\` are of .properties files,
# which are Latin-1 besides, and Java reads names in the locale's encoding: none but ASCII is safe.
_AWKWARD = re.compile(r"[^A-Za-z0-9._/@+~ -]")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`stops`: `up` cannot work so; otherwise it can, with a disadvantage."""

    subject: str
    problem: str
    remedy: str
    stops: bool = True

    def __str__(self) -> str:
        mark = "stops" if self.stops else "note"
        return f"{mark}: {self.subject}: {self.problem}; {self.remedy}"


def check(
    settings: StackSettings,
    more_ports: Mapping[str, int] | None = None,
    metrics_ports: Mapping[str, int] | None = None,
) -> list[Finding]:
    """Everything found, in the order in which it would hurt. An empty list means: go.

    Ports by name: `more_ports` are needed beside the services' own; without one of the
    `metrics_ports` a process runs, but cannot be measured. Data flows without Grafana's, too.
    """
    own_pids = _own_pids(settings)
    running = Supervisor(settings).pid() is not None
    findings = [
        *platform_findings(sys.version_info[:2], postgres_architecture(), platform.libc_ver()[0]),
        *java_findings(java.find()),
        *path_findings(settings),
        *folder_findings(settings),
        *_maven(settings),
        *_postgres(settings),
        *port_findings({**settings.ports, **(more_ports or {})}, own_pids),
        *port_findings({**(metrics_ports or {}), **_grafana(settings)}, own_pids, stops=False),
        *_open_files(),
    ]
    if not running:  # what runs has its memory already
        findings += memory_findings(available_mb(), needed_mb(settings))
    return findings


def platform_findings(
    python: tuple[int, ...], architecture: str | None, libc: str
) -> Iterator[Finding]:
    if python < (3, 11):
        yield Finding(
            subject="python",
            problem=f"Python {python[0]}.{python[1]} is too old; 3.11 or later is needed",
            remedy="install python3.11, remove .venv, then `make setup PYTHON=python3.11`",
        )
    if architecture is None:
        yield Finding(
            subject="architecture",
            problem=f"there is no PostgreSQL artifact for {platform.machine()}",
            remedy="use x86-64 or arm64, or STACK=docker",
        )
    if libc != "glibc":
        yield Finding(
            subject="libc",
            problem="this system is not built on glibc; PostgreSQL's artifact is",
            remedy="use a glibc system (Debian, Ubuntu, Fedora, …), or STACK=docker",
        )


def java_findings(program: str | None) -> Iterator[Finding]:
    remedy = "apt install openjdk-17-jre-headless, or point JAVA_HOME to Java 17 or later"
    if program is None:
        yield Finding(subject="java", problem="there is no Java", remedy=remedy)
        return
    version = java.version(program)
    if version is None or version < java.MINIMUM:
        told = f"is Java {version}" if version else "does not tell its version"
        yield Finding(
            subject="java", problem=f"{program} {told}; {java.MINIMUM} is needed", remedy=remedy
        )


def path_findings(settings: StackSettings, project: Path = PROJECT_ROOT) -> Iterator[Finding]:
    """Folders whose names Java, Kafka or the supervisor would misread; each cause once."""
    moved = "set {} to a folder whose path has none of them"
    remedies = {
        project: "move the project to a folder whose path has none of them",
        settings.state_dir: moved.format("TIDEMARK_STATE_DIR"),
        settings.artifacts: moved.format("TIDEMARK_ARTIFACTS_DIR"),
        settings.secrets: moved.format("TIDEMARK_SECRETS_DIR"),
    }
    told: list[Path] = []
    for folder, remedy in remedies.items():
        awkward = sorted(set(_AWKWARD.findall(str(folder))))
        if awkward and not any(folder.is_relative_to(other) for other in told):
            told.append(folder)
            yield Finding(
                subject="folder",
                problem=f"{folder} has {' '.join(map(repr, awkward))} in its path",
                remedy=remedy,
            )


def folder_findings(settings: StackSettings) -> Iterator[Finding]:
    """State and artifacts folder: writable, room, programs may run there."""
    needs = {settings.state_dir: DISK_MB}
    if not artifacts.present(settings.artifacts):
        needs[settings.artifacts] = ARTIFACTS_MB
    for folder, needed in needs.items():
        place = _existing(folder)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            yield Finding(
                subject="folder",
                problem=f"{folder} cannot be written",
                remedy=f"give {place} to this user, or set TIDEMARK_STATE_DIR",
            )
            continue
        if (free := shutil.disk_usage(place).free // MB) < needed:
            yield Finding(
                subject="disk",
                problem=f"{free} MB are free at {place}; {needed} MB are needed",
                remedy="make room, or set TIDEMARK_STATE_DIR to a larger disk",
            )
        if os.statvfs(place).f_flag & os.ST_NOEXEC:
            yield Finding(
                subject="folder",
                problem=f"{place} is mounted noexec, so PostgreSQL cannot run from it",
                remedy="set TIDEMARK_ARTIFACTS_DIR to a folder from which programs may run",
                stops=folder == settings.artifacts,
            )


def port_findings(
    ports: Mapping[str, int], own_pids: set[int], *, stops: bool = True
) -> Iterator[Finding]:
    """Ports that somebody else holds, and who; our own processes may hold theirs."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                continue
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                reason = error.strerror
        holder = _holder(port) if taken else None
        if holder is not None and holder.pid in own_pids:
            continue
        variable = f"TIDEMARK_{name.replace(' ', '_').upper()}"
        variable += {"kafka": "_BOOTSTRAP", "connect": "_URL", "simulator": "_URL"}.get(
            name, "_PORT"
        )
        who = f" by {holder.name()} (pid {holder.pid})" if holder else ""
        yield Finding(
            subject="port",
            problem=f"port {port} of {name} is taken{who}" if taken else f"port {port}: {reason}",
            remedy=f"end that process, or set {variable} to another port",
            stops=stops,
        )


def memory_findings(available: int, needed: int) -> Iterator[Finding]:
    """Both in MB."""
    if available < needed:
        yield Finding(
            subject="memory",
            problem=f"{available} MB of memory are available; the services need {needed} MB",
            remedy="end other programs, or lower TIDEMARK_CASSANDRA_HEAP_MB (at least 512)",
        )


def needed_mb(settings: StackSettings) -> int:
    """Heaps, a third more for what a Java process needs beside its heap, PostgreSQL, our own."""
    heaps = settings.kafka_heap_mb + settings.connect_heap_mb + settings.cassandra_heap_mb
    return heaps * 4 // 3 + settings.postgres_shared_buffers_mb + 650


def available_mb() -> int:
    """What the machine has left, or the container's limit leaves."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        available = min(available, int(limit) - int(used))
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        pass
    return available // MB


def _maven(settings: StackSettings) -> Iterator[Finding]:
    if shutil.which("mvn") is None and not artifacts.present(settings.artifacts):
        yield Finding(
            subject="maven",
            problem="there is no Maven (mvn), and the services are not downloaded yet",
            remedy="apt install maven, or set TIDEMARK_ARTIFACTS_DIR to where they are",
        )


def _postgres(settings: StackSettings) -> Iterator[Finding]:
    try:
        accounts.postgres_user(settings.postgres_os_user)
    except PrivilegeError as error:
        yield Finding(
            subject="user", problem=str(error), remedy="useradd --system tidemark-postgres"
        )
        return
    version = postgres.cluster(settings) / "PG_VERSION"
    if version.is_file() and (made_by := version.read_text().strip()) != postgres.MAJOR:
        yield Finding(
            subject="data",
            problem=f"{version.parent} was made by PostgreSQL {made_by}, this is {postgres.MAJOR}",
            remedy="set TIDEMARK_STATE_DIR to another folder, or `tidemark down --delete-data`",
        )


def _grafana(settings: StackSettings) -> dict[str, int]:
    """Its port, where there is one to be started."""
    wanted = settings.grafana_port and isinstance(grafana.find(), grafana.Installed)
    return {grafana.NAME: settings.grafana_port} if wanted else {}


def _open_files() -> Iterator[Finding]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        yield Finding(
            subject="open files",
            problem=f"a process may open {hard} files only; under load the services need more",
            remedy=f"ulimit -Hn {_OPEN_FILES} before `make up`",
            stops=False,
        )


def _own_pids(settings: StackSettings) -> set[int]:
    return {process.pid for process in processes.belonging(settings)}


def _holder(port: int) -> psutil.Process | None:
    """The process that listens on a port; None where the system does not tell us."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.pid and connection.laddr[1:] == (port,):
                return psutil.Process(connection.pid)
    except psutil.Error:
        pass
    return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())
