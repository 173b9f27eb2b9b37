"""The sink's benchmark says what its windows showed, and knows what its log means."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from cdc.position import PartitionOrder
from cdc.routes import routes_of
from cdc.settings import CdcSettings
from cdc.sink.decoder import decoders
from tests.benchmarks.events import KEYS, event
from tests.benchmarks.sink import document, jobs, log, tables
from tests.benchmarks.sink.log import PARTITIONS, ROWS, SHARES, STEP, SYMBOLS, PrefilledLog, numbers
from tests.benchmarks.sink.outlook import Costs, cluster, one_machine, told
from tests.benchmarks.sink.plot import draw
from tests.benchmarks.sink.standings import costs, goals, standings


def window(contestant: str, number: int, rows: int, **more: Any) -> dict[str, Any]:
    """A window of 10 s whose client took a second of CPU, and Cassandra two."""
    return {
        "contestant": contestant,
        "round": number,
        "rows": rows,
        "seconds": 10.0,
        "client_cpu_s": 1.0,
        "cassandra_cpu_s": 2.0,
        "kafka_cpu_s": 0.5,
        "load": (1.5, 1.7),
        "others": 0.02,
        "wrong": [],
    } | more


class Producer:
    """Keeps what is produced, by topic and partition."""

    kept: ClassVar[dict[tuple[str, int], list[tuple[bytes, bytes]]]] = {}

    def __init__(self, _options: object) -> None:
        self.kept.clear()

    def produce(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        self.kept.setdefault((topic, partition), []).append((key, value))

    def poll(self, _timeout_s: float) -> None:
        """There is nothing to wait for."""

    def flush(self, _timeout_s: float) -> int:
        return 0


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> PrefilledLog:
    """A log of three steps, in memory."""
    monkeypatch.setattr(log, "Producer", Producer)
    topics = SimpleNamespace(ensure=lambda _specs: [])
    monkeypatch.setattr(log, "Topics", lambda _settings: nullcontext(topics))
    made = PrefilledLog(CdcSettings(generation=60), 3 * STEP)
    made.fill()
    return made


def test_what_more_cores_carry_is_bounded_by_sinks_and_by_cores() -> None:
    costs = Costs(sink=10, cassandra=8, kafka=2)
    assert one_machine(costs, 2) == 100_000  # two cores at 20 µs a row
    assert one_machine(costs, 16) == 400_000  # four sinks of a core each
    assert cluster(costs, 16) == (2_000_000, 20)
    assert "400,000" in told(costs)


def test_costs_are_medians_of_our_sound_windows() -> None:
    sound = [window("ours", n, rows) for n, rows in ((1, 100_000), (2, 200_000))]
    wrong = window("ours", 3, 1, wrong=["rows"])
    assert costs([*sound, wrong, window("barrier-default", 1, 9)]) == Costs(
        sink=7.5, cassandra=15.0, kafka=3.75
    )
    assert costs([wrong]) is None


def test_a_ratio_is_taken_within_each_round() -> None:
    found = standings(
        [
            window("ours", 1, 100),
            window("barrier-default", 1, 20),
            window("ours", 2, 1000),
            window("barrier-default", 2, 100),
            window("ours", 3, 700),
            window("barrier-default", 3, 100),
        ]
    )
    ratio = found["barrier-default"].ratio
    assert (ratio.median, ratio.least, ratio.most, ratio.rounds) == (7, 5, 10, 3)
    assert found["ours"].rows_per_s.median == 70
    assert found["ours"].client_us.least == 1000


def test_a_window_with_wrong_rows_counts_for_nothing() -> None:
    windows = [window("ours", 1, 100), window("ours", 2, 900, wrong=["klines.rows is 1"])]
    assert standings(windows)["ours"].rows_per_s.rounds == 1


def test_a_goal_without_a_contestant_is_not_measured() -> None:
    found = {each.text: each.met for each in goals(standings([window("ours", 1, 2_000_000)]))}
    assert found.pop("CPU of the sink, µs a row") is True
    assert set(found.values()) == {None}


def test_the_document_names_who_could_not_take_part() -> None:
    told = document.section(
        {
            "conditions": "Measured once",
            "windows": [window("ours", 1, 500), window("barrier-tuned", 1, 100)],
            "absent": {"acsylla": "pip failed: no wheel"},
            "lost": [
                {"contestant": name, "round": 1, "reason": "Failed: slow", "leaves": False}
                for name in ("ours", "concurrent")
            ],
        }
    )
    assert "| **acsylla**" in told
    assert "pip failed: no wheel" in told
    assert "| 1 round; 1 lost; Failed: slow |" in told
    assert "| 0 rounds; 1 lost; Failed: slow |" in told
    assert "| rows/s, sink ÷ barrier-tuned | 5.00 (5.00–5.00) | ≥ 3 |" in told
    assert "scyllapy" not in told


def test_the_plot_has_a_bar_for_each() -> None:
    picture = draw(standings([window("ours", 1, 500), window("barrier-tuned", 1, 100)]))
    assert picture.count(">ours<") == picture.count(">barrier-tuned<") == 1


def test_offsets_of_a_part_of_the_log_are_where_its_events_lie(filled: PrefilledLog) -> None:
    for table, topic in filled.topics.items():
        first = numbers(table, STEP, filled.events)[0]
        for partition in range(PARTITIONS):
            held = Producer.kept[topic, partition]
            assert len(held) == filled.ends[topic][partition]
            start = filled.starts(2 * STEP)[topic][partition]
            passed = {
                event(table, n, ROWS[table](n, SYMBOLS), KEYS[table])[0] for n in range(first)
            }
            assert {key for key, _ in held[:start]} <= passed
            assert passed.isdisjoint(key for key, _ in held[start:])


@pytest.mark.usefixtures("filled")
def test_every_partition_has_every_symbol() -> None:
    for held in Producer.kept.values():
        assert len(Counter(json.loads(key)["symbol"] for key, _ in held)) == SYMBOLS


def test_the_last_event_of_a_partition_can_be_committed(filled: PrefilledLog) -> None:
    """The sink commits where a transaction begins; each part of the log begins with one, too."""
    for table, topic in filled.topics.items():
        decode = decoders()[table].decode
        for partition in range(PARTITIONS):
            order = PartitionOrder(60)
            placed = [
                order.place(decode(value).source, key)[1]
                for key, value in Producer.kept[topic, partition]
            ]
            assert placed[-1]
            assert placed[filled.starts(2 * STEP)[topic][partition]]


def test_what_tables_must_hold_is_what_the_events_of_that_part_mean(filled: PrefilledLog) -> None:
    expected = filled.expected(STEP)
    trades = list(log.rows("trades", 2 * STEP, 3 * STEP))
    assert expected["trades_by_hour"]["rows"] == len(trades) == STEP * SHARES["trades"] // 4
    assert expected["trades_by_hour"]["price"] == sum(
        Decimal(row["price"]) * row["trade_id"] for row in trades
    )
    large = [row for row in trades if Decimal(row["notional_usd"]) > 100_000]
    assert expected["large_trades_by_day"]["rows"] == len(large) > 0
    assert expected["klines"]["rows"] == STEP * SHARES["klines"] // 4


def test_a_job_has_the_columns_of_the_routes(filled: PrefilledLog) -> None:
    told = jobs.job(filled, "group", STEP, 30, {"engine": "memory"}, tables.ROUTES)
    targets = {target["table"]: target for target in told["targets"]}
    assert targets.keys() == {route.table for table in SHARES for route in routes_of(table)}
    assert targets["klines"]["columns"][3] == ("open_time", "month", "bucket")
    assert targets["large_trades_by_day"]["above"] == ("notional_usd", "100000")
