"""The contract's topics through the real connector: what is stored is told, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from cdc.connector.client import ConnectClient
from cdc.generation import current
from contracts.market import Rejected
from contracts.naming import (
    CONTRACT_TOPICS,
    DEAD_PRICES_TOPIC,
    OUTBOX,
    PRICES_TOPIC,
    Role,
    topic_of,
)
from ingest.batch import Batch
from ingest.sampling import Sampling
from ingest.store import Store
from tests.contract_schemas import validator
from tests.integration.conftest import Replica, generations
from tests.integration.sinking import wait_until
from tests.market_rows import SYMBOL, instrument, price

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
WATCHED = frozenset({SYMBOL})


@pytest.fixture(scope="module")
def running(replica: Replica) -> Iterator[Replica]:
    """The replica with its connector and its sink."""
    applied = replica.tidemark("connector", "apply")
    assert applied.returncode == 0, applied.stderr
    with replica.sink():
        yield replica


@pytest.fixture(scope="module")
def venue(running: Replica) -> str:
    """The topics are everybody's on this stack: what we told is of a venue of our own."""
    return f"contract-{running.settings.generation}"


@pytest.fixture(scope="module")
def store(running: Replica, venue: str) -> Iterator[Store]:
    with closing(Store(running.settings, sampling=Sampling(every_s=60))) as opened:
        opened.write(Batch(instruments=[instrument(venue=venue)]))
        yield opened


