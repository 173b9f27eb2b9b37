"""Debezium as a variant: its generations, its snapshot, its stream, and what Kafka has of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc.connector import registration
from cdc.connector.client import ConnectClient
from cdc.connector.config import connector_config
from cdc.routes import CAPTURED
from cdc.source import SourceDatabase
from contracts.naming import slot_name, topic_of
from tests.benchmarks.running import Failed
from tests.benchmarks.variants import Variant
from tests.integration.conftest import Replica

PLACEHOLDER = "__unchanged_in_a_benchmark__"
READY_S = 120.0
NOT_READY = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
STILL_S = 2.0  # without a new event: whatever was to come has come


class Captor:
    """The connector of a replica's present generation."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        bootstrap = replica.settings.kafka_bootstrap
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-looks"})

    def close(self) -> None:
        self._consumer.close()

    def register(self, variant: Variant) -> None:
        """Give the connector the variant's configuration, and start it."""
        settings = self._replica.settings
        registration._ensure_topics(settings)
        config = variant.connector(connector_config(settings, CAPTURED, PLACEHOLDER))
        with ConnectClient(settings) as connect:
            connect.apply(config)
            connect.wait_running(READY_S)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for the length of a block, in which nobody reads the slot."""
        settings = self._replica.settings
        with ConnectClient(settings) as connect, SourceDatabase(settings) as source:
            connect.stop()
            deadline = time.monotonic() + READY_S
            while (slot := source.slot(slot_name(settings.generation))) and slot.active:
                if time.monotonic() > deadline:
                    raise Failed("the slot of the stopped connector stays in use")
                time.sleep(0.1)
            try:
                yield
            finally:
                connect.resume()

    def walsender(self) -> int:
        """The pid of the process of PostgreSQL that reads the slot."""
        return walsender(self._replica, slot_name(self._replica.settings.generation))

    def arrived(self) -> int:
        """Trades in Kafka, of this generation."""
        settings = self._replica.settings
        topic = topic_of("trades", settings.generation)
        return sum(self._end(topic, number) for number in range(settings.topic_partitions))

    def _end(self, topic: str, number: int) -> int:
        """Events in a partition; none while its broker is not ready, as just after it was made."""
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[
                1
            ]
        except KafkaException as error:
            if error.args[0].code() in NOT_READY:
                return 0
            raise

    def wait_for(self, rows: int, patience_s: float) -> int:
        """Wait until so many trades are there, and no more come; how many there are."""
        deadline, still, known = time.monotonic() + patience_s, time.monotonic(), -1
        while True:
            arrived, now = self.arrived(), time.monotonic()
            if arrived != known:
                known, still = arrived, now
            elif arrived >= rows and now - still >= STILL_S:
                return arrived
            if now > deadline:
                raise Failed(f"{arrived:,} of {rows:,} trades arrived in {patience_s:.0f} s")
            time.sleep(0.1)


def walsender(replica: Replica, slot: str) -> int:
    """The pid of the process that sends a slot's changes."""
    asked = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    ((pid,),) = replica.sql(asked, slot)
    assert pid is not None, f"slot {slot} is in use"
    return int(pid)
