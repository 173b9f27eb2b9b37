"""The supervisor: its configuration as text, its start, and what we ask of it over its socket.

Each program has its own file below run/programs, so that services and processes of ours can be
brought up by different commands, and only what has changed is restarted.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor import states
from supervisor.xmlrpc import Faults, SupervisorTransport

from runtime.settings import PROJECT_ROOT
from stack.errors import SupervisorError
from stack.files import tail, write
from stack.settings import StackSettings
from stack.topology import MARK, Program

_SOCKET_PATH_LIMIT = 90  # the kernel's is 107, and the supervisor adds its pid
_OPEN_FILES = 65536
_START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class ServiceState:
    """What the supervisor says of a program; `state` as it names it, in small letters."""

    name: str
    state: str
    pid: int | None = None
    uptime_s: int | None = None
    detail: str = ""

    @property
    def running(self) -> bool:
        return self.state in ("running", "starting")


def socket_path(settings: StackSettings) -> Path:
    """The control socket; in the temporary folder where the state folder's path is too long."""
    usual = settings.run / "supervisor.sock"
    if len(os.fsencode(usual)) <= _SOCKET_PATH_LIMIT:
        return usual
    return Path(tempfile.gettempdir(), f"tidemark-{os.getuid()}", f"{settings.identity}.sock")


def config_path(settings: StackSettings) -> Path:
    return settings.run / "supervisord.conf"


def render(settings: StackSettings) -> str:
    """supervisord.conf without its programs."""
    socket = socket_path(settings)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    daemon = {
        "nodaemon": "true",
        "logfile": settings.logs / "supervisor.log",
        "logfile_maxbytes": "5MB",
        "logfile_backups": 2,
        "pidfile": settings.run / "supervisor.pid",
        "childlogdir": settings.logs,
        "minfds": open_files,
        "umask": "022",
    }
    if os.geteuid() == 0:
        daemon["user"] = "root"  # said aloud, else it warns
    interface = "supervisor.rpcinterface:make_main_rpcinterface"
    return "\n".join(
        [
            _section("unix_http_server", {"file": socket, "chmod": "0700"}),
            _section("supervisord", daemon),
            _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": interface}),
            # relative to this file: an absolute path would be split where it has a space
            _section("include", {"files": "programs/*.conf"}),
        ]
    )


def render_program(settings: StackSettings, program: Program) -> str:
    """The program's own file; it does not start by itself, `up` says what starts."""
    environment = {**program.environment, MARK: str(settings.state_dir)}
    values: dict[str, object] = {
        "command": shlex.join(program.command),
        "directory": program.directory,
        "priority": program.order,
        "environment": ",".join(f"{k}={_quoted(v)}" for k, v in sorted(environment.items())),
        "autostart": "false",
        "autorestart": "true",
        "startretries": 2**31 - 1,  # never give up; supervisord.py limits the wait
        "startsecs": 5,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_wait_s,
        "stopasgroup": str(program.stop_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": settings.logs / f"{program.name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 3,
    }
    if program.user:
        values["user"] = program.user
    return _section(f"program:{program.name}", values)


def _section(name: str, values: dict[str, Any]) -> str:
    # the supervisor expands %(…)s, so that a lone % must be doubled
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _quoted(value: str) -> str:
    if "\n" in value or ('"' in value and "'" in value):
        raise SupervisorError("a setting holds a line break or both kinds of quotes; remove them")
    return f"'{value}'" if '"' in value else f'"{value}"'


class Supervisor:
    """The running supervisor of a state folder, or the absence of one."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{socket_path(self._settings)}")
        with contextlib.closing(transport):
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except (OSError, HTTPException) as error:
                raise SupervisorError(
                    f"the supervisor does not answer ({error}); `tidemark up` starts it again"
                ) from error
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != Faults.SHUTDOWN_STATE:
                    raise
                raise SupervisorError(
                    "the supervisor is ending; `tidemark up` starts it again once it has ended"
                ) from fault

    def pid(self) -> int | None:
        """The daemon's pid; None where none answers."""
        try:
            return int(self._call("getPID"))
        except SupervisorError:
            return None

    def start(self) -> None:
        """Start the daemon on the rendered configuration; harmless when it runs."""
        if self.pid() is not None:
            return
        socket_path(self._settings).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        output = self._settings.logs / "supervisor.out"
        with output.open("wb") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "stack.supervisord", "-c", config_path(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=PROJECT_ROOT,
                env=_plain_environment() | {MARK: str(self._settings.state_dir)},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.pid() is None:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise SupervisorError(f"the supervisor does not start\n{tail(output, 10)}")
            time.sleep(0.1)

    def _program_path(self, name: str) -> Path:
        return self._settings.run / "programs" / f"{name}.conf"

    def knows(self, program: Program) -> bool:
        """Whether the program's file says what it would say now."""
        path = self._program_path(program.name)
        text = render_program(self._settings, program)
        return path.is_file() and path.read_text(encoding="utf-8") == text

    def update(self, programs: Iterable[Program]) -> None:
        """Write these programs' files; a running one restarts only if its own file has changed."""
        write(config_path(self._settings), render(self._settings))
        for program in programs:
            text = render_program(self._settings, program)
            write(self._program_path(program.name), text, private=True)
        if self.pid() is None:
            return
        ((added, changed, removed),) = self._call("reloadConfig")
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name, True)
            self._call("removeProcessGroup", name)
        for name in [*changed, *added]:
            self._call("addProcessGroup", name)

    def launch(self, name: str) -> bool:
        """Start a program unless it runs; one that waits for its next attempt starts now."""
        if self.state(name).state == "backoff":
            self.halt(name)
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.ALREADY_STARTED:
                return False
            raise SupervisorError(f"{name} does not start: {fault.faultString}") from fault
        return True

    def halt(self, name: str) -> None:
        """Stop a program and wait for it; harmless when it does not run."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (Faults.NOT_RUNNING, Faults.BAD_NAME):
                raise SupervisorError(f"{name} does not stop: {fault.faultString}") from fault

    def shutdown(self) -> None:
        """Ask for the end of everything, in reversed order of start."""
        self._call("shutdown")

    def states(self) -> list[ServiceState]:
        """Every configured program, in the order of start; empty where no daemon answers."""
        try:
            told = self._call("getAllProcessInfo")
        except SupervisorError:
            return []
        return [_state(item) for item in told]

    def state(self, name: str) -> ServiceState:
        by_name = {state.name: state for state in self.states()}
        return by_name.get(name, ServiceState(name, "stopped"))


def _state(told: dict[str, Any]) -> ServiceState:
    alive = told["state"] in states.RUNNING_STATES and told["pid"]
    return ServiceState(
        name=told["name"],
        state=told["statename"].lower(),
        pid=told["pid"] or None,
        uptime_s=told["now"] - told["start"] if alive else None,
        detail=told["spawnerr"] or "",
    )


def _plain_environment() -> dict[str, str]:
    """What a daemon needs of our environment; TIDEMARK_* goes to each program by itself."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "JAVA_HOME", "TMPDIR", "USER", "LOGNAME")
    return {name: os.environ[name] for name in names if name in os.environ}
