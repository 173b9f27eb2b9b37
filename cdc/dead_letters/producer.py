"""Sends dead letters to their topic. What cannot be stored there is raised, never passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer

from cdc.dead_letters.letter import MAX_KEY_BYTES, MAX_REASON, headers
from cdc.errors import DeadLetterLost, Poison
from cdc.settings import CdcSettings
from runtime import failpoints

log = structlog.get_logger(__name__)

_MAX_UNDER_WAY = 100
_LOGGED_EACH = 20  # of a cause, table and path; then every hundredth
_LOGGED_EVERY = 100


class DeadLetters:
    """Produces dead letters; what cannot be stored is raised by the next `check`."""

    def __init__(self, settings: CdcSettings) -> None:
        self._topic = settings.dead_letter_topic
        self._max_bytes = settings.dead_letter_max_bytes
        self._failure: DeadLetterLost | None = None
        self._met: dict[tuple[str, str, str], int] = {}
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "client.id": "tidemark-dead-letters",
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,  # a broker that is away is waited for
                # … and a topic that is gone is not: the sink stops, and somebody hears of it
                "topic.metadata.refresh.interval.ms": 5000,
                "topic.metadata.propagation.max.ms": 5000,
                "message.max.bytes": settings.dead_letter_max_bytes + 2 * MAX_KEY_BYTES,
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
        key: bytes | None = event.key()
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
                key=None if key is None else key[:MAX_KEY_BYTES],
                headers=headers(
                    event, table=table, error=error, timestamp=timestamp, cut_from=cut_from
                ),
                on_delivery=delivered,
            )
        except (KafkaException, BufferError) as failed:
            raise self._lost(type(failed).__name__) from failed
        failpoints.reach("in_dead_letter")
        self._log(event, table, error)

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

    def _log(self, event: Any, table: str, error: Poison) -> None:
        """A contract that broke makes thousands alike: the letters hold each, the log does not."""
        kind = table, error.cause, error.path
        count = self._met[kind] = self._met.get(kind, 0) + 1
        if count <= _LOGGED_EACH or count % _LOGGED_EVERY == 0:
            log.warning(
                "event went to the dead letters",
                table=table,
                cause=error.cause,
                path=error.path,
                reason=str(error)[:MAX_REASON],
                partition=event.partition(),
                offset=event.offset(),
                count=count,
            )

    def _lost(self, why: str) -> DeadLetterLost:
        return DeadLetterLost(
            f"a dead letter cannot be stored in {self._topic} ({why}): its event is not passed; "
            "`tidemark connector apply` makes the topic"
        )
