"""The log's reader: raw messages of this generation's topics, offsets committed by hand.

Where a partition starts is decided here, never by a reset policy: at the committed offset, else at
the beginning. Events that Kafka dropped before they were applied are an alarm, not a skip.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc.errors import RetentionPassed, TopicRecreated, Unreachable
from cdc.membership import Membership
from cdc.settings import CdcSettings

log = structlog.get_logger(__name__)

Partition = tuple[str, int]  # topic, number
Offsets = Mapping[Partition, int]

_ADMIN_TIMEOUT_S = 10.0
_REVOKE_S, _REVOKE_STEP_S, _REVOKE_MESSAGES = 2.0, 0.05, 2000


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition holds and what was done of it; offsets of the next event, None: none yet."""

    low: int
    high: int
    committed: int | None
    acknowledged: int | None


def start_offset(partition: Partition, extent: Extent) -> int:
    """Where to start reading a partition; Fatal where events are lost or the topic is another.

    The last transaction of a quiet partition stays uncommitted (its end is not known yet), so
    retention may pass the commit without a loss: what was acknowledged counts then.
    """
    name = f"{partition[0]}[{partition[1]}]"
    start = extent.committed if extent.committed is not None else 0
    if start > extent.high:
        raise TopicRecreated(
            f"{name} ends at {extent.high}, but {start} is committed: the topic was made anew; "
            "raise the generation: docs/runbook.md, chapter topic_recreated"
        )
    if start >= extent.low:
        return start
    if extent.acknowledged is not None and extent.low <= extent.acknowledged <= extent.high:
        return extent.low
    raise RetentionPassed(
        f"Kafka dropped events of {name} before they were applied (next {start}, oldest kept "
        f"{extent.low}); raise the generation: docs/runbook.md, chapter retention_passed"
    )


