"""The benchmark of latency says what its windows showed, and its clocks err on one side only."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from cdc.connector.config import connector_config
from cdc.readings import Beat
from cdc.routes import CAPTURED
from cdc.settings import CdcSettings
from contracts.market import Trade
from ingest.rows import prepare
from stack.services.connect import WORKER
from tests.benchmarks.latency import document
from tests.benchmarks.latency.load import TRANSACTIONS, paced
from tests.benchmarks.latency.plot import WIDTH, draw
from tests.benchmarks.latency.probe import LOOK_S, PATIENCE_S, SHARE, watch
from tests.benchmarks.latency.quantiles import STAGES, times, waterfall
from tests.benchmarks.latency.standings import goals, standings
from tests.benchmarks.trades import batch
from tests.benchmarks.variants import EXACTLY_ONCE, OURS, STOCK, VARIANTS

COMMITTED_US = 1_795_132_800_000_000


class Time:
    """A clock that moves when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def quantiles(p50: float) -> dict[str, float]:
    return {"p50": p50, "p99": 3 * p50, "most": 5 * p50, "count": 300}


def window(contestant: str, number: int, p50: float, **more: Any) -> dict[str, Any]:
    """A window at 1,000 changes a second; heartbeats are a millisecond quicker than the probe."""
    stages = {name: quantiles(p50 / 5) for name in STAGES} | {"replication": quantiles(p50 - 1)}
    return {
        "contestant": contestant,
        "round": number,
        "rate": 1000,
        "rows_per_s": 985.0,
        "held": True,
        "probe": quantiles(p50),
        "doubt": quantiles(1.5),
        "probes_lost": 0,
        "stages": stages,
        "beats_lost": 0,
        "cores": {"connect": 0.25, "sink": 0.1},
        "load": (1.5, 1.7),
        "others": 0.02,
    } | more


def beat(**moments: int | None) -> Beat:
    return Beat(source="bench", beat_at=datetime.now(UTC), committed_us=COMMITTED_US, **moments)


def test_quantiles_are_times_that_were_measured() -> None:
    found = times([*range(1, 100), 1000])
    assert (found.p50, found.p99, found.most, found.count) == (50, 99, 1000, 100)
    with pytest.raises(ValueError, match="nothing"):
        times([])


def test_the_stages_of_one_beat_add_up_to_the_whole() -> None:
    found = waterfall(
        [
            beat(
                captured_us=COMMITTED_US + 4_000,
                produced_ms=COMMITTED_US // 1000 + 9,
                received_us=COMMITTED_US + 16_000,
                visible_us=COMMITTED_US + 21_500,
            )
        ]
    )
    assert {name: each.p50 for name, each in found.items()} == {
        "debezium": 4, "kafka": 5, "fetch": 7, "cassandra": 5.5, "replication": 21.5
    }  # fmt: skip
    assert list(found) == list(STAGES)


def test_a_moment_of_whole_milliseconds_never_makes_a_stage_negative() -> None:
    found = waterfall(
        [
            beat(
                captured_us=COMMITTED_US + 900,
                produced_ms=COMMITTED_US // 1000,
                received_us=COMMITTED_US + 1_000,
                visible_us=COMMITTED_US + 2_000,
            )
        ]
    )
    assert found["kafka"].p50 == 0


def test_a_load_in_time_writes_its_rate_in_even_transactions() -> None:
    clock, written = Time(), list[range]()
    pace = paced(written.append, 85, 4, clock, clock.sleep)
    assert (pace.rows, pace.seconds, pace.late_ms) == (340, 4, 0)
    assert [number for numbers in written for number in numbers] == list(range(340))
    assert {len(numbers) for numbers in written} == {4, 5}
    assert len(written) == 4 * TRANSACTIONS


def test_a_load_makes_up_for_a_stall_and_tells_of_it() -> None:
    clock = Time()

    def write(numbers: range) -> None:
        clock.now += 1.0 if numbers.start == 0 else 0.001

    pace = paced(write, 1000, 10, clock, clock.sleep)
    assert pace.rows == 10_000
    assert 900 < pace.late_ms < 1000


def test_a_load_that_the_database_does_not_keep_up_with_is_not_held() -> None:
    clock = Time()

    def write(_numbers: range) -> None:
        clock.now += 2 / TRANSACTIONS

    pace = paced(write, 1000, 10, clock, clock.sleep)
    assert pace.rows == pytest.approx(5000, rel=0.05)


@pytest.mark.parametrize("visible_s", [0.02, 0.4])
def test_a_probe_is_never_early_and_says_how_late_it_may_be(visible_s: float) -> None:
    clock = Time()
    began = clock.now

    def commit() -> None:
        clock.now += 0.003

    def look() -> bool:
        clock.now += 0.0005
        return clock.now - began >= visible_s

    seen = watch(commit, look, clock, clock.sleep)
    assert seen.found
    assert visible_s * 1000 <= seen.took_ms <= visible_s * 1000 + seen.doubt_ms
    assert seen.doubt_ms <= 1000 * (0.0005 + max(LOOK_S, SHARE * visible_s)) + 0.1
    assert 0 < max(clock.slept) <= max(LOOK_S, SHARE * visible_s)


