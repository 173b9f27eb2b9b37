"""The matrix is whole: every row is there, every test belongs to its row, results are kept."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.settings import PROJECT_ROOT
from tests.faults import table
from tests.faults.matrix import ROWS, chosen, row
from tests.faults.oracles import Monotone
from tests.faults.results import Case, Results, newest, record
from tests.faults.trial import Counts, Trial

EXPECTED = [
    *(f"A{n}" for n in range(1, 30)),
    *(f"B{n}" for n in range(1, 11)),
    *(f"C{n}" for n in range(1, 16)),
    *(f"D{n}" for n in range(1, 14)),
]
TESTS = re.compile(r'@row\("(\w+)"\)\n(?:@.*\n)*def (\w+)')
CASE = Case(
    row="A1",
    case="test_a01_x",
    status="passed",
    seconds=3,
    seed=1,
    commit="abc",
    at="2026-11-21T01:00:00+00:00",
)


def bound() -> list[tuple[str, str]]:
    """(row, test) of every decorated test."""
    folder = PROJECT_ROOT / "tests" / "faults"
    return [
        found
        for path in sorted(folder.glob("test_*.py"))
        for found in TESTS.findall(path.read_text(encoding="utf-8"))
    ]


def test_all_67_rows_are_there_in_order() -> None:
    assert list(ROWS) == EXPECTED


def test_each_test_is_named_after_its_row() -> None:
    """And no row has two tests: its cases are parameters."""
    tests = bound()
    assert tests
    assert [f"{name}: {test}" for name, test in tests if _misnamed(name, test)] == []
    assert len({name for name, _ in tests}) == len(tests)


def _misnamed(name: str, test: str) -> bool:
    return not test.startswith(ROWS[name].test_prefix)


def test_a_test_with_the_wrong_name_is_refused() -> None:
    def test_a02_something() -> None: ...

    with pytest.raises(ValueError, match="must begin with test_a01_"):
        row("A1")(test_a02_something)


def test_rows_are_chosen_by_id_or_letter() -> None:
    assert chosen("") == EXPECTED
    assert chosen("c4,A1") == ["A1", "C4"]
    assert chosen("B") == EXPECTED[29:39]
    with pytest.raises(ValueError, match="no row X9"):
        chosen("X9")


def test_results_of_two_runs_are_kept_together(tmp_path: Path) -> None:
    """By commit; the document shows of each row the cases of the commit at which it ran last."""
    nothing = tmp_path / "record"
    Results("abc", tmp_path, nothing).add(CASE)
    Results("abc", tmp_path, nothing).add(replace(CASE, case="test_a01_y", status="failed"))
    again = Results("abc", tmp_path, nothing)
    assert again.passed("test_a01_x")
    assert not again.passed("test_a01_y")
    later = replace(CASE, commit="def", status="failed", at="2026-11-21T02:00:00+00:00")
    Results("def", tmp_path, nothing).add(later)
    shown = newest(tmp_path, nothing)
    assert list(shown) == ["test_a01_x"]
    assert shown["test_a01_x"].commit == "def"


def test_a_matrix_goes_on_in_another_clone(tmp_path: Path) -> None:
    """What has passed there stands in the record, as far as it ran on the same commit."""
    written = tmp_path / "faults.json"
    record({"test_a01_x": CASE, "test_a01_y": replace(CASE, case="test_a01_y")}, written)
    here = tmp_path / "here"
    assert Results("abc", here, written).passed("test_a01_x")
    assert not Results("def", here, written).passed("test_a01_x")
    again = replace(CASE, status="failed", at="2026-11-21T02:00:00+00:00")
    Results("abc", here, written).add(again)
    assert not Results("abc", here, written).passed("test_a01_x")
    shown = newest(here, written)
    assert {name: case.status for name, case in shown.items()} == {
        "test_a01_x": "failed",
        "test_a01_y": "passed",
    }


def test_every_row_stands_in_the_document_also_without_a_result() -> None:
    failed = replace(CASE, case="test_a01_y", status="failed", reason="3 rows | missing", missing=3)
    text = table.markdown(table.lines({"x": CASE, "y": failed}))
    rows = [line for line in text.splitlines() if re.match(r"\| [A-D]\d", line)]
    assert len(rows) == 67
    assert "| failed |" in rows[0]
    assert "3 rows \\| missing" in rows[0]
    assert "| not run |" in rows[1]


def test_a_row_holds_only_when_each_of_its_cases_has_run() -> None:
    two = {"x": replace(CASE, of=2)}
    assert table.lines(two)[0].status == "partly run"
    assert table.lines(two | {"y": replace(CASE, case="y", of=2)})[0].status == "passed"


def test_one_wrong_row_fails_the_trial() -> None:
    trial = Trial(seed=1)
    trial.prove(Counts(rows=5))
    with pytest.raises(AssertionError, match="1 rows missing"):
        trial.prove(Counts(rows=5, missing=1))
    with pytest.raises(AssertionError, match="nothing was compared"):
        Trial(seed=1).prove(Counts())


def test_a_canary_that_goes_back_or_comes_back_is_seen() -> None:
    seen = Monotone()
    for look in ({"a": 1, "b": 4}, {"a": 2, "b": 4}, {"b": 3}, {"b": 4}, {"a": 2, "b": 5}):
        seen.observe(look)
    assert (seen.stale, seen.resurrected) == (1, 1)
