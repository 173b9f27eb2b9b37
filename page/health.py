"""From heartbeats, events and certificates to what the Pipeline view says. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from page.rows import Beat, Event

ALARM = "alarm"  # `events.kind` of what the watch raises and clears
OVER = "info"  # its severity once it is over

# stage → the two moments it lies between; the way's order. The watch measures the same.
STAGES = (
    ("ingest", "beat", "committed"),
    ("debezium", "committed", "captured"),
    ("kafka", "captured", "produced"),
    ("fetch", "produced", "received"),
    ("cassandra", "received", "visible"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Took:
    """How long a stage took, in ms, over `beats` beats."""

    stage: str
    p50_ms: float
    p99_ms: float
    beats: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is raised."""

    name: str
    severity: str
    since: datetime
    text: str


def latencies(beats: Iterable[Beat]) -> list[Took]:
    """Each stage that a beat has passed, in the way's order."""
    moments = [_moments_us(beat) for beat in beats]
    found = []
    for stage, begin, end in STAGES:
        took = _took_ms(moments, begin, end)
        if took:
            found.append(Took(stage, _quantile(took, 0.5), _quantile(took, 0.99), len(took)))
    return found


def replication(beats: Iterable[Beat]) -> Took | None:
    """Commit in PostgreSQL to visible in Cassandra; None where no beat has arrived."""
    took = _took_ms([_moments_us(beat) for beat in beats], "committed", "visible")
    if not took:
        return None
    return Took("replication", _quantile(took, 0.5), _quantile(took, 0.99), len(took))


def arrivals(beats: Iterable[Beat]) -> list[tuple[datetime, float]]:
    """(beat, ms from commit to visible) of each beat that has arrived."""
    return [
        (beat.beat_at, max(0, beat.visible_us - beat.committed_us) / 1000)
        for beat in beats
        if beat.committed_us is not None and beat.visible_us is not None
    ]


def standing(events: Iterable[Event]) -> list[Alarm]:
    """Alarms that were raised and not cleared, the longest first; events newest first.

    The message of such an event is `name: text`.
    """
    newest: dict[str, Event] = {}
    for event in events:
        if event.kind == ALARM:
            newest.setdefault(event.message.partition(": ")[0], event)
    raised = [
        Alarm(name, event.severity, event.at, event.message.partition(": ")[2])
        for name, event in newest.items()
        if event.severity != OVER
    ]
    return sorted(raised, key=lambda alarm: alarm.since)


def _took_ms(moments: Iterable[dict[str, int | None]], begin: str, end: str) -> list[float]:
    """Ascending. A moment of whole ms may seem to lie before the one that led to it."""
    return sorted(
        max(0, finish - start) / 1000
        for each in moments
        if (start := each[begin]) is not None and (finish := each[end]) is not None
    )


def _moments_us(beat: Beat) -> dict[str, int | None]:
    return {
        "beat": (beat.beat_at - _EPOCH) // _US,
        "committed": beat.committed_us,
        "captured": beat.captured_us,
        "produced": None if beat.produced_ms is None else beat.produced_ms * 1000,
        "received": beat.received_us,
        "visible": beat.visible_us,
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of an ascending, non-empty sequence."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
