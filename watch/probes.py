"""What can be asked of the running parts; read by the watch's checks and by `tidemark status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cdc.readings import beats_since, newest_beat
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.topics import Topics
from contracts.naming import topic_of
from watch.latency import Quantiles, stages

BEATERS: Final = ("ingest", "debezium")  # `heartbeat.source` of what beats each second
LATENCY_WINDOW: Final = timedelta(minutes=5)
HEARTBEAT_TABLE: Final = "heartbeat"


@dataclass(frozen=True, kw_only=True)
class Heartbeats:
    """Age in seconds of each source's newest beat in Cassandra (None: none), and latencies."""

    ages_s: dict[str, float | None]
    stages: dict[str, Quantiles]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Kafka's side: messages not committed by topic, dead letters, beats ever written."""

    lag: dict[str, int]
    dead_letters: int
    beats: int


def heartbeats(session: Any, now: datetime) -> Heartbeats:
    """The newest heartbeats that Cassandra holds. `session`: of cdc.keyspace.connect."""
    newest = {source: newest_beat(session, source, now) for source in BEATERS}
    since = now - LATENCY_WINDOW
    beats = [beat for source in BEATERS for beat in beats_since(session, source, since, now)]
    return Heartbeats(
        ages_s={
            source: None if at is None else max(0.0, (now - at).total_seconds())
            for source, at in newest.items()
        },
        stages=stages(beats),
    )


def flow(settings: CdcSettings) -> Flow:
    """How far the sink is behind the log, and what it put aside."""
    topics = {topic_of(source.table, settings.generation) for source in SOURCES}
    beat_topic = topic_of(HEARTBEAT_TABLE, settings.generation)
    with Topics(settings) as broker:
        lag = by_topic(broker.lag(settings.sink_group, topics).items())
        letters = broker.end_offsets([settings.dead_letter_topic])
        beats = broker.end_offsets([beat_topic])
    return Flow(lag=lag, dead_letters=sum(letters.values()), beats=sum(beats.values()))


def by_topic(positions: Iterable[tuple[tuple[str, int], int]]) -> dict[str, int]:
    """Sums over a topic's partitions."""
    total: Counter[str] = Counter()
    for (topic, _), count in positions:
        total[topic] += count
    return dict(total)


def metrics(port: int, timeout_s: float = 2) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples of a process's metrics on loopback, by name: (labels, value); httpx.HTTPError."""
    with httpx.Client(timeout=timeout_s, trust_env=False) as http:
        answer = http.get(f"http://127.0.0.1:{port}/metrics").raise_for_status()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found
