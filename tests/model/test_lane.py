"""The real lane, decoder and router between the model's log and the model's Cassandra."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.model.choices import SIZE, Choices
from tests.model.lane import LaneWorld

HISTORIES = 200


def test_histories_converge_through_the_real_lane() -> None:
    """With rows that nobody can decode placed, and large values that are not sent left unset."""
    random, seen = Random(1), Counter[str]()
    for _ in range(HISTORIES):
        data = random.randbytes(SIZE)
        outcome = LaneWorld(Choices(data)).run()
        assert not outcome.differences, f"--history {data.hex()}"
        seen += outcome.seen
    assert seen["letters"] > 100
    assert seen["repeated events"] > 1000
