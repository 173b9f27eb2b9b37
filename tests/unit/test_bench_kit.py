"""What all kits share: turns, what a failure costs, parts of the document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import document, figures, kit
from tests.benchmarks.capture.document import PART as CAPTURE
from tests.benchmarks.document import DOCUMENT, Part, absences, in_short, replaced
from tests.benchmarks.figures import PAGE, STACK, STREAMS, Figure
from tests.benchmarks.ingest.document import PART as INGEST
from tests.benchmarks.latency.document import PART as LATENCY
from tests.benchmarks.sink.document import PART as SINK
from tests.benchmarks.size.document import PART as SIZE
from tests.benchmarks.turns import CannotTakePart, Headway, Lost, in_words, remaining, take_turns

PARTS = (STACK, SINK, LATENCY, CAPTURE, INGEST, SIZE, PAGE, STREAMS)
KIT = Part(name="kit", section=lambda results: f"measured {results.get('windows')}\n")


@dataclass(frozen=True)
class One:
    """A contestant."""

    name: str


@dataclass(frozen=True)
class Window:
    """What a window showed."""

    rows: int


A, B, C = One("a"), One("b"), One("c")


class Clock:
    """A second passes with each look."""

    def __init__(self, step_s: float = 1.0) -> None:
        self._now, self._step_s = 0.0, step_s

    def __call__(self) -> float:
        self._now += self._step_s
        return self._now


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A document with a place for KIT, and a folder for its results."""
    (tmp_path / "benchmarks.md").write_text(
        "<!-- kit: written by `make bench` -->\n<!-- end of kit -->\n"
    )
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "benchmarks.md")
    monkeypatch.setattr(document, "FOLDER", tmp_path)
    monkeypatch.setattr(kit, "conditions", lambda: "Measured once")
    return tmp_path


def turns(rounds: int, failing: dict[tuple[str, int], Exception]) -> list[tuple[str, Any]]:
    def hold(contestant: One, number: int) -> Iterator[int]:
        if error := failing.get((contestant.name, number)):
            raise error
        yield number

    return list(take_turns([A, B, C], rounds, hold, lambda _line: None))


def test_each_round_begins_with_another_contestant() -> None:
    assert [name for name, _ in turns(3, {})] == list("abcbcacab")


def test_a_lost_round_is_told_and_its_contestant_is_asked_again() -> None:
    held = turns(3, {("b", 2): ValueError("too\nfew")})
    assert ("b", Lost(2, "ValueError: too few", leaves=False)) in held
    assert [what for name, what in held if name == "b"][-1] == 3
    assert [what for name, what in held if name == "a"] == [1, 2, 3]


def test_two_lost_rounds_in_a_row_are_enough() -> None:
    bad = ValueError("no")
    held = [what for name, what in turns(4, {("b", 2): bad, ("b", 3): bad}) if name == "b"]
    assert held == [
        1,
        Lost(2, "ValueError: no", leaves=False),
        Lost(3, "ValueError: no", leaves=True),
    ]
    apart = turns(4, {("b", 1): bad, ("b", 3): bad})
    assert [what for name, what in apart if name == "b"][-1] == 4


def test_who_cannot_take_part_leaves_at_once_and_an_interruption_ends_all() -> None:
    held = turns(3, {("b", 1): CannotTakePart("not installed")})
    assert [what for name, what in held if name == "b"] == [Lost(1, "not installed", leaves=True)]

    def hold(_contestant: One, _number: int) -> Iterator[int]:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        list(take_turns([A, B], 2, hold, lambda _line: None))


def test_before_each_turn_it_is_said_how_long_all_may_take() -> None:
    lines: list[str] = []

    def hold(_contestant: One, number: int) -> Iterator[int]:
        yield number

    list(take_turns([A, B], 2, hold, lines.append, "free", Clock(90)))
    assert lines[0] == "round 1 of 2, free, a: 4 turns left"
    assert lines[1] == "round 1 of 2, free, b: 3 turns left, about 4 min"
    assert lines[-1] == "round 2 of 2, free, a: 1 turn left, about 90 s"


def test_what_is_left_is_guessed_from_each_ones_own_turns() -> None:
    assert remaining(["a", "a", "b"], {"a": [10.0, 20.0]}) == "3 turns left, about 45 s"
    assert remaining(["a", "b"], {"a": [10.0], "b": [30.0]}) == "2 turns left, about 40 s"
    assert in_words(600) == "10 min"


def test_long_work_says_now_and_then_how_far_it_is() -> None:
    lines: list[str] = []
    headway = Headway("rows", 1000, lines.append, each_s=30, clock=Clock(20))
    for done in (10, 500, 600, 1200):
        headway(done)
    assert lines == ["rows: 500 of 1,000, about 40 s left", "rows: 1,200 of 1,000"]


