"""Witnesses beside the comparison of rows: canaries (O2), duplicates (O3), heartbeats (O5)."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition

from cdc import keyspace
from cdc.errors import CdcError
from cdc.failures import DRIVER_FAILURES
from cdc.settings import CdcSettings
from contracts.naming import Role, topic_prefix

BEAT_SOURCES = ("ingest", "debezium")
LOOK_S = 0.1

Offsets = dict[tuple[str, int], int]


class Glance:
    """Reads Cassandra during a fault: None where it does not answer, and another try next time."""

    def __init__(self, settings: CdcSettings) -> None:
        self._settings = settings
        self._session: Any = None

    def rows(self, statement: str, values: tuple[object, ...]) -> list[Any] | None:
        try:
            if self._session is None:
                self._session = keyspace.connect(self._settings, Role.READER)
            return list(self._session.execute(statement, values, timeout=2))
        except (*DRIVER_FAILURES, CdcError):
            self.close()
            return None

    def close(self) -> None:
        if self._session is not None:
            self._session.cluster.shutdown()
            self._session = None


class Monotone:
    """O2: versions of canaries never go back, and what was deleted never comes back."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.gone: set[str] = set()
        self.stale = 0
        self.resurrected = 0

    def observe(self, versions: Mapping[str, int]) -> None:
        """One look at every canary that lives."""
        self.resurrected += len(self.gone & versions.keys())
        for name, version in versions.items():
            self.stale += version < self.seen.get(name, 0)
            self.seen[name] = max(version, self.seen.get(name, 0))
        self.gone |= self.seen.keys() - versions.keys()

    @property
    def wrong(self) -> int:
        return self.stale + self.resurrected


class CanaryPoller:
    """Looks at a venue's canaries ten times a second for the length of a block."""

    def __init__(self, settings: CdcSettings, venue: str) -> None:
        self.monotone = Monotone()
        self.looks = 0
        self._glance = Glance(settings)
        self._venue = venue
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(30)
        self._glance.close()

    def _run(self) -> None:
        statement = "SELECT symbol, status FROM instruments WHERE venue = %s"
        while not self._ended.wait(LOOK_S):
            rows = self._glance.rows(statement, (self._venue,))
            if rows is not None:
                self.monotone.observe({row.symbol: int(row.status) for row in rows})
                self.looks += 1


def newest_beats(glance: Glance) -> dict[str, datetime]:
    """The newest heartbeat of each source that Cassandra holds, of yesterday or today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found: dict[str, datetime] = {}
    for source in BEAT_SOURCES:
        for day in (today, today - timedelta(days=1)):
            rows = glance.rows(
                "SELECT beat_at FROM heartbeats_by_day WHERE source = %s AND day = %s "
                "ORDER BY beat_at DESC LIMIT 1",
                (source, day),
            )
            if rows:
                found[source] = rows[0].beat_at.replace(tzinfo=UTC)
                break
    return found


def _consumer(settings: CdcSettings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "fault-witness",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )


def log_ends(settings: CdcSettings) -> Offsets:
    """{(topic, partition): next offset} of every data topic of the generation."""
    consumer = _consumer(settings)
    try:
        topics = consumer.list_topics(timeout=20).topics
        prefix = f"{topic_prefix(settings.generation)}."
        return {
            (name, number): consumer.get_watermark_offsets(TopicPartition(name, number))[1]
            for name, topic in topics.items()
            if name.startswith(prefix)
            for number in topic.partitions
        }
    finally:
        consumer.close()


def committed(settings: CdcSettings) -> Offsets:
    """What the sink's group has committed of the data topics."""
    ends = log_ends(settings)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": settings.sink_group}
    )
    try:
        found = consumer.committed([TopicPartition(*each) for each in ends], timeout=10)
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}
    finally:
        consumer.close()


def events_since(settings: CdcSettings, since: Offsets) -> list[Any]:
    """Messages of every data topic from these offsets to the end, as a reader may see them."""
    consumer = _consumer(settings)
    try:
        open_ = {
            partition
            for partition, end in log_ends(settings).items()
            if end > since.get(partition, 0)
        }
        consumer.assign([TopicPartition(*each, since.get(each, 0)) for each in open_])
        found: list[Any] = []
        while open_:
            for message in consumer.consume(5000, 10):
                if message.error() is None:
                    found.append(message)
                else:  # the end of a partition
                    open_.discard((message.topic(), message.partition()))
        return found
    finally:
        consumer.close()


def duplicates(settings: CdcSettings, since: Offsets) -> tuple[int, int]:
    """O3: events since these offsets, and how many of them came again."""
    seen: Counter[tuple[object, ...]] = Counter()
    for message in events_since(settings, since):
        if message.value() is None:
            continue
        event = json.loads(message.value())
        source = event["source"]
        place = (source["lsn"], source.get("txId"), event["op"], source.get("sequence"))
        seen[message.topic(), message.key(), *place] += 1
    return sum(seen.values()), sum(count - 1 for count in seen.values())
