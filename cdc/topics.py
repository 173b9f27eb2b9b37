"""Kafka's topics: readiness, creation, watermarks, the sink's lag. The one user of kafka-python.

The hot path does not come here: cdc/sink/consumer.py reads with confluent-kafka.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from cdc.errors import TopicMismatch, Unreachable
from cdc.settings import CdcSettings
from cdc.times import MS_PER_DAY
from contracts.naming import CONTRACT_TOPICS

MAX_MESSAGE_BYTES = 8 * 1024 * 1024  # as debezium/postgres-source.json says
HEARTBEAT_TOPIC_PREFIX = "__debezium-heartbeat"

Positions = dict[tuple[str, int], int]  # (topic, partition) → offset


@dataclass(frozen=True, kw_only=True)
class TopicSpec:
    """How one topic must look. `times`: whose clock stamps its messages.

    `setting`: the variable that says how many partitions it has.
    """

    name: str
    partitions: int
    retention_ms: int
    times: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    setting: str = "TIDEMARK_TOPIC_PARTITIONS"

    def options(self) -> dict[str, object]:
        """As kafka-python's create_topics wants it."""
        return {
            "num_partitions": self.partitions,
            "replication_factor": 1,
            "configs": {
                "cleanup.policy": "delete",
                "retention.ms": str(self.retention_ms),
                "max.message.bytes": str(MAX_MESSAGE_BYTES),
                "message.timestamp.type": self.times,
            },
        }


def topic_specs(settings: CdcSettings, data_topics: Iterable[str], prefix: str) -> list[TopicSpec]:
    """Every topic: of a generation one a routed table and a heartbeat; contract, dead letters."""
    days, partitions = settings.topic_retention_days, settings.topic_partitions
    specs = [
        TopicSpec(name=name, partitions=partitions, retention_ms=days * MS_PER_DAY)
        for name in sorted(set(data_topics))
    ]
    specs += [
        TopicSpec(
            name=name,
            partitions=settings.contract_partitions,
            retention_ms=settings.contract_retention_days * MS_PER_DAY,
            setting="TIDEMARK_CONTRACT_PARTITIONS",
        )
        for name in CONTRACT_TOPICS
    ]
    heartbeat = f"{HEARTBEAT_TOPIC_PREFIX}.{prefix}"
    specs.append(TopicSpec(name=heartbeat, partitions=1, retention_ms=MS_PER_DAY))
    # Dead letters wait for a person, so they are never aged out; the broker's clock says when one
    # was set aside, for the alarm asks the broker which are new.
    specs.append(
        TopicSpec(
            name=settings.dead_letter_topic,
            partitions=1,
            retention_ms=-1,
            times="LogAppendTime",
        )
    )
    return specs


def mismatch(specs: Iterable[TopicSpec], partitions: Mapping[str, int]) -> TopicMismatch | None:
    """The first topic that has fewer partitions than it should; more are welcome."""
    for spec in specs:
        actual = partitions.get(spec.name, spec.partitions)
        if actual < spec.partitions:
            return TopicMismatch(
                f"topic {spec.name} has {actual} partitions instead of {spec.partitions}; "
                f"add some (kafka-topics --alter) or set {spec.setting}={actual}"
            )
    return None


class Topics:
    """An admin's view of the broker; a context manager. Errors are Unreachable."""

    def __init__(self, settings: CdcSettings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        with self._speaking():
            self._admin = KafkaAdminClient(
                bootstrap_servers=self._bootstrap.split(","),
                client_id="tidemark-topics",
                request_timeout_ms=10_000,
                bootstrap_timeout_ms=5_000,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            raise Unreachable(
                f"Kafka at {self._bootstrap} does not answer ({type(error).__name__}); "
                "`tidemark status` shows the services"
            ) from error

    def partitions(self, topics: Iterable[str] | None = None) -> dict[str, int]:
        """Number of partitions of each topic that exists (of all of them by default)."""
        with self._speaking():
            found = self._admin.describe_topics(None if topics is None else sorted(topics))
        return {
            topic["name"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0
        }

    def ensure(self, specs: list[TopicSpec]) -> list[str]:
        """Create what is missing and return its names; TopicMismatch where partitions lack."""
        existing = self.partitions()
        wrong = mismatch(specs, existing)
        if wrong is not None:
            raise wrong
        missing = {spec.name: spec.options() for spec in specs if spec.name not in existing}
        if missing:
            with self._speaking():
                self._admin.create_topics(missing, wait_for_metadata=True)
        return sorted(missing)

    def end_offsets(self, topics: Iterable[str]) -> Positions:
        """High watermark of every partition of these topics."""
        return self._offsets(topics, OffsetSpec.LATEST)

    def start_offsets(self, topics: Iterable[str]) -> Positions:
        """The oldest offset that each partition still has."""
        return self._offsets(topics, OffsetSpec.EARLIEST)

    def offsets_since(self, topics: Iterable[str], moment: datetime) -> Positions:
        """The oldest offset of each partition that was written at or after a moment, else its end.

        Times are those of the messages.
        """
        names = list(topics)
        ends = self.end_offsets(names)
        found = self._offsets(names, int(moment.timestamp() * 1000))
        return {key: found[key] if found.get(key, -1) >= 0 else end for key, end in ends.items()}

    def _offsets(self, topics: Iterable[str], spec: OffsetSpec | int) -> Positions:
        asked = {
            TopicPartition(topic, partition): spec
            for topic, count in self.partitions(topics).items()
            for partition in range(count)
        }
        if not asked:
            return {}
        with self._speaking():
            found = self._admin.list_partition_offsets(asked)
        return {(key.topic, key.partition): info.offset for key, info in found.items()}

    def committed(self, group: str) -> Positions:
        """The group's committed offsets."""
        with self._speaking():
            found = self._admin.list_group_offsets([group])
        return {
            (key.topic, key.partition): info.offset for key, info in found.get(group, {}).items()
        }

    def members(self, group: str) -> set[str]:
        """Ids of the group's members; of a group that Kafka does not know there are none."""
        with self._speaking():
            found = self._admin.describe_groups([group])
        return {each["member_id"] for each in found.get(group, {}).get("members", ())}

    def lag(self, group: str, topics: Iterable[str]) -> Positions:
        """Messages that the group has not committed yet, a partition."""
        names = list(topics)
        ends, starts = self.end_offsets(names), self.start_offsets(names)
        done = self.committed(group)
        return {key: max(0, end - done.get(key, starts.get(key, 0))) for key, end in ends.items()}


def wait_ready(settings: CdcSettings, timeout_s: float) -> None:
    """Wait until the broker answers; Unreachable where it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with Topics(settings) as topics:
                topics.partitions()
        except Unreachable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)
        else:
            return
