"""The benchmark of size knows what is flat, what was slow, and what lies where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc.verification.pages import Page
from grafana import written
from page.reader import Reader
from tests.benchmarks import page_speed, trees
from tests.benchmarks.size import disk, document, past, questions
from tests.benchmarks.size.day import SYMBOLS, variables
from tests.benchmarks.size.samples import MB, Sample, course
from tests.benchmarks.trees import Memory
from tests.benchmarks.turns import CannotTakePart
from tests.page_rows import Recorded

END = datetime(2026, 11, 29, 12, tzinfo=UTC)
ROLLUP = """\
55d0f7c00000-7ffe5d3f2000 ---p 00000000 00:00 0                          [rollup]
Rss:              104112 kB
Pss:               90001 kB
Pss_Anon:          60002 kB
Pss_File:          29999 kB
"""


def samples(*anonymous_mb: float, files_mb: float = 0) -> list[Sample]:
    """One a minute, of one program."""
    return [
        Sample(60.0 * at, {"sink": Memory(round((mb + files_mb * at) * MB), round(mb * MB))}, 0, 0)
        for at, mb in enumerate(anonymous_mb)
    ]


def results() -> dict[str, Any]:
    """A small run, as JSON has it."""
    grown = course("sink", samples(100, 100, 200, 300))
    told = {
        "conditions": "Measured once",
        "day": {
            "rows": 900,
            "held": 1000,
            "stored_s": 10.0,
            "logged_s": 20.0,
            "applied_s": 40.0,
            "wal_most_bytes": 2 * document.GB,
            "slot_most_bytes": document.GB,
            "cpu_us": {"sink": 12.5},
            "memory": [vars(grown)],
        },
        "disk": {
            "postgres": {
                "rows": 1000,
                "table and indexes": 200_000,
                "indexes": 80_000,
                "database": 300_000,
                "WAL": 400_000,
            },
            "kafka": {"trades": 250_000},
            "before": {"trades_by_hour": 10_000},
            "after": {"trades_by_hour": 60_000, "commit log": 1},
        },
        "questions": [
            timed("panel", "Symbol / Tape / A, 6 h", 12.0),
            timed("panel", "Market / $venue, 6 h", 49.0),
            timed("page", "tape", 51.0),
        ],
        "proved": True,
    }
    return cast("dict[str, Any]", json.loads(json.dumps(told)))


def timed(of: str, name: str, p99_ms: float) -> dict[str, Any]:
    return {
        "of": of,
        "name": name,
        "runs": 100,
        "rows": 25,
        "p50_ms": 1.0,
        "p99_ms": p99_ms,
        "most_ms": 60.0,
    }


def test_memory_is_flat_where_only_its_first_half_or_its_files_grow() -> None:
    assert course("sink", samples(10, 300, 500, 500, 501, 500)).flat
    mapped = course("sink", samples(500, 500, 500, 500, files_mb=200))
    assert mapped.flat
    assert (mapped.least_mb, mapped.most_mb) == (500, 1100)


def test_memory_that_goes_on_growing_is_not_flat() -> None:
    grown = course("sink", samples(500, 500, 500, 560, 620))
    assert grown.slope_mb_a_minute == pytest.approx(60)
    assert not grown.flat
    assert (grown.anonymous_first_mb, grown.anonymous_last_mb) == (500, 620)


def test_one_look_says_nothing_of_growth_and_none_is_an_error() -> None:
    assert course("sink", samples(500)).flat
    with pytest.raises(ValueError, match="ingest"):
        course("ingest", samples(500))


def test_proportional_memory_is_read_with_what_no_file_stands_behind() -> None:
    assert trees.parsed(ROLLUP.splitlines()) == Memory(90001 * 1024, 60002 * 1024)


def test_a_market_is_as_busy_as_the_day_has_trades() -> None:
    assert variables(864_000)["TIDEMARK_SIMULATOR_TRADES_PER_SECOND"] == "10.0"


def test_the_past_leaves_nothing_that_somebody_would_set_out_to_heal() -> None:
    made = list(past.statements(SYMBOLS, END))
    assert len(made) == len(past.ROWS)
    (gaps,) = [each for each in made if "INTO gaps" in each]
    (certificates,) = [each for each in made if "INTO certificates" in each]
    assert "'open'" not in gaps
    assert "differs" not in certificates
    for statement in made:
        assert "{" not in statement
        assert statement.endswith("ON CONFLICT DO NOTHING")
    books = [each for each in made if "INTO depth" in each]
    assert all(f"generate_series(1, {past.LEVELS})" in each for each in books)


def test_a_statement_that_has_changed_is_noticed() -> None:
    with pytest.raises(ValueError, match="is not in"):
        past.changed("SELECT 1", "2", "3")


def test_every_question_is_asked_as_often_and_the_first_time_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the first round looks at the clock once, for its time is not kept
    clock: Iterator[float] = iter([0, 9, 10, 20, 23, 30, 35])
    monkeypatch.setattr(questions, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    counts = iter([1, 2, 3, 4])
    (found,) = questions.timed("page", {"tape": lambda: next(counts)}, 3)
    assert (found.name, found.runs, found.rows) == ("tape", 3, 4)
    assert (found.p50_ms, found.most_ms) == (3000.0, 5000.0)


class Session:
    """Keeps what it is asked, and answers with pages of two rows and of one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def execution_profile_clone_update(self, _profile: object, **_changes: object) -> None:
        """There are no profiles."""

    def execute(self, statement: Any, *, execution_profile: None) -> list[Page]:
        assert execution_profile is None
        self.asked.append(statement.query_string)
        return [Page(2, b""), Page(1, b"")]


