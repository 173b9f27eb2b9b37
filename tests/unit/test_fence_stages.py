"""The fence, with stages that can be slow, stuck or ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc.errors import FenceTimeout
from cdc.fence import Fence, as_lsn, behind

AT = datetime(2026, 1, 1, tzinfo=UTC)
END = {("market.g1.public.trades", 0): 10, ("market.g1.public.trades", 1): 0}


class Stages:
    """Each list is what a stage answers, call by call; the last answer stays."""

    def __init__(
        self, commits: list[int | None], positions: list[Mapping[tuple[str, int], int]]
    ) -> None:
        self.log: list[str] = []
        self._commits = _then_last(commits)
        self._positions = _then_last(positions)

    def beat(self) -> datetime:
        self.log.append("beat")
        return AT

    def insert_lsn(self) -> int:
        self.log.append("lsn")
        return 800

    def commit_lsn(self) -> int | None:
        self.log.append("commit")
        commit: int | None = next(self._commits)
        return commit

    def watermarks(self) -> Mapping[tuple[str, int], int]:
        self.log.append("watermarks")
        return END

    def acknowledged(self) -> Mapping[tuple[str, int], int]:
        self.log.append("acknowledged")
        positions: Mapping[tuple[str, int], int] = next(self._positions)
        return positions

    def fence(self, timeout_s: float = 60.0) -> Fence:
        return Fence(
            source=self,
            commit_lsn=self.commit_lsn,
            watermarks=self.watermarks,
            acknowledged=self.acknowledged,
            timeout_s=timeout_s,
            sleep=lambda _: None,
        )


def _then_last(answers: list[Any]) -> Iterator[Any]:
    yield from answers
    while True:
        yield answers[-1]


def test_the_steps_come_in_the_order_that_proves_it() -> None:
    """Watermarks before the connector is past, or positions before them, would prove nothing."""
    stages = Stages([None, 792, 800], [{}, END])
    passed = stages.fence().wait()
    assert stages.log == [
        *("beat", "lsn", "beat"),
        *("commit", "commit", "commit"),
        "watermarks",
        *("acknowledged", "acknowledged"),
    ]
    assert (passed.beat_at, passed.lsn) == (AT, 800)


def test_a_stuck_connector_is_named() -> None:
    with pytest.raises(FenceTimeout, match=r"Debezium.*0/318 of 0/320") as raised:
        Stages([792], [END]).fence(timeout_s=0).wait()
    assert raised.value.stage.startswith("Debezium")


def test_a_stuck_sink_is_named_with_its_worst_partition() -> None:
    with pytest.raises(FenceTimeout, match=r"the sink.*trades/0 by 7 events"):
        Stages([800], [{("market.g1.public.trades", 0): 3}]).fence(timeout_s=0).wait()


def test_an_empty_partition_needs_no_position() -> None:
    """Nothing was ever sent there, so the sink has nothing to acknowledge."""
    assert behind(END, {("market.g1.public.trades", 0): 10}) == ""


def test_positions_are_written_as_postgresql_writes_them() -> None:
    assert as_lsn(0x1_0000_00FF) == "1/FF"
