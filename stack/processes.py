"""Processes that belong to a state folder, found without trusting pid files.

After a crash of the supervisor its children live on; after a reboot its pid files lie. So a process
is ours by what it carries: our mark in its environment, or PostgreSQL's data folder as its working
directory (PostgreSQL's children overwrite their environment).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil

from stack.services import postgres
from stack.settings import StackSettings
from stack.topology import MARK


def belonging(settings: StackSettings) -> list[psutil.Process]:
    """Every live process of this state folder, except the caller and its ancestors."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    mark = str(settings.state_dir)
    cluster = str(postgres.cluster(settings))
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in spared and _belongs(process, mark, cluster)
    ]


def of_cluster(settings: StackSettings) -> list[psutil.Process]:
    """PostgreSQL's processes alone: after a kill -9 of the postmaster, what is left of it."""
    cluster = str(postgres.cluster(settings))
    return [process for process in psutil.process_iter() if _belongs(process, "", cluster)]


def forget_postmaster(settings: StackSettings) -> None:
    """Remove postmaster.pid where its pid is no PostgreSQL's.

    PostgreSQL takes any living process of its own user with that pid for its postmaster, and after
    a reboot the pid may be anybody's.
    """
    pid_file = postgres.cluster(settings) / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="ascii").split("\n", 1)[0])
        if psutil.Process(pid).name() == "postgres":
            return
    except FileNotFoundError:
        return
    except (ValueError, psutil.Error):  # a cut file, or no such process
        pass
    pid_file.unlink()


def _belongs(process: psutil.Process, mark: str, cluster: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.cwd() == cluster:
            return True
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def end(processes: Iterable[psutil.Process], patience_s: float = 20.0) -> None:
    """Ask each to end, kill what has not after patience_s, and wait until all are gone.

    PostgreSQL's postmaster gets SIGINT (fast shutdown) and ends its own children.
    """
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = process.name() == "postgres" and "-D" in process.cmdline()
            process.send_signal(signal.SIGINT if postmaster else signal.SIGTERM)
    _gone, alive = psutil.wait_procs(processes, timeout=patience_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=10)


def wait_gone(settings: StackSettings, timeout_s: float) -> list[psutil.Process]:
    """Wait until no process of the state folder lives; those that still do after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while (left := belonging(settings)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left
