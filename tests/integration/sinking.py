"""Events made by hand, as Debezium writes them, into topics of a generation of their own.

With them a test says exactly what the log holds: duplicates, junk, transactions cut anywhere.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from cdc import keyspace, state
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.state import Generation
from cdc.topics import Topics, topic_specs
from contracts.naming import Role, topic_of, topic_prefix
from tests.integration.conftest import Replica

PLACEHOLDER = "__unchanged_by_a_test_0123456789__"
MOMENT = "2026-11-20T22:07:10.123000Z"


@dataclass(frozen=True)
class Event:
    """Bytes of one message and the partition that holds its key."""

    table: str
    key: bytes | None
    value: bytes | None
    partition: int = 0


def change(  # noqa: PLR0913 - each keyword is one part of an event
    table: str,
    op: str,
    key: dict[str, Any],
    row: dict[str, Any] | None = None,
    *,
    lsn: int,
    tx: int,
    previous: int | None = None,
    snapshot: str = "false",
    partition: int = 0,
) -> Event:
    """One change; the row's other columns stand in `row`."""
    whole = key | (row or {})
    first = "null" if previous is None else f'"{previous}"'
    value = {
        "before": whole if op == "d" else None,
        "after": None if op in "dt" else whole,
        "source": {
            "version": "3.7.0.Final",
            "connector": "postgresql",
            "ts_us": 1_795_212_430_501_803,
            "snapshot": snapshot,
            "sequence": f'[{first},"{lsn}"]',
            "schema": "public",
            "table": table,
            "txId": tx,
            "lsn": lsn,
        },
        "op": op,
        "ts_us": 1_795_212_430_547_135,
    }
    return Event(table, json.dumps(key).encode(), json.dumps(value).encode(), partition)


def instrument(symbol: str, **row: Any) -> dict[str, Any]:
    """Key and other columns of an instrument, in one."""
    return {
        "venue": "crafted",
        "symbol": symbol,
        "base_asset": "B",
        "quote_asset": "Q",
        "status": "TRADING",
        "tick_size": "0.010000000000000000",
        "lot_size": "1E-18",
        "min_notional": "0E-18",
        "as_of": MOMENT,
        "ingested_at": MOMENT,
    } | row


def instrument_change(op: str, symbol: str, *, lsn: int, tx: int, **more: Any) -> Event:
    """A change of an instrument whose status is its position, so that a test sees who won."""
    status = more.pop("status", f"{op}@{lsn}")
    key = {"venue": "crafted", "symbol": symbol}
    return change("instruments", op, key, instrument(symbol, status=status), lsn=lsn, tx=tx, **more)


@dataclass
class CraftedLog:
    """The topics of one generation of a replica, and its sink."""

    replica: Replica
    settings: CdcSettings
    produced: list[Event] = field(default_factory=list)

    @classmethod
    def begin(cls, replica: Replica) -> CraftedLog:
        """A new generation with its topics, remembered as begun."""
        replica.next_generation()
        generation = replica.settings.generation
        replica.variables |= {
            "TIDEMARK_DEAD_LETTER_TOPIC": f"dead-{generation}",
            "TIDEMARK_PREFLIGHT_PATIENCE_S": "0",  # there is no connector behind these events
            "TIDEMARK_CONNECT_URL": "http://127.0.0.1:9",
        }
        settings = replica.settings
        data = [topic_of(source.table, generation) for source in SOURCES]
        with Topics(settings) as topics:
            topics.ensure(topic_specs(settings, data, topic_prefix(generation)))
        with keyspace.session(settings, Role.SINK) as session:
            state.remember(
                session,
                Generation(
                    generation=generation,
                    system_identifier="crafted",
                    timeline=1,
                    slot="none",
                    topic_prefix=topic_prefix(generation),
                    placeholder=PLACEHOLDER,
                ),
            )
        return cls(replica, settings)

    def produce(self, events: Iterable[Event]) -> None:
        """Append events to their partitions, in order."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "linger.ms": 5,
                "message.max.bytes": 8_000_000,
            }
        )
        for event in events:
            self.produced.append(event)
            topic = topic_of(event.table, self.settings.generation)
            producer.produce(topic, event.value, event.key, event.partition)
            producer.poll(0)
        assert producer.flush(30) == 0

    def ends(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that holds events."""
        ends: dict[tuple[str, int], int] = {}
        for event in self.produced:
            key = topic_of(event.table, self.settings.generation), event.partition
            ends[key] = ends.get(key, 0) + 1
        return ends

    def read_again(self) -> None:
        """Let a new group read everything from its beginning."""
        self.replica.variables["TIDEMARK_SINK_GROUP"] += "-again"
        self.settings = self.replica.settings

    def rows(self, table: str) -> list[Any]:
        """All rows of a Cassandra table that crafted events made."""
        return [row for row in self.replica.cql(f"SELECT * FROM {table}") if _crafted(row)]

    def acknowledged(self) -> dict[tuple[str, int], int]:
        """What the sink says is acknowledged."""
        session = self.replica.sessions.of(self.settings, Role.READER)
        return state.positions(session, self.settings.sink_group)

    def committed(self) -> dict[tuple[str, int], int]:
        """What the group has committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "group.id": self.settings.sink_group,
            }
        )
        wanted = [TopicPartition(*partition) for partition in self.ends()]
        found = consumer.committed(wanted, timeout=10)
        consumer.close()
        return {(each.topic, each.partition): each.offset for each in found}

    def wait_applied(self, timeout_s: float = 60) -> None:
        """Wait until the sink has acknowledged everything that was produced."""
        ends = self.ends()
        wait_until(lambda: ends.items() <= self.acknowledged().items(), timeout_s)

    def apply(self) -> None:
        """Run a sink until everything produced is acknowledged."""
        with self.replica.sink():
            self.wait_applied()

    @contextmanager
    def sink(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """A sink process for the length of a block, with some TIDEMARK_* of its own."""
        usual = self.replica.variables
        self.replica.variables = usual | variables
        with ExitStack() as running:
            try:
                process = running.enter_context(self.replica.sink())
            finally:
                self.replica.variables = usual
            yield process

    def delete_dead_letter_topic(self) -> None:
        """Leave nowhere for dead letters to go."""
        name, admin = self.settings.dead_letter_topic, self._admin()
        admin.delete_topics([name])[name].result(30)

    def drop_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete a partition's events up to an offset, as retention does."""
        admin = self._admin()  # kept: its answers come while it lives
        for done in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
            done.result(30)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.settings.kafka_bootstrap})

    def dead_letters(self, count: int, timeout_s: float = 30) -> list[Any]:
        """That many messages of the dead-letter topic, and not one more that is there already."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "group.id": "reads-dead-letters",
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(self.settings.dead_letter_topic, 0, 0)])
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            found += [each for each in consumer.consume(count, 1) if each.error() is None]
        found += [each for each in consumer.consume(10, 1) if each.error() is None]
        consumer.close()
        assert len(found) == count
        return found


def wait_until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for a condition, looking ten times a second."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def _crafted(row: Any) -> bool:
    return getattr(row, "venue", "") == "crafted"
