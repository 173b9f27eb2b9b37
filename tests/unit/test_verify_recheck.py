"""The sandwich: candidates are judged while rows change, against a world in which time passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from cdc.verification.compare import Difference, Kind, Row
from cdc.verification.recheck import Sides, Version, settle

KEY: Row = ("BTCUSDT",)


@dataclass
class World:
    """PostgreSQL's values, one a tick (None: deleted); the last one stays for ever.

    Cassandra follows `lag` ticks behind; a fence waits that long. What is written at tick
    `lost_from` or later never arrives.
    """

    history: list[int | None]
    lag: int
    lost_from: int = 1_000_000
    now: int = 0
    looks: list[int] = field(default_factory=list)

    def _value(self, tick: int) -> int | None:
        return self.history[min(tick, len(self.history) - 1)]

    def source(self, _: Sequence[Row]) -> dict[Row, Version]:
        self.now += 1
        value = self._value(self.now)
        write = min(self.now, len(self.history) - 1)  # the tick that wrote this very version
        while write > 0 and self.history[write - 1] == value:
            write -= 1
        return {} if value is None else {KEY: ((*KEY, value), str(write))}

    def target(self, _: Sequence[Row]) -> dict[Row, Row]:
        self.now += 1
        arrived = min(self.now - self.lag, self.lost_from - 1)
        value = self._value(arrived) if arrived >= 0 else None
        return {} if value is None else {KEY: (*KEY, value)}

    def fence(self) -> int:
        self.looks.append(self.now)
        self.now += self.lag
        return self.looks[-1]

    def sides(self, *, forgotten: bool = False) -> Sides:
        return Sides(
            source=self.source,
            fence=self.fence,
            target=self.target,
            forgotten=lambda _source, _target: forgotten,
        )


@given(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=60), st.integers(0, 5))
def test_a_faithful_copy_is_never_called_different(history: list[int | None], lag: int) -> None:
    """However the row changes under the comparison."""
    assert settle([KEY], World(history, lag).sides(), rounds=5).differences == []


@given(st.integers(0, 5), st.integers(0, 30))
def test_a_lost_update_is_never_excused(lag: int, changes: int) -> None:
    """The row moves for a while and then rests; Cassandra holds what it was before."""
    moving = [1 + tick % 2 for tick in range(changes)]
    world = World([0, *moving, 7], lag, lost_from=1)
    settled = settle([KEY], world.sides(), rounds=40)
    assert [difference.key for difference in settled.differences] == [KEY]
    assert settled.unsettled == []


def test_each_kind_of_difference_is_told() -> None:
    missing = World([5], lag=0, lost_from=0)
    assert settle([KEY], missing.sides(), 1).differences == [Difference(Kind.MISSING, KEY)]
    deleted = World([5, None], lag=0, lost_from=1)
    assert settle([KEY], deleted.sides(), 1).differences == [Difference(Kind.EXTRA, KEY)]
    stale = World([5, 6], lag=0, lost_from=1)
    assert settle([KEY], stale.sides(), 1).differences == [Difference(Kind.DIFFERENT, KEY)]


def test_a_row_that_changes_at_each_look_is_unsettled_not_equal() -> None:
    """Not judged is not proved: the report says so and is not clean."""
    world = World(list(range(100)), lag=0)  # what Cassandra holds is always a change behind
    settled = settle([KEY], world.sides(), rounds=4)
    assert (settled.differences, settled.unsettled, len(world.looks)) == ([], [KEY], 4)


def test_no_candidates_need_no_fence() -> None:
    world = World([1], lag=0)
    settle([], world.sides(), rounds=4)
    assert world.looks == []


def test_history_that_postgresql_dropped_is_no_difference() -> None:
    dropped = World([5, None], lag=0, lost_from=1)
    assert settle([KEY], dropped.sides(forgotten=True), 1).differences == []
