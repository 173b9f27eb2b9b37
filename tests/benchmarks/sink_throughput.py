"""How fast the sink carries trade events from Kafka into Cassandra, and at what cost of CPU.

    TIDEMARK_ENV_FILE=… python -m tests.benchmarks.sink_throughput --events 300000

Makes topics of a generation of its own (default 99) with events as Debezium writes them (about 810
bytes), then runs the real sink over them from the beginning. One line of JSON a run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import time
from functools import partial
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from cdc import keyspace
from cdc.settings import CdcSettings
from cdc.sink import packed_batch
from cdc.sink.loop import Sink
from cdc.sink.prepared import prepare
from cdc.state import Generation
from cdc.topics import Topics, TopicSpec
from contracts.naming import Role, topic_of
from tests.benchmarks.events import trade_event

PARTITIONS = 4
DAY_MS = 86_400_000


def fill(settings: CdcSettings, events: int) -> None:
    """Produce the events, unless the topic holds as many already."""
    topic = topic_of("trades", settings.generation)
    with Topics(settings) as topics:
        topics.ensure([TopicSpec(name=topic, partitions=PARTITIONS, retention_ms=DAY_MS)])
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "fill"})
    held = sum(
        consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
        for number in range(PARTITIONS)
    )
    consumer.close()
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for number in range(held, events):
        key, value = trade_event(number)
        while True:
            with contextlib.suppress(BufferError):
                producer.produce(topic, value, key)
                break
            producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def run(settings: CdcSettings, events: int) -> dict[str, float]:
    """Carry the events over; rows/s and µs of CPU a row of this process."""
    session = keyspace.connect(settings, Role.SINK)
    state = Generation(
        generation=settings.generation,
        system_identifier="bench",
        timeline=1,
        slot="none",
        topic_prefix="none",
        placeholder="__bench_placeholder__",
    )
    send = partial(_send, session, settings.request_timeout_ms / 1000)
    prepared = prepare(session, settings.cassandra_keyspace)
    sink = Sink(settings, state, prepared.heads, send, dict)
    while sink.writer.counts.rows == 0:
        sink.step()
    rows, wall, cpu = sink.writer.counts.rows, time.perf_counter(), _cpu_s()
    while sum(sink.positions.values()) < events:
        sink.step()
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    rows = sink.writer.counts.rows - rows
    batches = sink.writer.counts.batches
    sink.drain(5)
    sink.close()
    session.cluster.shutdown()
    return {
        "rows": rows,
        "seconds": round(wall, 2),
        "rows_per_s": round(rows / wall),
        "cpu_us_per_row": round(cpu / rows * 1e6, 1),
        "rows_per_batch": round(sink.writer.counts.rows / batches, 1),
        "retries": sink.writer.counts.retries,
    }


def _send(session: object, timeout_s: float, statements: list[bytes], done: object) -> None:
    packed_batch.send(session, statements, timeout_s, done)  # type: ignore[arg-type]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--generation", type=int, default=99)
    options = parser.parse_args()
    fill(CdcSettings(generation=options.generation), options.events)
    for _ in range(options.runs):
        settings = CdcSettings(
            generation=options.generation, sink_group=f"bench-{uuid4()}", sink_metrics_port=0
        )
        print(json.dumps(run(settings, options.events)), flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main()
