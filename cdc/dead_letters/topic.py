"""The dead-letter topic read back: one message by its place, or all of them from the beginning."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc.dead_letters.letter import Letter, letter_of
from cdc.errors import Unreachable
from cdc.settings import CdcSettings

FETCH_BYTES = 9 * 1024 * 1024  # the largest letter, and what Kafka lays around it
_PATIENCE_S = 10.0


def consumer(settings: CdcSettings, group: str, **more: object) -> Consumer:
    """A consumer that starts at the beginning where nothing is committed or kept any more."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": group,
            "client.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": settings.session_timeout_ms,
            "topic.metadata.refresh.interval.ms": 10_000,
            "reconnect.backoff.max.ms": 2000,
            "fetch.message.max.bytes": FETCH_BYTES,
            "queued.max.messages.kbytes": 2 * FETCH_BYTES // 1024,
            **more,
        },
        logger=logging.getLogger("librdkafka"),
    )


def value_of(settings: CdcSettings, letter: Letter) -> bytes | None:
    """The event's bytes as the letter's message has them, None where the topic has it no more."""
    message = _message_at(settings, letter.letter_partition, letter.letter_offset)
    if message is None or letter_of(message).id != letter.id:
        return None  # the topic was made anew
    value: bytes | None = message.value()
    return value


def _message_at(settings: CdcSettings, partition: int, offset: int) -> Any:
    """The message at an offset, None where there is none."""
    topic = settings.dead_letter_topic
    place = TopicPartition(topic, partition, offset)
    reader = consumer(settings, f"{settings.sink_group}-dead-letter")
    try:
        low, high = reader.get_watermark_offsets(place, timeout=_PATIENCE_S)
        if not low <= offset < high:
            return None
        reader.assign([place])
        message = reader.poll(_PATIENCE_S)
    except KafkaException as error:
        raise Unreachable(f"Kafka does not give a dead letter: {error.args[0].name()}") from error
    finally:
        reader.close()
    if message is None or message.error() is not None:
        raise Unreachable(f"Kafka does not give message {offset} of {topic}[{partition}] in time")
    return message
