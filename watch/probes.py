"""What can be asked of the running parts; read by the watch's checks and by `tidemark status`."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from cdc.readings import beats_since, newest_beat
from cdc.routes import SOURCES
from cdc.settings import CdcSettings
from cdc.topics import Topics
from contracts.naming import topic_of
from watch.errors import ProbeFailed
from watch.latency import Quantiles, stages

BEATERS: Final = ("ingest", "debezium")  # `heartbeat.source` of what beats each second
LATELY: Final = timedelta(minutes=5)
HEARTBEAT_TABLE: Final = "heartbeat"
METRICS_WITHIN_S: Final = 2.0
KNOCK_WITHIN_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Heartbeats:
    """Age in seconds of each source's newest beat in Cassandra (None: none), and latencies."""

    ages_s: dict[str, float | None]
    stages: dict[str, Quantiles]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Kafka's side. By `<topic>/<partition>`: the end of the log, and what is not committed.

    `dead_letters`: in the topic; `new_dead_letters`: of those, set aside within five minutes.
    """

    ends: dict[str, int]
    uncommitted: dict[str, int]
    dead_letters: int
    new_dead_letters: int
    beats: int  # heartbeats ever written to the log


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What ingest says of the exchange's streams: `live` of `wanted` flow, and `books` in step.

    `standing_in`: polls in the place of a stream or of a book, by endpoint; only what is above 0.
    `away_since`: since when a stream of a traded symbol has been away without a break.
    """

    wanted: int
    live: int
    books: int
    standing_in: dict[str, int]
    away_since: datetime | None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What ingest says of the exchange; None where it does not say.

    `banned_until` may lie in the past; `ban_status`: the answer that demanded it, 0 for none.
    `failing`: polls that fail again and again, by endpoint; only what is above 0.
    `streams`: None where all is polled.
    """

    venue: str | None
    banned_until: datetime | None
    ban_status: int
    used_weight: float | None
    weight_limit: float | None
    last_write: datetime | None
    spool_bytes: float | None
    failing: dict[str, int]
    streams: Streams | None = None

    def banned(self, now: datetime) -> bool:
        return self.banned_until is not None and self.banned_until > now


@dataclass(frozen=True, kw_only=True)
class Sink:
    """What the sink says of itself.

    `halted`: table → why its replication halts; `stopped`: why the sink itself ends, if it does.
    """

    halted: dict[str, str]
    stopped: str | None = None


def heartbeats(session: Any, now: datetime) -> Heartbeats:
    """The newest heartbeats that Cassandra holds. `session`: of cdc.keyspace.connect."""
    newest = {source: newest_beat(session, source, now) for source in BEATERS}
    since = now - LATELY
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
    _knock(settings.kafka_bootstrap)  # Kafka's client would go on trying for seconds
    topics = {topic_of(source.table, settings.generation) for source in SOURCES}
    beats = topic_of(HEARTBEAT_TABLE, settings.generation)
    with Topics(settings) as broker:
        uncommitted = broker.lag(settings.sink_group, topics)
        ends = broker.end_offsets(topics)
        letters = broker.end_offsets([settings.dead_letter_topic])
        old = broker.offsets_since([settings.dead_letter_topic], datetime.now(UTC) - LATELY)
    return Flow(
        ends=by_name(ends),
        uncommitted=by_name(uncommitted),
        dead_letters=sum(letters.values()),
        new_dead_letters=sum(max(0, end - old.get(key, 0)) for key, end in letters.items()),
        beats=sum(end for (topic, _), end in ends.items() if topic == beats),
    )


def _knock(bootstrap: str) -> None:
    """ProbeFailed where nobody listens at any of host:port[,host:port]."""
    refused = "no address"
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=KNOCK_WITHIN_S):
                return
        except (OSError, ValueError) as error:
            refused = str(error)
    raise ProbeFailed(f"Kafka does not answer at {bootstrap}: {refused}")


def by_name(positions: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """The same by `<topic>/<partition>`, which JSON can say."""
    return {f"{topic}/{partition}": value for (topic, partition), value in positions.items()}


def by_topic(numbers: Mapping[str, int]) -> dict[str, int]:
    """Sums over a topic's partitions, from `<topic>/<partition>`."""
    total: Counter[str] = Counter()
    for name, number in numbers.items():
        total[name.rpartition("/")[0]] += number
    return dict(total)


