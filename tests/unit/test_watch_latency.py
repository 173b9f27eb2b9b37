"""Latencies of the stages, from heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdc.readings import Beat
from watch.latency import STAGES, quantile, stages

BEAT_AT = datetime(2026, 1, 1, 12, 0, 0, 5000, tzinfo=UTC)
BEAT_US = 1_767_268_800_005_000


def beat(**moments: int) -> Beat:
    return Beat(source="ingest", beat_at=BEAT_AT, **moments)


def whole(delay_us: int = 0) -> Beat:
    return beat(
        committed_us=BEAT_US + 1_000,
        captured_us=BEAT_US + 21_000,
        produced_ms=(BEAT_US + 23_500) // 1000,
        received_us=BEAT_US + 28_000,
        visible_us=BEAT_US + 31_000 + delay_us,
    )


def test_each_stage_is_what_lies_between_its_moments() -> None:
    """The parts are those of the sketch in docs/architecture.md, in milliseconds."""
    found = {name: took.p50_ms for name, took in stages([whole()]).items()}
    assert found == {
        "ingest": 1,
        "debezium": 20,
        "kafka": 2,
        "fetch": 5,
        "cassandra": 3,
        "replication": 30,
        "end_to_end": 31,
    }


def test_stages_of_the_way_join_without_a_hole() -> None:
    """Each part begins where the one before it ends, so that their sum is end to end."""
    parts = [stage for stage in STAGES if stage.name not in {"replication", "end_to_end"}]
    assert [part.begin for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert (parts[0].begin, parts[-1].end) == ("beat", "visible")


def test_beat_that_is_still_on_its_way_counts_as_far_as_it_came() -> None:
    """A beat without visible_us has no end, and is no reason to fail."""
    found = stages([beat(committed_us=BEAT_US, captured_us=BEAT_US + 4_000)])
    assert {name: took.count for name, took in found.items()} == {"ingest": 1, "debezium": 1}


def test_whole_milliseconds_never_make_a_latency_negative() -> None:
    """Kafka's timestamp may be floored to before Debezium's."""
    found = stages([beat(captured_us=BEAT_US + 900, produced_ms=BEAT_US // 1000)])
    assert found["kafka"].p50_ms == 0


def test_quantiles_are_those_of_the_slowest_too() -> None:
    """Of a hundred beats the second slowest is p99; the median does not see it."""
    beats = [whole() for _ in range(98)] + [whole(delay_us=900_000) for _ in range(2)]
    took = stages(beats)["replication"]
    assert (took.p50_ms, took.p99_ms, took.count) == (30, 930, 100)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_quantile_is_the_nearest_rank(share: float, value: float) -> None:
    """No value is invented between two."""
    assert quantile([1, 2, 3, 4], share) == value


def test_no_beats_give_no_stages() -> None:
    """An empty table is not a latency of zero."""
    assert stages([]) == {}
