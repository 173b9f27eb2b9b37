"""A contestant's process: its lines of JSON, its CPU; and how it tells, in the process itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from runtime.settings import PROJECT_ROOT
from tests.benchmarks.cpu import cpu_s

END_S = 20


class Failed(Exception):
    """A contestant did not do its work; the message says what it last said."""


class Running:
    """A process whose lines are read as they come; the last ones are told if it fails."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._told: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._last: deque[str] = deque(maxlen=8)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU that it has used, all its threads."""
        return cpu_s(self.pid)

    def wait_for(self, event: str, timeout_s: float) -> dict[str, Any]:
        """The line that tells of the event; Failed where the process ends or the time does."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                line = self._told.get(timeout=0.2)
            except Empty:
                self.check()
                continue
            if line.get("event") == event:
                return line
        raise Failed(f"it does not say {event!r} within {timeout_s:.0f} s: {self._words}")

    def check(self) -> None:
        """Failed where the process has ended."""
        if self._process.poll() is not None:
            self._reader.join(2)
            raise Failed(f"it ended with {self._process.returncode}: {self._words}")

    def begin(self) -> None:
        """Let a contestant that waits begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """End it, whatever it does."""
        ended(self._process)

    @property
    def _words(self) -> str:
        return " / ".join(self._last)[-600:] or "nothing"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._last.append(line.strip())
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict):
                self._told.put(told)


class Together:
    """Processes that do one contestant's work; the clock runs from the first one's beginning."""

    def __init__(self, members: Sequence[Running]) -> None:
        self._members = members

    def cpu_s(self) -> float:
        return sum(each.cpu_s() for each in self._members)

    def wait_for(self, event: str, timeout_s: float) -> dict[str, Any]:
        """The line of the first process; the others may be about to say the same."""
        return self._members[0].wait_for(event, timeout_s)

    def check(self) -> None:
        for each in self._members:
            each.check()

    def begin(self) -> None:
        for each in self._members:
            each.begin()


def ended(process: subprocess.Popen[Any]) -> None:
    """End a process: asked first, then by force, which comes at once if this is broken off."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    finally:
        process.kill()  # nothing, where it has ended
        process.wait()


@contextmanager
def together(
    command: Sequence[str], environment: Mapping[str, str], processes: int
) -> Iterator[Together]:
    """So many of the same process for the length of a block."""
    with ExitStack() as stack:
        yield Together(
            [stack.enter_context(running(command, environment)) for _ in range(processes)]
        )


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Running]:
    """A process for the length of a block."""
    process = subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started = Running(process)
    try:
        yield started
    finally:
        started.end()


def tell(event: str, **more: object) -> None:
    """Within such a process: say something to who started it."""
    sys.stdout.write(json.dumps({"event": event} | more) + "\n")
    sys.stdout.flush()


def wait_for_start() -> None:
    """Within such a process: say that it is ready, and begin when told."""
    tell("ready")
    sys.stdin.readline()
    tell("began")
