"""CPU that processes and the machine have used until now, in seconds, as /proc tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def cpu_of(processes: Iterable[psutil.Process]) -> float:
    """The same of several; one that has ended meanwhile counts for nothing."""
    found = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += cpu_s(process.pid)
    return found


def machine_s() -> float:
    """What all cores have worked."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def since(earlier: Mapping[str, float], later: Mapping[str, float]) -> dict[str, float]:
    """What each has used between two moments."""
    return {name: later[name] - value for name, value in earlier.items()}


def others(machine: float, known: float, wall_s: float) -> float:
    """Share of the machine that went to none of those whose CPU is known."""
    cores = os.cpu_count() or 1
    return round(max(0.0, machine - known) / (wall_s * cores), 3)
