"""Programs of a stack as trees of processes: their CPU and their memory, as /proc tells it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack import launcher
from stack.settings import StackSettings


@dataclass(frozen=True)
class Memory:
    """Bytes of proportional set size: all, and what no file stands behind.

    The rest is files in the kernel's cache that are mapped, such as Cassandra's tables.
    """

    proportional: int
    anonymous: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.proportional + other.proportional, self.anonymous + other.anonymous)


NOTHING = Memory(0, 0)


def programs(settings: StackSettings) -> dict[str, int]:
    """Pid of each program of a stack that runs, by the name that the supervisor gives it."""
    return {each.name: each.pid for each in launcher.states(settings) if each.pid is not None}


def members(pid: int) -> list[psutil.Process]:
    """A process and all below it; none where it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """CPU of a process and all that it has started, those that have ended too, in seconds."""
    return sum(map(_used_s, members(pid)))


def memory(pid: int) -> Memory:
    """Memory of a process and all below it; what they share counts once."""
    return sum(map(_memory, members(pid)), NOTHING)


def parsed(lines: Iterable[str]) -> Memory:
    """What the lines of a smaps_rollup say, in bytes."""
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        amount, _, unit = rest.strip().partition(" ")
        if unit == "kB":
            found[name] = int(amount) * 1024
    return Memory(found.get("Pss", 0), found.get("Pss_Anon", 0))


def _used_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        ended = times.children_user + times.children_system
        return float(times.user + times.system + ended)
    return 0.0


def _memory(process: psutil.Process) -> Memory:
    with suppress(OSError):  # it has ended meanwhile
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        return parsed(text.splitlines())
    return NOTHING