def unapplied(flow: Flow, applied: Mapping[str, int]) -> dict[str, int]:
    """Messages by topic that Cassandra has not acknowledged.

    `applied`: next offsets that the sink published. Less than what is not committed: the last
    transaction of a quiet partition is committed only when another one follows it.
    """
    return by_topic(
        {
            name: max(0, end - applied[name]) if name in applied else flow.uncommitted.get(name, 0)
            for name, end in flow.ends.items()
        }
    )


def exchange(port: int) -> Exchange:
    """What ingest tells of the exchange on its metrics port; ProbeFailed where nobody answers."""
    return exchange_of(_exposition("ingest", port))


def sink(port: int) -> Sink:
    """What the sink tells on its metrics port; ProbeFailed where nobody answers."""
    return sink_of(_exposition("sink", port))


def _exposition(program: str, port: int) -> str:
    """The text of a program's metrics."""
    if port == 0:
        name = f"TIDEMARK_{program.upper()}_METRICS_PORT"
        raise ProbeFailed(f"{program} cannot be asked: {name} is 0; give it a port")
    try:
        with httpx.Client(timeout=METRICS_WITHIN_S, trust_env=False) as http:
            answer = http.get(f"http://127.0.0.1:{port}/metrics").raise_for_status()
    except httpx.HTTPError as error:
        raise ProbeFailed(f"{program} does not answer on port {port}: {error}") from error
    return answer.text


def exchange_of(exposition: str) -> Exchange:
    """The same from the text of the metrics."""
    samples = {sample.name: sample for sample in _samples(exposition)}

    def value(name: str) -> float | None:
        sample = samples.get(f"tidemark_ingest_{name}")
        return None if sample is None else sample.value

    def moment(name: str) -> datetime | None:
        seconds = value(name)
        return datetime.fromtimestamp(seconds, UTC) if seconds else None

    venue = samples.get("tidemark_ingest_venue_info")
    failing = _by_label(exposition, "tidemark_ingest_failing_polls", "endpoint")
    standing_in = _by_label(exposition, "tidemark_ingest_stream_fallback_polls", "endpoint")
    wanted = int(value("streams_wanted") or 0)
    streams = Streams(
        wanted=wanted,
        live=int(value("streams_live") or 0),
        books=int(value("books_live") or 0),
        standing_in={endpoint: int(polls) for endpoint, polls in standing_in.items() if polls},
        away_since=moment("streams_away_since_seconds"),
    )
    return Exchange(
        venue=None if venue is None else venue.labels.get("venue"),
        banned_until=moment("ban_until_seconds"),
        ban_status=int(value("ban_status") or 0),
        used_weight=value("used_weight"),
        weight_limit=value("weight_limit"),
        last_write=moment("last_write_seconds"),
        spool_bytes=value("spool_bytes"),
        failing={endpoint: int(polls) for endpoint, polls in failing.items() if polls},
        streams=streams if wanted else None,
    )


def sink_of(exposition: str) -> Sink:
    """The same from the text of the metrics."""
    halted, stopped = {}, None
    for sample in _samples(exposition):
        if sample.name == "tidemark_sink_halted_table" and sample.value:
            halted[sample.labels["table"]] = sample.labels["reason"]
        elif sample.name == "tidemark_sink_stopped" and sample.value:
            stopped = f"{sample.labels['code']}: {sample.labels['reason']}"
    return Sink(halted=halted, stopped=stopped)


def _samples(exposition: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(exposition):
        yield from family.samples


def _by_label(exposition: str, name: str, label: str) -> dict[str, float]:
    """Values of a metric by its only label."""
    return {
        sample.labels[label]: sample.value for sample in _samples(exposition) if sample.name == name
    }