def test_every_query_of_the_dashboards_is_asked_as_cassandra_understands_it() -> None:
    session = Session()
    asks = questions.panels(session)
    assert {ask() for ask in asks.values()} == {3}
    assert not any("$" in text for text in session.asked)
    texts = {placed.query.text for placed in written.queries()}
    wide = [placed for placed in written.queries() if placed.query.days not in {0, 0.25}]
    assert len(asks) == len(texts) + len({placed.query.text for placed in wide})
    assert {name.rpartition(", ")[0] for name in asks} <= {each.where for each in written.queries()}


def test_every_question_that_a_reader_knows_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name for name in vars(Reader) if not name.startswith("_")}
    asked: set[str] = set()
    for name in known:
        real = getattr(Recorded, name)

        def noted(reader: Any, *values: Any, name: str = name, real: Any = real) -> Any:
            asked.add(name)
            return real(reader, *values)

        monkeypatch.setattr(Recorded, name, noted)
    counts = {name: ask() for name, ask in questions.of_page(Recorded(datetime.now(UTC))).items()}
    assert asked == known
    assert counts["book"] == counts["24 h statistics of one"] == 1
    assert counts["candles of one, 5m"] > counts["candles of one, 1m"] > 60


def test_files_below_a_folder_are_summed_by_topic_and_table(tmp_path: Path) -> None:
    settings: Any = SimpleNamespace(data=lambda service: tmp_path / service)
    for place, size in {
        "kafka/market.g7.public.trades-0/00.log": 5,
        "kafka/market.g7.public.trades-1/00.log": 6,
        "kafka/market.g8.public.trades-0/00.log": 100,
        "cassandra/data/tidemark/trades_by_hour-0a1b/aa.db": 7,
        "cassandra/data/tidemark/trades_by_hour-0a1b/backups/bb.db": 1,
        "cassandra/data/system/peers-0a1b/cc.db": 100,
        "cassandra/commitlog/1.log": 9,
    }.items():
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    assert disk.of_kafka(settings, 7) == {"trades": 11}
    assert disk.of_cassandra(settings, "tidemark") == {"trades_by_hour": 8, "commit log": 9}


def test_goals_are_the_slowest_of_each_and_what_grows() -> None:
    found = {each.text: each for each in document.goals(results())}
    met = [each.met for each in found.values()]
    assert met == [True, False, False]
    assert [each.met for each in document.goals({})] == [None, None, None]


def test_the_document_says_what_lies_where_and_asks_the_slowest_first() -> None:
    told = document.section(results())
    assert "| Cassandra | 40 | 25 |" in told
    assert "equal by `tidemark verify`" in told
    assert "| Kafka, topic of `trades` | 0.00 | 250 |" in told
    assert "| sink | 12.5 |" in told
    assert told.index("\\$venue") < told.index("Tape / A") < told.index("page: tape")


def test_a_step_that_is_not_measured_yet_is_left_out() -> None:
    told = document.section({"conditions": "Measured once"})
    assert "| disk" not in told
    assert "| slowest panel, p99 ms | not measured | ≤ 50 |" in told


def test_the_page_is_measured_view_by_view_where_there_is_a_browser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.browser.installed", lambda: None)
    found = list(page_speed.measures(10, 40, {}))
    assert [name.split(", ")[1] for name, _ in found] == ["market", "symbol", "pipeline", "symbol"]
    for _, figures in found:
        with pytest.raises(CannotTakePart, match="chromium"):
            next(figures)


def test_a_trade_waits_for_the_next_look_and_its_answer() -> None:
    paint = page_speed._paint("market", [1.0, 1.2, 3.0])
    assert (paint.value, paint.reached) == (1.2, True)
    refresh = page_speed._refreshes("market", [100.0, 400.0, 500.0])
    assert (refresh.value, refresh.reached) == (400, False)
    assert page_speed._ages(0.2, [0.1, 0.3, 0.9], [200.0]).value == pytest.approx(0.7)