def read(replica: Replica, topic: str, venue: str) -> list[Message]:
    """Every message of a venue, from the topic's beginning to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": replica.settings.kafka_bootstrap,
            "group.id": "reads-the-contract",
            "enable.auto.commit": False,
        }
    )
    with closing(consumer):
        found: list[Message] = []
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            at = TopicPartition(topic, number, 0)
            _low, high = consumer.get_watermark_offsets(at, timeout=10)
            consumer.assign([at])
            while high and consumer.position([at])[0].offset < high:
                found += consumer.consume(1000, 1)
    return [each for each in found if event_of(each).get("source") == venue]


def event_of(message: Message) -> dict[str, Any]:
    assert message.error() is None, message.error()
    event: dict[str, Any] = json.loads(message.value() or b"")
    return event


def header(message: Message, name: str) -> str:
    found = dict(message.headers() or [])[name]
    return found.decode() if isinstance(found, bytes) else str(found)


def told(replica: Replica, topic: str, venue: str) -> dict[str, Message]:
    """Messages by the id of their row: what Connect sent twice stands once."""
    return {header(each, "id"): each for each in read(replica, topic, venue)}


def outbox(replica: Replica, topic: str, venue: str) -> dict[str, tuple[Any, ...]]:
    rows = replica.sql(
        "SELECT id::text, aggregateid, type, payload FROM outbox "
        "WHERE aggregatetype = %s AND payload ->> 'source' = %s",
        topic,
        venue,
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def assert_told(replica: Replica, topic: str, venue: str, count: int) -> None:
    """The topic has exactly the rows of the outbox: value, key, type, and by their schema."""
    rows = outbox(replica, topic, venue)
    assert len(rows) == count
    wait_until(lambda: len(told(replica, topic, venue)) >= count)
    messages = told(replica, topic, venue)
    assert messages.keys() == rows.keys()
    for identity, message in messages.items():
        key, kind, payload = rows[identity]
        event = event_of(message)
        assert event == payload
        assert json.loads(message.key() or b"") == key
        assert header(message, "type") == kind
        validator(kind.partition("/")[0])(event)


def fence(replica: Replica) -> None:
    """Everything that was committed before is in Cassandra, and equal."""
    verified = replica.tidemark("verify", "--full-speed")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_every_watched_price_is_told(running: Replica, store: Store, venue: str) -> None:
    """As it stands in the table; the rest of the market once a minute."""
    for second in range(20):
        at = NOW - timedelta(seconds=second)
        fresh = [price(str(second + 1), venue=venue, observed_at=at)]
        store.write(Batch(prices=fresh, watched=WATCHED))
    assert_told(running, PRICES_TOPIC, venue, 20)
    of_table = {
        (at, amount)
        for at, amount in running.sql(
            "SELECT observed_at, price FROM prices WHERE venue = %s", venue
        )
    }
    of_topic = {
        (datetime.fromisoformat(event["ts_event"]), Decimal(event["price"]))
        for event in map(event_of, told(running, PRICES_TOPIC, venue).values())
    }
    assert of_topic == of_table


def test_what_failed_validation_stands_on_the_topic_of_the_dead(
    running: Replica, store: Store, venue: str
) -> None:
    """With its bytes; no price of it on the other topic."""
    before = len(outbox(running, PRICES_TOPIC, venue))
    bad = Rejected(source=venue, endpoint="ticker/price", reason="negative ▲", raw=b"\x00\xff-1")
    store.write(Batch(rejected=[bad]))
    assert_told(running, DEAD_PRICES_TOPIC, venue, 1)
    assert_told(running, PRICES_TOPIC, venue, before)


def test_a_touched_or_deleted_row_of_the_outbox_is_no_event(
    running: Replica, store: Store, venue: str
) -> None:
    """Repair touches rows, and partitions are dropped: neither is news for readers."""
    del store
    before = len(told(running, PRICES_TOPIC, venue))
    running.sql("UPDATE outbox SET type = type", role=Role.REPAIR)
    running.sql("DELETE FROM outbox WHERE payload ->> 'source' = %s", venue)
    fence(running)
    assert len(told(running, PRICES_TOPIC, venue)) == before


def test_a_restart_of_the_connector_loses_no_event(
    running: Replica, store: Store, venue: str
) -> None:
    """Each is there once or more, and never without its price."""
    with ConnectClient(running.settings) as connect:
        for second in range(30):
            at = NOW + timedelta(milliseconds=second + 1)
            store.write(Batch(prices=[price("7", venue=venue, observed_at=at)], watched=WATCHED))
            if second == 15:
                connect.restart()
        connect.wait_running(60)
    rows = outbox(running, PRICES_TOPIC, venue)
    wait_until(lambda: rows.keys() <= told(running, PRICES_TOPIC, venue).keys())


def test_the_sink_leaves_these_topics_alone(running: Replica, store: Store, venue: str) -> None:
    """It reads neither of them, sets none of their events aside, and still proves all it reads."""
    store.write(Batch(prices=[price("8", venue=venue, observed_at=NOW)], watched=WATCHED))
    fence(running)
    consumer = Consumer(
        {
            "bootstrap.servers": running.settings.kafka_bootstrap,
            "group.id": running.settings.sink_group,
        }
    )
    with closing(consumer):
        topics = consumer.list_topics(timeout=10).topics
        assert topic_of(OUTBOX, running.settings.generation) not in topics
        for topic in CONTRACT_TOPICS:
            places = [TopicPartition(topic, number) for number in topics[topic].partitions]
            assert all(each.offset < 0 for each in consumer.committed(places, timeout=10))
    assert running.cql("SELECT id FROM dead_letters") == []


def test_a_snapshot_tells_again_what_the_outbox_still_holds(
    running: Replica, store: Store, venue: str
) -> None:
    """In a new generation: at least once, by the same ids, so readers know them."""
    store.write(Batch(prices=[price("9", venue=venue, observed_at=NOW + timedelta(seconds=9))]))
    rows = outbox(running, PRICES_TOPIC, venue)
    wait_until(lambda: rows.keys() <= told(running, PRICES_TOPIC, venue).keys())
    before = len(read(running, PRICES_TOPIC, venue))
    next(generations(running.stack))  # the number that resync takes
    resynced = running.tidemark("resync")
    assert resynced.returncode == 0, resynced.stdout + resynced.stderr
    running.variables["TIDEMARK_GENERATION"] = str(current(running.settings).generation)
    wait_until(lambda: len(read(running, PRICES_TOPIC, venue)) >= before + len(rows))
    assert rows.keys() <= told(running, PRICES_TOPIC, venue).keys()