def test_results_are_published_though_a_later_round_breaks_everything(folder: Path) -> None:
    def outcomes() -> Iterator[tuple[str, Any]]:
        yield "a", Window(7)
        yield "b", Lost(1, "OSError: gone", leaves=False)
        yield "c", Lost(1, "not installed", leaves=True)
        raise OSError("the stack is gone")

    with pytest.raises(OSError, match="gone"), kit.concluded(KIT, write=True) as results:
        kit.record(KIT, results, outcomes(), lambda window: f"{window.rows} rows")
    assert "measured [{'rows': 7}]" in (folder / "benchmarks.md").read_text()
    told = json.loads((folder / "kit.json").read_text())
    assert list(absences(told)) == [
        "- **c** left: not installed",
        "- **b**, round 1, lost: OSError: gone",
    ]


def test_who_interrupts_keeps_results_but_the_document_stays(folder: Path) -> None:
    before = (folder / "benchmarks.md").read_text()

    def outcomes() -> Iterator[tuple[str, Any]]:
        yield "a", Window(7)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), kit.concluded(KIT, write=True) as results:
        kit.record(KIT, results, outcomes(), lambda _window: "seven")
    assert (folder / "benchmarks.md").read_text() == before
    assert json.loads((folder / "kit.json").read_text())["windows"] == [{"rows": 7}]


def test_nothing_measured_is_nothing_written(folder: Path) -> None:
    before = (folder / "benchmarks.md").read_text()
    with pytest.raises(OSError, match="full"), kit.concluded(KIT, write=True):
        raise OSError("the disk is full")
    assert (folder / "benchmarks.md").read_text() == before
    assert not (folder / "kit.json").exists()
    with kit.concluded(KIT, write=True) as results:
        lost = Lost(1, "not installed", leaves=True)
        kit.record(KIT, results, [("a", lost)], lambda _window: "")
    assert (folder / "benchmarks.md").read_text() == before


def test_a_measurement_that_fails_is_named_and_the_next_one_begins(folder: Path) -> None:
    def failing() -> Iterator[Figure]:
        yield Figure(name="one", value=1.5, unit="s", goal=2)
        raise ValueError("no more")

    part = Part(name="kit", section=figures.section)
    with kit.concluded(part, write=True) as results:
        second = iter([Figure(name="two", value=2000, unit="rows/s", goal=3000, at_least=True)])
        kit.record_figures(part, results, [("first", failing()), ("second", second)])
    told = (folder / "benchmarks.md").read_text()
    assert "| one | 1.50 s | ≤ 2 s |" in told
    assert "| two | 2,000.0 rows/s | ≥ 3,000 rows/s — missed |" in told
    assert "- **first** left: ValueError: no more" in told


def test_a_reason_in_the_document_names_no_folder_of_this_machine() -> None:
    assert in_short("mvn failed: /home/someone/.m2/a.jar | gone") == "mvn failed: …/a.jar / gone"
    assert in_short("rows/s is 1/2") == "rows/s is 1/2"
    assert len(in_short("x" * 500)) < 170


def test_a_kit_writes_between_its_own_markers_alone() -> None:
    text = (
        "before\n<!-- one: written by `make bench` -->\nold\n<!-- end of one -->\nbetween\n"
        "<!-- two: written by `make bench` -->\nkept\n<!-- end of two -->\nafter\n"
    )
    done = replaced(text, "one", "new\n")
    assert "old" not in done
    assert done.startswith("before\n")
    assert done.endswith(text.partition("<!-- end of one -->")[2])
    assert replaced(done, "one", "new\n") == done
    with pytest.raises(ValueError, match="three"):
        replaced(text, "three", "new\n")


def test_an_end_before_its_beginning_or_within_another_part_is_refused() -> None:
    begin, end = "<!-- {}: written by `make bench` -->\n", "<!-- end of {} -->\n"
    one, two = begin.format("one"), begin.format("two")
    for text in (
        end.format("one") + one,
        one + two + end.format("two") + end.format("one"),
        one + end.format("one") + one + end.format("one"),
    ):
        with pytest.raises(ValueError, match="one"):
            replaced(text, "one", "new\n")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_writing_a_part_leaves_all_others(part: Part) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    done = replaced(text, part.name, "here it is\n")
    assert "here it is" in done
    for other in PARTS:
        if other is not part:
            assert _written(done, other.name) == _written(text, other.name)
    assert _headings(done) == _headings(text)


def test_every_marker_of_the_document_is_of_a_kit() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    names = re.findall(r"<!-- (\w+): written by `make bench` -->", text)
    assert sorted(names) == sorted(part.name for part in PARTS)
    assert re.findall(r"<!-- end of (\w+) -->", text) == names


def test_a_part_can_be_written_again_from_what_was_published(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = folder / "measured.json"
    measured.write_text('{"windows": [7]}')
    part = Part(
        name="kit",
        section=lambda results: f"measured {results['windows']}\n",
        caption="seven",
        draw=lambda _results: "<svg/>",
    )
    part.publish(measured)
    written = (folder / "benchmarks.md").read_text()
    assert "![seven](benchmarks-kit.svg)\n\nmeasured [7]\n" in written
    measured.unlink()
    monkeypatch.setattr("sys.argv", ["document"])
    part.publish_again()
    assert (folder / "benchmarks.md").read_text() == written


def _written(text: str, name: str) -> str:
    rest = text.partition(f"<!-- {name}: written by `make bench` -->")[2]
    return rest.partition(f"<!-- end of {name} -->")[0]


def _headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]