def test_a_probe_that_waits_in_vain_ends_and_is_told() -> None:
    clock = Time()

    def look() -> bool:
        clock.now += 0.001
        return False

    seen = watch(lambda: None, look, clock, clock.sleep)
    assert not seen.found
    assert seen.took_ms >= PATIENCE_S * 1000
    assert len(clock.slept) < 1000, "who waits long looks less often"


def test_a_ratio_to_stock_settings_is_taken_within_each_round() -> None:
    windows = [
        *(window("ours", number, p50) for number, p50 in ((1, 30), (2, 60), (3, 40))),
        *(window("stock", number, p50) for number, p50 in ((1, 300), (2, 300), (3, 100))),
    ]
    (goal,) = (each for each in goals(windows) if each.text == "p50 by probe, ours ÷ stock")
    assert goal.reached is not None
    assert (goal.reached.median, goal.reached.least, goal.reached.most) == (0.2, 0.1, 0.4)
    assert goal.met
    assert standings(windows)["stock", 1000].of_ours.median == 5


def test_goals_are_of_our_settings_at_their_rate_alone() -> None:
    elsewhere = [window("stock", 1, 300), window("ours", 1, 20, rate=5000)]
    assert {goal.met for goal in goals(elsewhere)} == {None}
    met = {goal.text: goal.met for goal in goals([*elsewhere, window("ours", 1, 45)])}
    assert met["p50 by probe, ms"] is False
    assert met["p99 by probe, ms"] is True
    assert met["p50 by heartbeats, ours ÷ stock"] is True


def test_the_longest_time_is_that_of_all_rounds() -> None:
    found = standings([window("ours", 1, 20), window("ours", 2, 80), window("ours", 3, 30)])
    latency = found["ours", 1000].ways["probe"]
    assert (latency.p50.median, latency.most) == (30, 400)


def test_the_document_says_what_was_lost_not_held_or_absent() -> None:
    told = document.section(
        {
            "conditions": "Measured once",
            "windows": [
                window("ours", 1, 20),
                window("stock", 1, 200, held=False, rows_per_s=700.0, beats_lost=3),
            ],
            "absent": {"exactly-once": "the task has failed"},
        }
    )
    assert "- **exactly-once** left: the task has failed" in told
    assert "| ours | 1,000 | 1 of 1 rounds | probe, at most 1.5 of it its own |" in told
    assert "0 of 1 rounds; 700 (700–700) trades/s" in told
    assert "3 rows lost" in told
    assert "| p50 by probe, ours ÷ stock | 0.10 (0.10–0.10) | ≤ 0.2 |" in told
    assert "| stock | 1,000 | 40.0 / 120.0 |" in told
    assert "| ours | 1,000 | 25 | 10 |" in told


def test_the_picture_has_each_variant_with_its_stages() -> None:
    picture = draw(standings([window("ours", 1, 20), window("stock", 1, 200)]))
    assert picture.count(">ours at 1,000/s<") == picture.count(">stock at 1,000/s<") == 1
    assert ">probe: p50 200.0, p99 600.0 ms<" in picture
    longest = max(map(float, re.findall(r'width="([0-9.]+)" height="18"', picture)))
    assert longest == WIDTH / 4, "stock's stages take a quarter each of the longest bar"


def test_results_survive_the_file_in_which_they_are_kept() -> None:
    results = {"conditions": "c", "windows": [window("ours", 1, 20)], "absent": {}}
    assert document.section(json.loads(json.dumps(results))) == document.section(results)


def test_what_stock_leaves_to_its_makers_is_what_the_product_sets() -> None:
    config = connector_config(CdcSettings(), CAPTURED, "__placeholder__")
    worker = properties(WORKER.read_text(encoding="utf-8"))
    assert config.keys() >= STOCK.connector_less
    assert worker.keys() >= STOCK.worker_less
    assert STOCK.connector(config) == {
        name: value for name, value in config.items() if name not in STOCK.connector_less
    }


def test_variants_change_nothing_of_the_worker_but_what_they_name() -> None:
    text = WORKER.read_text(encoding="utf-8")
    usual = properties(text)
    assert properties(OURS.properties(text)) == usual
    assert properties(STOCK.properties(text)) == {
        name: value for name, value in usual.items() if name not in STOCK.worker_less
    }
    assert properties(EXACTLY_ONCE.properties(text)) == usual | {
        "exactly.once.source.support": "enabled"
    }


def test_all_variants_capture_the_same_rows_in_the_same_shape() -> None:
    config = connector_config(CdcSettings(), CAPTURED, "__placeholder__")
    kept = {
        name
        for name in config
        if name.startswith(
            ("table.", "slot.", "topic.", "snapshot.", "decimal.", "time.", "value.")
        )
    }
    for variant in VARIANTS:
        assert kept <= variant.connector(config).keys()


def test_the_trades_of_the_load_are_such_as_ingest_stores() -> None:
    made = batch(range(200))
    prepared = prepare(made, datetime.now(UTC))
    assert not prepared.rejected
    trades = [each for each in prepared.rows["trades"] if isinstance(each, Trade)]
    assert len(trades) == 200
    assert all(each.traded_at.microsecond % 1000 == 0 for each in trades)


def properties(text: str) -> dict[str, str]:
    """Settings of a file of properties; each stands in it once."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines)
    return found
