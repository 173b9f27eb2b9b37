"""All events that lie in a generation's topics, as they lie there."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc.settings import CdcSettings
from contracts.change import Origin
from contracts.naming import topic_of

Partition = tuple[str, int]  # table, number
NOT_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class Envelope(msgspec.Struct):
    """An event without knowledge of its table."""

    op: str
    source: Origin
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True)
class Logged:
    """A message and what it says."""

    message: Message
    envelope: Envelope

    @property
    def key(self) -> bytes:
        return self.message.key() or b""

    @property
    def change(self) -> tuple[int | None, int | None, bytes, str]:
        """What tells a change from every other: an event that is sent again has the same."""
        origin = self.envelope.source
        return origin.tx_id, origin.lsn, self.key, self.envelope.op


def count_events(settings: CdcSettings, tables: Iterable[str]) -> Generator[int, None, None]:
    """How many events there are in these tables' topics, again and again."""
    consumer = _consumer(settings)
    try:
        partitions = [
            TopicPartition(topic_of(table, settings.generation), number)
            for table in tables
            for number in _partitions(consumer, topic_of(table, settings.generation))
        ]
        while True:
            yield sum(_end(consumer, at) for at in partitions)
    finally:
        consumer.close()


def _end(consumer: Consumer, at: TopicPartition) -> int:
    """Where a partition ends; 0 while it is so new that no broker leads it yet."""
    try:
        return int(consumer.get_watermark_offsets(at, timeout=10)[1])
    except KafkaException as error:
        if error.args[0].code() not in NOT_YET:
            raise
        return 0


def read_log(settings: CdcSettings, tables: Iterable[str]) -> dict[Partition, list[Logged]]:
    """Every event of these tables' topics, by partition, from their beginnings to their ends."""
    consumer = _consumer(settings)
    try:
        return {
            (table, number): _read(consumer, topic_of(table, settings.generation), number)
            for table in tables
            for number in _partitions(consumer, topic_of(table, settings.generation))
        }
    finally:
        consumer.close()


def _consumer(settings: CdcSettings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "reads-everything",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    return sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)


def _read(consumer: Consumer, topic: str, number: int) -> list[Logged]:
    at = TopicPartition(topic, number, 0)
    _low, high = consumer.get_watermark_offsets(at, timeout=10)
    consumer.assign([at])
    found: list[Logged] = []
    while high and consumer.position([at])[0].offset < high:
        for message in consumer.consume(1000, 1):
            assert message.error() is None, message.error()
            value = message.value() or b""
            found.append(Logged(message, msgspec.json.decode(value, type=Envelope)))
    return found
