"""`tidemark status` where nothing runs, and `tidemark watch` where nothing answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.settings import PROJECT_ROOT
from tests.conftest import Stack, fresh_environment, settings_of

pytestmark = pytest.mark.integration

AT_ONCE_S = 10.0  # a second on a quiet machine; Python's start takes several on a busy one


@pytest.fixture
def nothing(tmp_path: Path) -> Stack:
    """A stack that was never started."""
    environment = fresh_environment(tmp_path)
    return Stack(settings_of(environment), environment)


def test_status_of_nothing_comes_at_once_and_says_how_to_start(nothing: Stack) -> None:
    """No part answers: exit 1, one finding, within seconds."""
    began = time.monotonic()
    done = nothing.tidemark("status")
    assert time.monotonic() - began < AT_ONCE_S
    assert done.returncode == 1, done.stderr
    assert "nothing runs" in done.stdout
    assert "`tidemark up`" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_status_of_nothing_is_json_too(nothing: Stack) -> None:
    """Machines get the same answer and exit code."""
    done = nothing.tidemark("status", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert said["healthy"] is False
    assert [finding["problem"] for finding in said["findings"]] == ["nothing runs"]


def test_status_does_not_take_both_json_and_watch(nothing: Stack) -> None:
    """Misuse is exit code 2 and a line."""
    done = nothing.tidemark("status", "--json", "--watch")
    assert done.returncode == 2
    assert "--json and --watch" in done.stderr


def test_watch_outlives_the_absence_of_everything_and_ends_cleanly(nothing: Stack) -> None:
    """It tells of each missing part, does not crash, and SIGTERM ends it within ten seconds."""
    watch = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "watch"],
        cwd=PROJECT_ROOT,
        env=nothing.process_env | {"TIDEMARK_WATCH_PERIOD_S": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stderr is not None
    missing = {"postgres_down", "kafka_down", "cassandra_down"}
    try:
        while missing:  # a watch that ends, or the test's own time limit, ends this loop
            missing.discard(json.loads(watch.stderr.readline()).get("alarm"))
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(timeout=10) == 0
    finally:
        watch.kill()
