"""kill -9 of each process while data flows: nothing is missing, extra or different."""

from __future__ import annotations

import json
import time

import pytest

from stack import launcher
from tests.conftest import Pipeline

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

PROCESSES = ("ingest", "sink", "watch", "connect", "kafka", "cassandra", "postgres", "simulator")
RECOVERY_S = 120


def pid_of(pipeline: Pipeline, name: str) -> int | None:
    states = {each.name: each for each in launcher.states(pipeline.settings)}
    return states[name].pid


def wait_healthy(pipeline: Pipeline) -> float:
    """Seconds until `tidemark status` calls everything healthy; fails after RECOVERY_S."""
    start = time.monotonic()
    while time.monotonic() - start < RECOVERY_S:
        answer = pipeline.tidemark("status", "--json")
        if answer.returncode == 0:
            return time.monotonic() - start
        time.sleep(2)  # each look costs a second of the processor that recovery needs
    return pytest.fail(f"not healthy {RECOVERY_S} s after the kill: {answer.stdout[-2000:]}")


@pytest.mark.parametrize("name", PROCESSES)
def test_killed_process_comes_back_and_nothing_differs(pipeline: Pipeline, name: str) -> None:
    """The supervisor restarts it unattended; verification then finds no difference."""
    wait_healthy(pipeline)
    time.sleep(5)  # data flows
    victim = launcher.kill(pipeline.settings, name)
    time.sleep(3)
    recovery_s = wait_healthy(pipeline)
    assert pid_of(pipeline, name) != victim, "the fault did not happen"
    verified = pipeline.tidemark("verify", "--json")
    print(f"{name}: healthy again after {recovery_s:.0f} s")  # noqa: T201 - the matrix shows it
    assert verified.returncode == 0, verified.stdout[-4000:] + verified.stderr[-2000:]
    tables = json.loads(verified.stdout)["tables"]
    assert sum(table["rows"] for table in tables) > 0
