"""A kit of the benchmarks that is told to end ends its contestants, whatever they do."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import pytest

from tests.benchmarks import kit
from tests.benchmarks.running import Running, running

SAY_AND_WAIT = "import json; print(json.dumps({'event': 'up'}), flush=True); input()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def test_sigterm_ends_the_contestants() -> None:
    """The kit leaves as by SystemExit; one block for signals within another is one."""
    pids = []

    def at_work(one: Running) -> None:
        one.wait_for("up", 60)
        pids.append(one.pid)
        with kit.ended_by_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            one.wait_for("the signal", 60)

    command = [sys.executable, "-c", SAY_AND_WAIT]
    with (
        pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)),
        kit.ended_by_signals(),
        running(command, os.environ) as one,
    ):
        at_work(one)
    assert not psutil.pid_exists(pids[0])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_contestant_that_does_not_want_to_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked, and then made to."""
    monkeypatch.setattr("tests.benchmarks.running.END_S", 0.2)
    with running([sys.executable, "-c", f"{DEAF}; {SAY_AND_WAIT}"], os.environ) as one:
        one.wait_for("up", 60)
    assert not psutil.pid_exists(one.pid)
