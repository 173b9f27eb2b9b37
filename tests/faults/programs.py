"""Programs of a running stack as a fault test handles them: killed, frozen, stopped, replaced."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import Any

import psutil

from runtime.settings import PROJECT_ROOT
from stack import launcher
from stack.settings import PROCESSES, SERVICES
from stack.supervision import Supervisor
from stack.topology import Program, own_process
from tests.conftest import Pipeline


@dataclass(frozen=True)
class Failpoint:
    """The file that gets a line, with the pid, each time the point fires."""

    hits: Path

    def fired(self) -> list[str]:
        return self.hits.read_text().splitlines() if self.hits.exists() else []

    def wait(self, times: int = 1, within_s: float = 60) -> int:
        """Wait until it has fired so often; the pid of the last one."""
        deadline = time.monotonic() + within_s
        while len(self.fired()) < times:
            assert time.monotonic() < deadline, f"the failpoint fired {len(self.fired())} times"
            time.sleep(0.1)
        return int(self.fired()[times - 1].split()[1])


def wait_stopped(pid: int) -> None:
    """Wait until a process that got SIGSTOP stands still, with all its threads."""
    deadline = time.monotonic() + 10
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.05)


class Programs:
    """Services and processes of one pipeline. Whatever a method breaks, its `with` block mends.

    `patience` multiplies every limit of time; on a machine of one's own it is 1.
    """

    def __init__(self, pipeline: Pipeline, patience: float) -> None:
        self.pipeline = pipeline
        self.stack = pipeline.settings
        self._patience = patience

    def pid(self, name: str) -> int | None:
        """The pid of a running program."""
        state = Supervisor(self.stack).state(name)
        return state.pid if state.running else None

    def kill(self, name: str, signal: Signals = SIGKILL) -> int:
        """Signal a program's process group; its pid. The supervisor starts a killed one again."""
        return launcher.kill(self.stack, name, signal)

    @contextmanager
    def frozen(self, name: str) -> Iterator[int]:
        """SIGSTOP a program's process group for the length of the block."""
        pid = self.kill(name, SIGSTOP)
        try:
            wait_stopped(pid)
            yield pid
        finally:
            self.kill(name, SIGCONT)

    @contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Stop a program properly for the length of the block."""
        supervisor = Supervisor(self.stack)
        supervisor.halt(name)
        try:
            yield
        finally:
            supervisor.launch(name)
            self.wait_ready(name)

    def restarted_with(self, name: str, **variables: str) -> AbstractContextManager[int]:
        """A program with some environment variables of its own for the length of the block."""
        return self.restarted_as(name, variables)

    @contextmanager
    def restarted_as(
        self, name: str, variables: Mapping[str, str], command: Sequence[str] = ()
    ) -> Iterator[int]:
        """A program with variables, and perhaps a command, of its own; its pid."""
        usual = self._program(name)
        environment = {**usual.environment, **variables}
        changed = replace(usual, environment=environment, command=tuple(command) or usual.command)
        with self.program_instead(name, changed) as pid:
            yield pid

    @contextmanager
    def program_instead(self, name: str, program: Program) -> Iterator[int]:
        """Another program under a program's name for the length of the block."""
        try:
            yield self._start(name, program)
        finally:
            self._start(name, self._program(name))

    def _program(self, name: str) -> Program:
        if name in PROCESSES:
            usual = self.pipeline.env | {"TIDEMARK_EXCHANGE": "simulator"}
            return own_process(self.stack, name, usual)
        made: Program = launcher.MODULES[name].program(self.stack)
        return made

    def _start(self, name: str, program: Program) -> int:
        supervisor = Supervisor(self.stack)
        supervisor.update([program])
        supervisor.launch(name)
        self.wait_ready(name)
        return self.wait_pid(name)

    def wait_pid(self, name: str, other_than: int | None = None, within_s: float = 60) -> int:
        """Wait until a program runs, under another pid than the given one."""

        def running() -> int | None:
            pid = self.pid(name)
            return pid if pid and pid != other_than else None

        return int(self.until(f"{name} runs (again)", running, within_s))

    def wait_ready(self, name: str, within_s: float = 120) -> None:
        """Wait until a service answers in its own protocol; a process of ours is ready at once."""
        if name in SERVICES:
            launcher.wait_ready(self.stack, name, within_s * self._patience)

    def rss_mb(self, name: str) -> float:
        """Resident memory of a program."""
        return float(psutil.Process(self.pid(name)).memory_info().rss) / 2**20

    def log_since(self, name: str, offset: int = 0) -> str:
        """What a program has logged from a byte of its file on."""
        with (self.stack.logs / f"{name}.log").open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")

    def log_size(self, name: str) -> int:
        return (self.stack.logs / f"{name}.log").stat().st_size

    def until(self, what: str, look: Callable[[], Any], within_s: float) -> Any:
        """Wait until `look()` finds something that is not None; fail with what was waited for."""
        deadline = time.monotonic() + within_s * self._patience
        while (found := look()) is None:
            assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
            time.sleep(0.2)
        return found

    @contextmanager
    def second_sink(self, **variables: str) -> Iterator[psutil.Popen]:
        """Another member of the sink's group, outside the supervisor, for the length of a block."""
        process = psutil.Popen(
            [sys.executable, "-m", "cli.main", "sink"],
            cwd=PROJECT_ROOT,
            env=self.pipeline.process_env | {"TIDEMARK_SINK_METRICS_PORT": "0"} | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.is_running():
                process.send_signal(SIGCONT)
                process.terminate()
            process.wait(30)

    @contextmanager
    def failpoint(self, armed: str, folder: Path) -> Iterator[Failpoint]:
        """The sink armed with a failpoint, as `after_poll:kill:3,17`."""
        point = Failpoint(folder / "failpoint-hits")
        variables = {
            "TIDEMARK_FAILPOINT": armed,
            "TIDEMARK_FAILPOINT_HITS": str(point.hits),
        }
        with self.restarted_with("sink", **variables):
            yield point
