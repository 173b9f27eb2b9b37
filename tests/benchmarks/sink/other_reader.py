"""The sink with kafka-python in the place of confluent-kafka: what the consumer alone costs.

    python -m tests.benchmarks.sink.other_reader

It takes all partitions by hand, so what a rebalance needs is left out, in its favour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from cdc.membership import Membership
from cdc.settings import CdcSettings
from cdc.sink import loop, service
from cdc.sink.consumer import Offsets, Partition
from runtime import logs
from runtime.shutdown import Shutdown


class Message:
    """A record that speaks as confluent-kafka's do."""

    __slots__ = ("_record",)

    def __init__(self, record: Any) -> None:
        self._record = record

    def topic(self) -> str:
        return str(self._record.topic)

    def partition(self) -> int:
        return int(self._record.partition)

    def offset(self) -> int:
        return int(self._record.offset)

    def key(self) -> Any:
        return self._record.key

    def value(self) -> Any:
        return self._record.value

    def timestamp(self) -> tuple[int, int]:
        return 1, int(self._record.timestamp)


class KafkaPythonReader:
    """As `cdc.sink.consumer.LogReader`, as far as a window needs it."""

    def __init__(
        self,
        settings: CdcSettings,
        topics: Iterable[str],
        on_assigned: Callable[[Offsets], None],
        on_revoked: Callable[[list[Partition]], Offsets],
        acknowledged: Callable[[], Offsets],
    ) -> None:
        del on_revoked, acknowledged
        self._settings = settings
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=settings.sink_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        found = [
            TopicPartition(topic, number)
            for topic in sorted(topics)
            for number in self._consumer.partitions_for_topic(topic) or ()
        ]
        self._consumer.assign(found)
        self.membership = Membership(settings, settings.sink_group, lambda: None)
        self.membership.began()  # it has its partitions without a group
        on_assigned(
            {(each.topic, each.partition): self._consumer.committed(each) or 0 for each in found}
        )

    def poll(self, timeout_s: float) -> list[Message]:
        found = self._consumer.poll(
            timeout_ms=int(timeout_s * 1000), max_records=self._settings.poll_messages
        )
        return [Message(record) for records in found.values() for record in records]

    def commit(self, offsets: Offsets, *, wait: bool = False) -> None:
        del wait
        if offsets:
            self._consumer.commit_async(
                {TopicPartition(*key): OffsetAndMetadata(at, "", -1) for key, at in offsets.items()}
            )

    def take_not_committed(self) -> set[Partition]:
        return set()

    def pause(self) -> None:
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._consumer.resume(*self._consumer.assignment())

    def halt(self, partitions: Iterable[Partition]) -> None:
        raise AssertionError(f"the log is sound, yet {sorted(partitions)} halt")

    def lag(self, positions: Offsets) -> dict[Partition, int]:
        del positions
        return {}

    def close(self) -> None:
        self._consumer.close()


def main() -> None:
    logs.configure("sink")
    vars(loop)["LogReader"] = KafkaPythonReader
    service.run(CdcSettings(), Shutdown().install())


if __name__ == "__main__":
    main()
