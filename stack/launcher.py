"""Start, stop and look at the whole local stack."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

from stack import artifacts, processes
from stack.errors import ServiceError, StackError
from stack.files import make_folders, make_passwords, tail
from stack.services import cassandra, connect, grafana, kafka, postgres
from stack.settings import PROCESSES, SERVICES, StackSettings
from stack.supervision import ServiceState, Supervisor, socket_path
from stack.topology import own_process

Progress = Callable[[str], None]

_STOP_TIMEOUT_S = 150.0
_GRAFANA_S = 90.0  # its first start makes its database
_HOPELESS_S = 20.0  # a service that still fails to start after this does not by waiting

MODULES: dict[str, ModuleType] = {
    "postgres": postgres,
    "kafka": kafka,
    "cassandra": cassandra,
    "connect": connect,
}


def start_services(
    settings: StackSettings, progress: Progress, names: Sequence[str] = SERVICES
) -> None:
    """Bring the services up and wait until each answers; harmless when they run.

    Raises ArtifactError, SupervisorError or ServiceError, each with the remedy.
    """
    make_folders(settings)
    make_passwords(settings)
    supervisor = _supervisor(settings, progress)
    if supervisor.pid() is not None and not artifacts.present(settings.artifacts):
        progress("services: stopped, for their files are exchanged")
        stop_processes(settings, tuple(reversed(SERVICES)))
    artifacts.ensure(settings, progress)
    for name in names:
        _prepare(settings, supervisor, name, progress)
    supervisor.update(MODULES[name].program(settings) for name in names)
    supervisor.start()
    began = time.monotonic()
    for name in names:  # all at once: Connect waits for Kafka by itself
        supervisor.launch(name)
    for name in names:
        wait_ready(settings, name)
        progress(f"{name}: ready after {time.monotonic() - began:.1f} s")


def start_processes(
    settings: StackSettings, names: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Start processes of ours; `environment` is added to theirs. Harmless when they run."""
    supervisor = Supervisor(settings)
    supervisor.update(own_process(settings, name, environment) for name in names)
    supervisor.start()
    for name in names:
        supervisor.launch(name)


def start_grafana(settings: StackSettings) -> str:
    """Start the machine's Grafana, if it has one; its address, or why there is none, in a line.

    Data flows without it, so nothing is raised for it.
    """
    supervisor = Supervisor(settings)
    installed = grafana.find() if settings.grafana_port else "TIDEMARK_GRAFANA_PORT is 0"
    if isinstance(installed, str):
        supervisor.halt(grafana.NAME)
        return installed
    grafana.prepare(settings, installed)
    supervisor.update([grafana.program(settings, installed)])
    supervisor.launch(grafana.NAME)
    deadline = time.monotonic() + _GRAFANA_S
    while not grafana.ready(settings):
        if time.monotonic() > deadline or supervisor.state(grafana.NAME).state == "fatal":
            return f"{grafana.url(settings)} does not answer yet; `tidemark logs grafana` says why"
        time.sleep(0.5)
    return (
        f"{grafana.url(settings)}, user {grafana.USER}, password in "
        f"{grafana.password_path(settings)}; Grafana {installed.version}"
    )


def restart_processes(settings: StackSettings, names: Sequence[str]) -> None:
    """Stop these programs and start them again; SupervisorError where none was ever started."""
    supervisor = Supervisor(settings)
    for name in names:
        supervisor.halt(name)
        supervisor.launch(name)


def stop_processes(settings: StackSettings, names: Sequence[str]) -> None:
    """Stop these programs; they stay stopped until the next `up`."""
    supervisor = Supervisor(settings)
    if supervisor.pid() is not None:
        for name in names:
            supervisor.halt(name)


def stop(settings: StackSettings, progress: Progress) -> None:
    """Stop everything of this state folder; StackError when a process cannot be ended."""
    supervisor = Supervisor(settings)
    if supervisor.pid() is not None:
        progress("stopping, in reversed order of start")
        supervisor.shutdown()
        processes.wait_gone(settings, timeout_s=_STOP_TIMEOUT_S)
    _sweep(settings, progress)
    for leftover in (socket_path(settings), settings.run / "supervisor.pid"):
        leftover.unlink(missing_ok=True)


