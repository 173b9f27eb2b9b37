"""How long a row takes on each stage of the way, from the heartbeats that Cassandra holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdc.readings import Beat

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Stage:
    """A part of the way between two moments of a beat."""

    name: str
    begin: str
    end: str


STAGES = (
    Stage("ingest", "beat", "committed"),  # the writer's clock → committed in PostgreSQL
    Stage("debezium", "committed", "captured"),  # … → read from the WAL
    Stage("kafka", "captured", "produced"),  # … → in the log (whole ms)
    Stage("fetch", "produced", "received"),  # … → in the sink's hands
    Stage("cassandra", "received", "visible"),  # … → acknowledged by Cassandra
    Stage("replication", "committed", "visible"),  # commit → visible: what the goal limits
    Stage("end_to_end", "beat", "visible"),
)


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Latency of a stage in milliseconds, and how many beats it is taken from."""

    p50_ms: float
    p99_ms: float
    count: int


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of an ascending, non-empty sequence."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def stages(beats: Iterable[Beat]) -> dict[str, Quantiles]:
    """Stage → its quantiles; a stage that no beat has passed is left out."""
    moments = [_moments_us(beat) for beat in beats]
    found: dict[str, Quantiles] = {}
    for stage in STAGES:
        took = sorted(
            # a moment of whole milliseconds may seem to lie before the one that led to it
            max(0, end - begin) / 1000
            for moment in moments
            if (begin := moment[stage.begin]) is not None and (end := moment[stage.end]) is not None
        )
        if took:
            found[stage.name] = Quantiles(
                p50_ms=quantile(took, 0.50), p99_ms=quantile(took, 0.99), count=len(took)
            )
    return found


def _moments_us(beat: Beat) -> dict[str, int | None]:
    return {
        "beat": (beat.beat_at - _EPOCH) // _US,
        "committed": beat.committed_us,
        "captured": beat.captured_us,
        "produced": None if beat.produced_ms is None else beat.produced_ms * 1000,
        "received": beat.received_us,
        "visible": beat.visible_us,
    }
