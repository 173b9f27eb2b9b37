"""Which connections there are: by examples, and by histories drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.coincap.assets import Assets, named
from ingest.coincap.holes import Holes
from ingest.coincap.lines import SILENT_S, STEADY_S, Dial, HangUp, Lines

TWO, THREE = ("bitcoin", "ethereum"), ("bitcoin", "ethereum", "sui")
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)


def steady(assets: tuple[str, ...] = TWO) -> Lines:
    """Lines of which number 1 has spoken, at 0 s."""
    lines = Lines(assets, lambda: 0.999_999)
    assert lines.tick(0.0) == [Dial(1, assets)]
    assert lines.spoke(1, 0.0) == (True, [])
    assert lines.tick(1.0) == []
    return lines


def test_assets_that_are_added_come_without_a_break_of_the_others() -> None:
    """The old line counts until the new one has spoken, then never again."""
    lines = steady()
    lines.want(THREE)
    assert lines.tick(2.0) == [Dial(2, THREE)]
    assert lines.tick(3.0) == []
    assert lines.spoke(1, 4.0) == (True, [])
    assert lines.spoke(2, 5.0) == (True, [HangUp(1)])
    assert lines.spoke(1, 5.1) == (False, [])
    assert not lines.lost(1, 5.2)
    assert lines.up
    assert lines.tick(6.0) == []


def test_a_new_list_that_cannot_be_had_leaves_the_old_line_alone() -> None:
    """It is tried again, later each time."""
    lines = steady()
    lines.want(THREE)
    assert lines.tick(2.0) == [Dial(2, THREE)]
    assert lines.lost(2, 3.0)
    assert lines.up
    assert lines.tick(3.4) == []
    assert lines.tick(4.1) == [Dial(3, THREE)]
    assert lines.spoke(1, 5.0) == (True, [])


def test_a_list_that_changes_while_a_line_is_made_is_followed() -> None:
    """The line that comes up with the older list serves until the next one does."""
    lines = Lines(TWO, lambda: 0.5)
    assert lines.tick(0.0) == [Dial(1, TWO)]
    lines.want(THREE)
    assert lines.tick(1.0) == []
    assert lines.spoke(1, 2.0) == (True, [])
    assert lines.tick(3.0) == [Dial(2, THREE)]


def test_waits_grow_with_failures_up_to_a_minute() -> None:
    """With the largest jitter: 1, 2, 4, … 60 s."""
    lines = Lines(TWO, lambda: 0.999_999)
    now_s, waits = 0.0, []
    for line in range(1, 10):
        assert lines.tick(now_s) == [Dial(line, TWO)]
        assert lines.lost(line, now_s)
        waits.append(round(due(lines, now_s) - now_s))
        now_s = due(lines, now_s)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def due(lines: Lines, from_s: float) -> float:
    """When it would dial next, found without dialling."""
    return max(lines._due_s, from_s)


def test_waits_differ_between_clients() -> None:
    """From half of the wait to the whole of it."""
    waits = []
    for chance in (0.0, 0.5, 0.999_999):
        lines = Lines(TWO, partial(float, chance))
        lines.tick(0.0)
        lines.lost(1, 0.0)
        waits.append(round(due(lines, 0.0), 3))
    assert waits == [0.5, 0.75, 1.0]


def test_a_key_that_is_refused_is_not_tried_each_second() -> None:
    """Minutes pass: somebody has to change it."""
    lines = Lines(TWO, lambda: 0.0)
    lines.tick(0.0)
    lines.lost(1, 0.0, refused=True)
    assert lines.tick(149.0) == []
    assert lines.tick(150.0) == [Dial(2, TWO)]


def test_only_a_line_that_lasted_ends_the_trouble() -> None:
    """One that speaks once and breaks is a failure like the others."""
    lines = Lines(TWO, lambda: 0.999_999)
    now_s = 0.0
    for line, wait_s in ((1, 1), (2, 2), (3, 4)):
        assert lines.tick(now_s) == [Dial(line, TWO)]
        lines.spoke(line, now_s)
        lines.lost(line, now_s + 0.1)
        now_s = due(lines, now_s)
        assert lines.failures == line
        assert round(now_s) == sum(w for w in (1, 2, 4) if w <= wait_s)
    assert lines.tick(now_s) == [Dial(4, TWO)]
    lines.spoke(4, now_s)
    lines.lost(4, now_s + STEADY_S)
    assert lines.failures == 1


@pytest.mark.parametrize("spoken", [True, False])
def test_a_silent_line_is_hung_up_and_made_anew(*, spoken: bool) -> None:
    """Half-open: nothing comes, nothing is closed; also one that never spoke."""
    lines = Lines(TWO, lambda: 0.0)
    lines.tick(0.0)
    if spoken:
        lines.spoke(1, 0.0)
    assert lines.tick(SILENT_S) == []
    assert lines.tick(SILENT_S + 0.1) == [HangUp(1)]
    assert not lines.up
    assert lines.tick(SILENT_S + 1.0) == [Dial(2, TWO)]


def test_frames_that_wait_to_be_read_are_no_silence() -> None:
    """While PostgreSQL is away, what comes is heard, though nobody reads it."""
    lines = steady()
    lines.heard(1, 100.0)
    assert lines.tick(101.0) == []


class History:
    """Lines, and what they have been told to do."""

    def __init__(self) -> None:
        self.lines = Lines(TWO, lambda: 0.5)
        self.wanted: tuple[str, ...] = TWO
        self.alive: dict[int, tuple[str, ...]] = {}

    def obey(self, commands: Sequence[Dial | HangUp]) -> None:
        for command in commands:
            if isinstance(command, Dial):
                assert command.assets == self.wanted
                assert command.line not in self.alive
                self.alive[command.line] = command.assets
            else:
                del self.alive[command.line]
        assert len(self.alive) <= 2

    def step(self, what: str, line: int, now_s: float) -> None:
        if what == "tick":
            self.obey(self.lines.tick(now_s))
        elif what == "want":
            self.wanted = THREE if line % 2 else TWO
            self.lines.want(self.wanted)
        elif what == "lost":
            assert self.lines.lost(line, now_s) == (line in self.alive)
            self.alive.pop(line, None)
        else:
            counts, commands = self.lines.spoke(line, now_s)
            self.obey(commands)
            assert not counts or (self.lines.up and line in self.alive)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["tick", "spoke", "lost", "want"]),
            st.integers(1, 6),
            st.floats(0, 40),
        ),
        max_size=60,
    )
)
def test_in_every_history_lost_lines_never_count(steps: list[tuple[str, int, float]]) -> None:
    """And at its end, left in peace, one line is there, and it has the newest list."""
    history, now_s = History(), 0.0
    for what, line, passed_s in steps:
        now_s += passed_s
        history.step(what, line, now_s)
    for _ in range(6):
        now_s += 61.0
        for line in history.alive:
            history.lines.heard(line, now_s)
        history.step("tick", 0, now_s)
        history.step("spoke", max(history.alive), now_s)
    assert history.lines.up
    assert list(history.alive.values()) == [history.wanted]


def test_a_break_is_a_hole_from_the_last_price_to_the_next() -> None:
    """Of all symbols of the venue, never to be asked for again."""
    holes = Holes("coincap")
    holes.broke()  # before anything was heard there is nothing to miss
    assert holes.heard(NOON) == []
    holes.broke()
    holes.broke()
    (gap,) = holes.heard(NOON + timedelta(seconds=30))
    noon_ms = int(NOON.timestamp() * 1000)
    assert (gap.venue, gap.symbol, gap.stream) == ("coincap", "*", "prices")
    assert (gap.first_missing, gap.last_missing) == (noon_ms + 1, noon_ms + 29_999)
    assert (gap.state, gap.cause) == ("unprovable", "disconnect")
    assert holes.heard(NOON + timedelta(seconds=31)) == []


def test_a_break_shorter_than_a_millisecond_is_still_a_range() -> None:
    """PostgreSQL refuses a hole that ends before it begins."""
    holes = Holes("coincap")
    holes.heard(NOON)
    holes.broke()
    (gap,) = holes.heard(NOON)
    assert gap.last_missing >= gap.first_missing


def test_the_list_grows_by_a_file_while_it_runs(tmp_path: Path) -> None:
    """Comments, twins and nonsense are harmless; without the file the settings' own remain."""
    file = tmp_path / "coincap-assets"
    assets = Assets(TWO, file)
    assert assets.now() == TWO
    file.write_text("# more\nsui  # new\n\nbitcoin\nNot An Id\n../etc\n")
    assert assets.now() == THREE
    file.write_text("sui\nchainlink\n")
    assert assets.now() == (*THREE, "chainlink")
    file.unlink()
    assert assets.now() == TWO
    file.write_bytes(b"\xff\xfe\n" * 100)
    assert assets.now() == TWO


@given(st.text())
def test_what_a_file_names_can_stand_in_an_address(text: str) -> None:
    """No id holds a character that would end its parameter."""
    ids, _ = named(text)
    assert not any(set(name) & set("&?#/=%, \n") or not name.isascii() for name in ids)