class LogReader:
    """Reads the topics as a member of the sink's group.

    `on_assigned` hears {partition: first offset}, `on_revoked` the partitions that go, and returns
    what may be committed of them. Both run inside `poll`, on the caller's thread.
    `acknowledged` looks up what was acknowledged according to Cassandra.
    """

    def __init__(
        self,
        settings: CdcSettings,
        topics: Iterable[str],
        on_assigned: Callable[[Offsets], None],
        on_revoked: Callable[[list[Partition]], Offsets],
        acknowledged: Callable[[], Offsets],
    ) -> None:
        self._settings = settings
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._acknowledged = acknowledged
        self._failure: Exception | None = None
        self._unknown: set[str] = set()
        self._paused = False
        self._halted: set[Partition] = set()
        self._not_committed: set[Partition] = set()
        configuration = _configuration(settings) | {"on_commit": self._commit_answered}
        self._consumer = Consumer(configuration, logger=logging.getLogger("librdkafka"))
        self.membership = Membership(settings, settings.sink_group, self._consumer.memberid)
        self._consumer.subscribe(
            sorted(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what is there, at most `poll_messages`; wait up to the timeout for the first.

        Fatal errors of the assignment, and an offset that Kafka no longer has, are raised.
        """
        first = self._consumer.poll(timeout_s)
        self._raise_failure()
        if first is None:
            return []
        rest = self._consumer.consume(self._settings.poll_messages - 1, 0)
        self._raise_failure()
        return [each for each in (first, *rest) if each.error() is None or self._heed(each)]

    def commit(self, offsets: Offsets, *, wait: bool = False) -> None:
        """Commit next offsets; `take_not_committed` tells later what must be tried again."""
        wanted = [TopicPartition(topic, number, at) for (topic, number), at in offsets.items()]
        if not wanted:
            return
        try:
            if wait:
                self._consumer.commit(offsets=wanted, asynchronous=False)
            else:
                self._consumer.commit(offsets=wanted, asynchronous=True)
        except KafkaException as error:
            log.warning("offsets are not committed yet", error=error.args[0].name())
            self._not_committed.update(offsets)

    def take_not_committed(self) -> set[Partition]:
        """Partitions whose commit failed since the last call."""
        taken, self._not_committed = self._not_committed, set()
        return taken

    def pause(self) -> None:
        """Fetch nothing, yet stay in the group."""
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True

    def resume(self) -> None:
        """Go on after `pause`; halted partitions stay halted."""
        if self._paused:
            self._paused = False
            self._consumer.resume(
                [
                    each
                    for each in self._consumer.assignment()
                    if (each.topic, each.partition) not in self._halted
                ]
            )

    def halt(self, partitions: Iterable[Partition]) -> None:
        """Read no more of these partitions."""
        new = set(partitions) - self._halted
        self._halted |= new
        self._consumer.pause([TopicPartition(*each) for each in new])

    def lag(self, positions: Offsets) -> dict[Partition, int]:
        """Events between each position and the end, as far as the last fetch knows."""
        found = {}
        for (topic, number), position in positions.items():
            _low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, number), cached=True
            )
            if high >= 0:
                found[topic, number] = max(0, high - position)
        return found

    def close(self) -> None:
        """Leave the group."""
        leave_group(self._consumer)

    def _commit_answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = [each for each in partitions if error is not None or each.error is not None]
        self._not_committed.update((each.topic, each.partition) for each in failed)

    def _heed(self, message: Message) -> bool:
        """Heed an error that comes in a message's place; whether it is a message after all."""
        error = message.error()
        if error is None:
            return True
        code = error.code()
        if code == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - librdkafka's own codes are named so
            raise RetentionPassed(
                f"Kafka no longer has the next event of {message.topic()}[{message.partition()}]; "
                "raise the generation: docs/runbook.md, chapter retention_passed"
            )
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            topic = str(message.topic())
            if topic not in self._unknown:
                self._unknown.add(topic)
                log.info("a topic does not exist yet, waiting for it", topic=topic)
        else:
            log.warning("Kafka reports an error", error=error.name(), topic=message.topic())
        return False

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = self._starts(consumer, partitions)
        except KafkaException as error:
            self._failure = Unreachable(f"Kafka does not say its offsets: {error.args[0].name()}")
            return
        except Exception as error:  # noqa: BLE001 - librdkafka's callback: poll raises it
            self._failure = error
            return
        self.membership.began()
        consumer.incremental_assign(
            [TopicPartition(topic, number, at) for (topic, number), at in starts.items()]
        )
        self._on_assigned(starts)
        if self._paused:
            consumer.pause(partitions)
        log.info("partitions assigned", count=len(partitions))

    def _starts(self, consumer: Consumer, partitions: list[TopicPartition]) -> dict[Partition, int]:
        committed = {
            (each.topic, each.partition): each.offset if each.offset >= 0 else None
            for each in consumer.committed(partitions, timeout=_ADMIN_TIMEOUT_S)
        }
        acknowledged = self._acknowledged()
        starts = {}
        for partition, offset in committed.items():
            low, high = consumer.get_watermark_offsets(
                TopicPartition(*partition), timeout=_ADMIN_TIMEOUT_S
            )
            extent = Extent(low, high, offset, acknowledged.get(partition))
            starts[partition] = start_offset(partition, extent)
        return starts

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.commit(self._drop(partitions), wait=True)
        consumer.incremental_unassign(partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another member has them already: nothing of them is ours to commit."""
        self.membership.ended()
        self._drop(partitions)
        consumer.incremental_unassign(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> Offsets:
        gone = [(each.topic, each.partition) for each in partitions]
        self._halted.difference_update(gone)
        log.info("partitions revoked", count=len(gone))
        return self._on_revoked(gone)


def leave_group(consumer: Consumer) -> None:
    """Close a consumer; what it has read and not committed is read again by who comes next.

    Partitions go before the consumer closes: in a rebalance that reaches a closing consumer
    librdkafka may wait for ever, and holds the interpreter's lock (its issue 4884).
    """
    consumer.unsubscribe()
    deadline = time.monotonic() + _REVOKE_S
    while consumer.assignment() and time.monotonic() < deadline:
        consumer.consume(_REVOKE_MESSAGES, _REVOKE_STEP_S)
    consumer.close()


def _configuration(settings: CdcSettings) -> dict[str, object]:
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": settings.sink_group,
        "client.id": "tidemark-sink",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        # new topics are seen soon, a broker that comes back is reached soon
        "topic.metadata.refresh.interval.ms": 10_000,
        "reconnect.backoff.max.ms": 2000,
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 1,
        "fetch.message.max.bytes": 8 * 1024 * 1024,
        "queued.max.messages.kbytes": 65_536,
    }
