"""`make test` repeats what failed for want of time, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.settings import PROJECT_ROOT
from tests import parts

OURS = "from tests.conftest import pytest_addoption, pytest_terminal_summary\n"
FAILS_ONCE = """
from pathlib import Path
def test_late():
    mark = Path(__file__).with_suffix(".seen")
    seen = mark.exists()
    mark.touch()
    assert seen
"""

MANY = """
import pytest
@pytest.mark.parametrize("number", range(4))
def test_bad(number):
    assert False
"""


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> tuple[int, str]:
    """Exit code and last line of a run over a good test and these."""
    (folder / "conftest.py").write_text(OURS)
    (folder / "test_others.py").write_text(text)
    (folder / "test_good.py").write_text("def test_good():\n    pass\n")
    monkeypatch.setattr(parts, "COVERED", folder / "coverage")
    monkeypatch.setattr(parts, "PROJECT_ROOT", folder)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    chosen = {name: (str(folder / f"test_{name}.py"),) for name in ("good", "others")}
    monkeypatch.setattr(parts, "PARTS", chosen)
    monkeypatch.setattr(sys, "argv", ["parts"])
    with pytest.raises(SystemExit) as ended:
        parts.main()
    return int(str(ended.value.code)), capsys.readouterr().out.splitlines()[-1]


def test_what_passes_alone_is_named_as_unsteady(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last = run(tmp_path, monkeypatch, capsys, FAILS_ONCE)
    assert code == 0
    assert "1 passed" in last
    assert last.endswith("test_others.py::test_late")


def test_what_fails_alone_too_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last = run(tmp_path, monkeypatch, capsys, "def test_bad():\n    assert False\n")
    assert code == 1
    assert "1 failed" in last


@pytest.mark.parametrize("text", [MANY, "import no_such_module\n"], ids=["many", "no test"])
def test_what_is_no_want_of_time_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Many at once, or what cannot be collected: nothing runs again."""
    code, last = run(tmp_path, monkeypatch, capsys, text)
    assert code == 1
    assert "1 passed" not in last
    assert "alone" not in last


def test_a_part_that_no_test_has_ended_is_answered_for_by_none(tmp_path: Path) -> None:
    """Beside another in which one failed: nothing runs again."""

    def part(name: str, failed: str) -> Any:
        (tmp_path / name).write_text(failed)
        return SimpleNamespace(code=parts.TESTS_FAILED, failed=tmp_path / name)

    one = part("one", "test_a.py::test_a\n")
    assert parts.unsteady([one]) == ["test_a.py::test_a"]
    assert parts.unsteady([one, part("other", "")]) == []
