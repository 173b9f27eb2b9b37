"""Where a partition starts: never behind a hole, never beyond its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest

from cdc.errors import Adrift, RetentionPassed, TopicRecreated
from cdc.settings import CdcSettings
from cdc.sink.consumer import Extent, LogReader, start_offset
from tests.conftest import free_ports

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


@pytest.fixture
def reader() -> Iterator[LogReader]:
    """A reader of a Kafka that is not there."""
    (port,) = free_ports(1)
    settings = CdcSettings(kafka_bootstrap=f"127.0.0.1:{port}", session_timeout_ms=6000)
    made = LogReader(settings, ["t"], lambda _: None, lambda _: {}, dict)
    with closing(made):
        yield made


def test_a_reader_is_adrift_only_where_kafka_answers_and_does_not_know_it(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients are real ones, of a Kafka that is away; what it answers otherwise is given."""
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    reader.check()  # just begun
    clock[0] += 18.1
    reader.check()  # Kafka is away: nobody could know it
    monkeypatch.setattr(reader, "_members", lambda: {"another", reader._consumer.memberid()})
    clock[0] += 18.1
    reader.check()  # in the group, which has no partition for it
    monkeypatch.setattr(reader, "_members", lambda: {"another"})
    clock[0] += 17.9
    reader.check()  # it may be joining
    clock[0] += 0.2
    with pytest.raises(Adrift, match="begins anew"):
        reader.check()
    monkeypatch.setattr(reader, "_starts", lambda *_: {})
    reader._assigned(SimpleNamespace(incremental_assign=lambda _: None), [])  # type: ignore[arg-type]
    clock[0] += 100
    reader.check()
    reader._lost(SimpleNamespace(incremental_unassign=lambda _: None), [])  # type: ignore[arg-type]
    clock[0] += 18.1
    with pytest.raises(Adrift):
        reader.check()
