"""Failpoints: quiet unless armed, exact about the passing, refused where misspelt."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import failpoints
from runtime.settings import PROJECT_ROOT, SettingsError

PASSING = """
from runtime import failpoints
for number in range(1, 6):
    failpoints.reach("before_commit")
    print(number, flush=True)
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """A process that passes `before_commit` five times."""
    return subprocess.run(
        [sys.executable, "-c", PASSING],
        cwd=PROJECT_ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_nothing_happens_unless_armed() -> None:
    assert failpoints.read({}) == {}
    assert run().stdout.split() == ["1", "2", "3", "4", "5"]


def test_each_armed_passing_kills_one_process_and_leaves_evidence(tmp_path: Path) -> None:
    """The first at its third passing, the next at its first; the one after them lives on."""
    hits = tmp_path / "hits"
    armed = {
        "TIDEMARK_FAILPOINT": "before_commit:kill:3,1",
        "TIDEMARK_FAILPOINT_HITS": str(hits),
    }
    killed = run(**armed)
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["1", "2"]
    assert hits.read_text().startswith("before_commit ")
    assert run(**armed).stdout == ""
    assert run(**armed).returncode == 0
    assert len(hits.read_text().splitlines()) == 2


def test_another_point_stays_quiet() -> None:
    assert run(TIDEMARK_FAILPOINT="after_poll:kill").returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "before_comit:kill",
        "before_commit",
        "before_commit:explode",
        "before_commit:kill:0",
        "before_commit:kill:2,x",
    ],
)
def test_a_misspelt_failpoint_is_refused(text: str) -> None:
    """A fault that silently never happens would look like a fault that was survived."""
    with pytest.raises(SettingsError, match="points are after_poll"):
        failpoints.read({"TIDEMARK_FAILPOINT": text})


def test_every_point_is_passed_somewhere() -> None:
    """The list of points and the calls in the sink are the same."""
    called = {
        name
        for path in (PROJECT_ROOT / "cdc").rglob("*.py")
        for name in re.findall(r'failpoints\.reach\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }
    assert called == set(failpoints.POINTS)
