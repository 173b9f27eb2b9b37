"""Where a partition starts: never behind a hole, never beyond its end."""

from __future__ import annotations

import pytest

from cdc.errors import RetentionPassed, TopicRecreated
from cdc.sink.consumer import Extent, leave_group, start_offset

PARTITION = ("market.g1.public.trades", 0)


@pytest.mark.parametrize(
    ("low", "high", "committed", "acknowledged", "start"),
    [
        (0, 0, None, None, 0),  # an empty topic, the very first start
        (0, 90, None, None, 0),  # a new partition: all of it
        (0, 90, 40, 60, 40),  # the commit is a transaction's beginning, so it is what counts
        (30, 90, 30, None, 30),
        (30, 90, 10, 40, 30),  # a quiet partition: retention passed what was acknowledged
        (30, 30, 10, 30, 30),  # … and nothing came since
        (90, 90, 90, 90, 90),
    ],
)
def test_a_partition_starts_where_nothing_is_missed(
    low: int, high: int, committed: int | None, acknowledged: int | None, start: int
) -> None:
    """Committed, else the beginning; the acknowledged part may be gone."""
    assert start_offset(PARTITION, Extent(low, high, committed, acknowledged)) == start


@pytest.mark.parametrize(
    "extent", [Extent(30, 90, 10, None), Extent(30, 90, None, None), Extent(30, 90, 10, 29)]
)
def test_retention_that_passed_the_sink_is_an_alarm(extent: Extent) -> None:
    """Never a skip; the way on is named."""
    with pytest.raises(RetentionPassed, match="raise the generation"):
        start_offset(PARTITION, extent)


def test_a_topic_that_was_made_anew_is_an_alarm() -> None:
    """Its offsets mean other events."""
    with pytest.raises(TopicRecreated, match="made anew"):
        start_offset(PARTITION, Extent(0, 5, 40, 40))


class Leaving:
    """A consumer whose partition goes with the second answer of its group."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def unsubscribe(self) -> None:
        self.did.append("unsubscribe")

    def assignment(self) -> list[str]:
        return [] if self.did.count("consume") == 2 else ["topic[0]"]

    def consume(self, _messages: int, _timeout_s: float) -> list[object]:
        self.did.append("consume")
        return []

    def close(self) -> None:
        self.did.append("close")


def test_who_leaves_a_group_holds_no_partition_any_more_when_it_closes() -> None:
    """A rebalance that reaches a closing consumer may hold the whole process for ever."""
    consumer = Leaving()
    leave_group(consumer)  # type: ignore[arg-type]  # what speaks like one
    assert consumer.did == ["unsubscribe", "consume", "consume", "close"]