def delete_data(settings: StackSettings) -> None:
    """Delete data, logs, passwords and configuration; artifacts stay. Only after `stop`."""
    ours = [settings.state_dir / name for name in ("data", "logs", "secrets", "run")]
    for folder in (postgres.home(settings), *ours):
        shutil.rmtree(folder, ignore_errors=True)


def states(settings: StackSettings) -> list[ServiceState]:
    """Every program in the order of start; those that the supervisor does not run as stopped.

    Grafana only where it was started: it need not be there.
    """
    told = {state.name: state for state in Supervisor(settings).states()}
    ours = [told.get(name, ServiceState(name, "stopped")) for name in (*SERVICES, *PROCESSES)]
    seen = told.get(grafana.NAME)
    return ours if seen is None or seen.state == "stopped" else [*ours, seen]


def kill(settings: StackSettings, name: str, number: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal to a program's process group, as fault tests do; its pid.

    PostgreSQL's children lead groups of their own: only its postmaster gets the signal.
    """
    pid = Supervisor(settings).state(name).pid
    if pid is None:
        raise StackError(f"{name} does not run, so it cannot be signalled")
    os.killpg(pid, number)
    return pid


def wait_ready(settings: StackSettings, name: str, timeout_s: float | None = None) -> None:
    """Wait until a service answers in its own protocol; ServiceError with its last log lines."""
    supervisor = Supervisor(settings)
    began = time.monotonic()
    limit = settings.ready_timeout_s if timeout_s is None else timeout_s
    while True:
        state = supervisor.state(name)
        if state.running and MODULES[name].ready(settings):
            return
        waited = time.monotonic() - began
        if waited > limit or (state.state == "backoff" and waited > _HOPELESS_S):
            log = settings.logs / f"{name}.log"
            raise ServiceError(
                name,
                f"{name} is not ready after {waited:.0f} s (it is {state.state}); the cause "
                f"stands in {log}, whose last lines follow; then type `tidemark up` again",
                tail(log, 15),
            )
        time.sleep(0.25)


def wait_answers(settings: StackSettings) -> None:
    """Wait until all services answer, whoever runs them; ServiceError where one does not."""
    deadline = time.monotonic() + settings.ready_timeout_s
    for name in SERVICES:
        while not MODULES[name].ready(settings):
            if time.monotonic() > deadline:
                raise ServiceError(
                    name, f"{name} does not answer; `docker compose logs {name}` says why"
                )
            time.sleep(0.5)


@contextmanager
def locked(settings: StackSettings, progress: Progress) -> Iterator[None]:
    """One `up` or `down` at a time for a state folder; the second one waits."""
    settings.run.mkdir(parents=True, exist_ok=True)
    with (settings.run / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another `tidemark up` or `down` is at work; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _supervisor(settings: StackSettings, progress: Progress) -> Supervisor:
    """The supervisor; where none answers, what a dead one left behind is ended first."""
    supervisor = Supervisor(settings)
    if supervisor.pid() is None:
        _sweep(settings, progress)
    return supervisor


def _prepare(
    settings: StackSettings, supervisor: Supervisor, name: str, progress: Progress
) -> None:
    state = supervisor.state(name)
    if state.running and supervisor.knows(MODULES[name].program(settings)):
        return
    if state.state != "stopped":  # changed settings, or between two attempts to start
        supervisor.halt(name)
    if name == postgres.NAME:
        processes.end(processes.of_cluster(settings))
        processes.forget_postmaster(settings)
        if place := postgres.moved(settings):
            progress(f"postgres: its user cannot reach the state folder; it lives in {place}")
    progress(f"{name}: preparing")
    shutil.rmtree(settings.temporary(name), ignore_errors=True)
    settings.temporary(name).mkdir(parents=True)
    MODULES[name].prepare(settings)


def _sweep(settings: StackSettings, progress: Progress) -> None:
    """End every process of the state folder that no supervisor looks after."""
    if left := processes.belonging(settings):
        progress(f"ending {len(left)} processes that an earlier run left behind")
        processes.end(left)
    if left := processes.belonging(settings):
        pids = ", ".join(str(process.pid) for process in left)
        raise StackError(f"processes {pids} cannot be ended; end them by hand")
