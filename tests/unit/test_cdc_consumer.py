"""Where a partition starts: never behind a hole, never beyond its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer

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


def test_a_reader_that_is_not_taken_back_gives_up_only_where_kafka_answers(
    reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the real client; then one that gets an answer."""
    reader.check()  # in its group, as far as it knows
    consumer: Consumer = reader._consumer
    reader._lost(SimpleNamespace(incremental_unassign=lambda _: None), [])  # type: ignore[arg-type]
    reader.check()  # a moment ago: it may come back
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 18.1)
    reader.check()  # Kafka is away: nobody could take it back
    answering = SimpleNamespace(list_topics=lambda timeout: timeout)
    monkeypatch.setattr(reader, "_consumer", answering)
    reader.check()  # and from that moment on it has as long again
    monkeypatch.setattr(time, "monotonic", lambda: began + 2 * 18.2)
    with pytest.raises(Adrift, match="begins anew"):
        reader.check()
    monkeypatch.undo()
    assert reader._consumer is consumer
