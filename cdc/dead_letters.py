"""The dead letters: what could not be applied, with its cause and its exact bytes.

Key and value of the letter are the key and the value of the event, byte for byte; headers say the
rest. An event that is met again after a restart makes the same letter again: `id` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from confluent_kafka import KafkaException, Producer

from cdc.errors import DeadLetterLost, Poison
from cdc.settings import CdcSettings
from runtime import failpoints

log = structlog.get_logger(__name__)

_MAX_REASON = 1000
_MAX_UNDER_WAY = 100


def headers(
    event: Any, *, table: str, error: Poison, timestamp: int | None, cut_from: int | None
) -> list[tuple[str, str | bytes | None]]:
    """What a letter says about its event.

    `timestamp`: its write timestamp, None where it has no place in the order; `cut_from`: the
    value's full size, where it is cut.
    """
    lsn = lsn_of(event.value())
    fields: dict[str, object] = {
        "id": f"{event.topic()}-{event.partition()}-{event.offset()}",
        "cause": error.cause,
        "reason": str(error)[:_MAX_REASON],
        "path": error.path,
        "table": table,
        "topic": event.topic(),
        "partition": event.partition(),
        "offset": event.offset(),
        "lsn": "" if lsn is None else lsn,
        "write_timestamp": "" if timestamp is None else timestamp,
    }
    if cut_from is not None:
        fields["cut_from_bytes"] = cut_from
    return [(name, str(value).encode()) for name, value in fields.items()]


class _Placed(msgspec.Struct):
    lsn: int | None = None


class _Envelope(msgspec.Struct):
    source: _Placed | None = None


def lsn_of(value: bytes | None) -> int | None:
    """The LSN that an event names, if it can be read at all."""
    try:
        envelope = msgspec.json.decode(value or b"", type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if envelope.source is None else envelope.source.lsn


class DeadLetters:
    """Produces dead letters; what cannot be stored is raised by the next `check`."""

    def __init__(self, settings: CdcSettings) -> None:
        self._topic = settings.dead_letter_topic
        self._max_bytes = settings.dead_letter_max_bytes
        self._failure: DeadLetterLost | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "client.id": "tidemark-dead-letters",
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,  # a broker that is away is waited for
                "message.max.bytes": settings.dead_letter_max_bytes + 100_000,
                "compression.type": "lz4",
            }
        )

    def put(
        self,
        event: Any,
        *,
        table: str,
        error: Poison,
        timestamp: int | None,
        stored: Callable[[], None],
    ) -> None:
        """Send one letter; `stored` is called, from `check`, when Kafka has it."""
        value: bytes | None = event.value()
        cut_from = None
        if value is not None and len(value) > self._max_bytes:
            cut_from = len(value)
            value = value[: self._max_bytes]

        def delivered(failed: Any, _message: Any) -> None:
            if failed is None:
                stored()
            else:
                self._failure = self._lost(failed.name())

        try:
            self._producer.produce(
                self._topic,
                value=value,
                key=event.key(),
                headers=headers(
                    event, table=table, error=error, timestamp=timestamp, cut_from=cut_from
                ),
                on_delivery=delivered,
            )
        except (KafkaException, BufferError) as failed:
            raise self._lost(type(failed).__name__) from failed
        failpoints.reach("in_dead_letter")
        log.warning(
            "event went to the dead letters",
            table=table,
            cause=error.cause,
            reason=str(error)[:_MAX_REASON],
            partition=event.partition(),
            offset=event.offset(),
        )

    @property
    def full(self) -> bool:
        """Whether so many letters are under way that reading should wait."""
        return len(self._producer) >= _MAX_UNDER_WAY

    def check(self) -> None:
        """Take up deliveries; DeadLetterLost where one failed."""
        self._producer.poll(0)
        if self._failure is not None:
            raise self._failure

    def flush(self, timeout_s: float) -> None:
        """Wait for what is under way."""
        self._producer.flush(timeout_s)

    def _lost(self, why: str) -> DeadLetterLost:
        return DeadLetterLost(
            f"a dead letter cannot be stored in {self._topic} ({why}): its event is not passed; "
            "`tidemark connector apply` makes the topic"
        )
