"""The benchmark of capture counts only what its clock has seen; and what all kits share."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest

from cdc.settings import CdcSettings
from tests.benchmarks.capture import document, raw
from tests.benchmarks.capture.flow import TooFewRows, observed
from tests.benchmarks.capture.standings import standings
from tests.benchmarks.rounds import said


def window(contestant: str, number: int, rows: int, **more: Any) -> dict[str, Any]:
    """A window of 10 s of a stream, with 2 s of CPU of the reader and one of the walsender."""
    return {
        "contestant": contestant,
        "round": number,
        "way": "stream",
        "rows": rows,
        "seconds": 10.0,
        "reader_cpu_s": 2.0,
        "sender_cpu_s": 1.0,
        "sent": rows + 100,
        "repeated": 0,
        "load": (1.5, 1.7),
        "others": 0.02,
    } | more


class Arrivals:
    """Rows that arrive at 1,000 a second, after ten seconds of nothing."""

    def __init__(self) -> None:
        self.now = 0.0
        self.moments = 0

    def count(self) -> int:
        return min(5000, max(0, round((self.now - 10) * 1000)))

    def moment(self) -> float:
        self.moments += 1
        return self.now

    def rest(self) -> None:
        self.now += 0.35


def test_a_rate_has_neither_the_start_nor_what_the_first_look_saw() -> None:
    arrivals = Arrivals()
    flow = observed(5000, arrivals.count, arrivals.moment, arrivals.rest)
    assert 0 < flow.first.count < 400
    assert flow.rows == 5000 - flow.first.count
    assert flow.rows / (flow.last.moment - flow.first.moment) == pytest.approx(1000, rel=0.08)
    assert arrivals.moments == 2


def test_rows_that_come_between_two_looks_have_no_rate() -> None:
    counts = iter([0, 0, 5000])
    with pytest.raises(TooFewRows, match="5,000 rows"):
        observed(5000, lambda: next(counts), lambda: 0.0, lambda: None)


def test_looking_ends_where_the_patience_does() -> None:
    def rest() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        observed(10, lambda: 0, lambda: 0.0, rest)


class Slot:
    """A replication connection whose stream has begins, commits and inserts."""

    def __init__(self, payloads: list[bytes]) -> None:
        self._payloads = payloads
        self.options: dict[str, str] = {}

    def cursor(self) -> Slot:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def close(self) -> None:
        """Likewise."""

    def start_replication(self, *, slot_name: str, options: dict[str, str], decode: bool) -> None:
        assert (slot_name, decode) == (raw.SLOT, False)
        self.options = options

    def consume_stream(self, take: Callable[[Any], None]) -> None:
        for payload in self._payloads:
            take(SimpleNamespace(payload=payload))


def test_a_plain_reader_counts_inserted_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot([b"B...", b"R...", b"Irow1", b"Irow2", b"C...", b"B...", b"Irow3", b"Irow4"])
    monkeypatch.setattr("psycopg2.connect", lambda **_dsn: slot)
    monkeypatch.setattr(CdcSettings, "secret", lambda _self, _role: "")
    moments = iter([1.0, 2.0])
    flow = raw.drained(CdcSettings(), 2, 3, lambda: next(moments))
    assert (flow.rows, flow.first.moment, flow.last.moment) == (2, 1.0, 2.0)
    assert slot.options["proto_version"] == "2"


def test_ratios_are_taken_within_a_round_and_a_way() -> None:
    found = standings(
        [
            window("ours", 1, 10_000),
            window("raw-1", 1, 50_000),
            window("ours", 2, 30_000),
            window("raw-1", 2, 60_000),
            window("ours", 1, 99_000, way="snapshot"),
        ],
        "stream",
    )
    rate = found["raw-1"]["rows_per_s"]
    assert (rate.value.median, rate.value.rounds) == (5500, 2)
    assert (rate.ours_over_it.least, rate.ours_over_it.most) == (0.2, 0.5)
    assert found["ours"]["reader_us"].value.most == 200
    assert found["raw-1"]["sender_us"].value.most == pytest.approx(1e6 / 50_100)


def test_a_snapshot_has_no_walsender() -> None:
    found = standings([window("ours", 1, 99_000, way="snapshot", sender_cpu_s=0.0)], "snapshot")
    assert found["ours"].keys() == {"rows_per_s", "reader_us"}


def test_a_ratio_to_nothing_is_a_dash() -> None:
    found = standings([window("ours", 1, 10), window("raw-1", 1, 10, sender_cpu_s=0.0)], "stream")
    assert said(found["raw-1"]["sender_us"].ours_over_it, ".2f") == "–"
    assert said(found["ours"]["sender_us"].ours_over_it, ".2f") == "1.00 (1.00–1.00)"


def test_the_document_tells_of_repeated_rows_and_of_who_left() -> None:
    told = document.section(
        {
            "conditions": "Measured once",
            "windows": [
                window("ours", 1, 100_000, repeated=4),
                window("raw-1", 1, 400_000),
                window("ours", 1, 200_000, way="snapshot"),
            ],
            "absent": {"stock": "the task has failed"},
        }
    )
    assert "- **stock** left: the task has failed" in told
    assert "1 rounds; 4 rows came twice" in told
    assert "| raw-1 | 40,000 (40,000–40,000) | 0.25 (0.25–0.25) |" in told
    snapshot = told.partition("The initial snapshot:")[2]
    assert "20,000 (20,000–20,000)" in snapshot
    assert "walsender" not in snapshot


def test_a_way_without_a_window_is_not_measured() -> None:
    told = document.section({"conditions": "c", "windows": [], "absent": {}})
    assert told.count("Not measured.") == 2
