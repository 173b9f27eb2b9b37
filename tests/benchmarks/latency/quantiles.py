"""What one window's times come to: quantiles, and the stages of the way. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdc.readings import Beat
from watch import latency

WHOLE = "replication"
# in the order of the way, as the document says them
PARTS = {
    "debezium": "commit → captured",
    "kafka": "captured → in Kafka's hands",
    "fetch": "→ received by the sink",
    "cassandra": "→ visible",
}
STAGES = PARTS | {WHOLE: "commit → visible"}


@dataclass(frozen=True, kw_only=True)
class Times:
    """Milliseconds, and how many times they are taken from."""

    p50: float
    p99: float
    most: float
    count: int


def times(took_ms: Iterable[float]) -> Times:
    """Nearest-rank quantiles; ValueError of nothing."""
    ordered = sorted(took_ms)
    if not ordered:
        raise ValueError("there is nothing to take quantiles of")
    return Times(
        p50=round(latency.quantile(ordered, 0.50), 3),
        p99=round(latency.quantile(ordered, 0.99), 3),
        most=round(ordered[-1], 3),
        count=len(ordered),
    )


def waterfall(beats: Iterable[Beat]) -> dict[str, Times]:
    """Stage → its times, of beats that came all the way; ValueError where none did."""
    moments = [latency._moments_us(beat) for beat in beats]
    found = {}
    for stage in latency.STAGES:
        if stage.name in STAGES:
            ends = ((each[stage.begin], each[stage.end]) for each in moments)
            found[stage.name] = times(
                # Kafka's time is of whole milliseconds, and may seem to lie before the one before
                max(0, end - begin) / 1000
                for begin, end in ends
                if begin is not None and end is not None
            )
    return found
