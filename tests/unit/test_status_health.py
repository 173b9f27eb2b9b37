"""What is found unhealthy in a snapshot, and how the page says it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from cdc.connector.client import ConnectorStatus, TaskStatus
from cdc.readings import Count
from cdc.verification.proof import Proof
from cli.status import Status, _stopped, as_json
from cli.status_page import duration, number, render, size
from runtime.settings import PROJECT_ROOT
from stack.supervision import ServiceState
from watch.alarms import ALARMS, RaisedAlarm
from watch.health import PART_OF, Finding, findings
from watch.latency import Quantiles
from watch.probes import Exchange, Flow, Heartbeats, Sink, Streams
from watch.settings import WatchSettings
from watch.shedding import Level
from watch.snapshot import History, Snapshot, Truth, Unread
from watch.store import Ledger, Slot

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHAPTER = re.compile(r"docs/runbook\.md, chapter (\w+)")

SLOT = Slot(
    active=True, wal_status="reserved", safe=4 << 30, retained=1 << 20, behind=512, keep=4 << 30
)
TRUTH = Truth(
    slot=SLOT,
    shedding=Level(level=0, since=NOW, reason="nothing is shed"),
    rows={"trades": Count(rows=1234, exact=True)},
    alarms=[],
    quarantined=0,
    ledger=Ledger(),
)
RUNNING = ConnectorStatus(
    name="tidemark-g1", state="RUNNING", tasks=(TaskStatus(id=0, state="RUNNING"),)
)
HISTORY = History(
    heartbeats=Heartbeats(
        ages_s={"ingest": 0.4, "debezium": 0.9},
        stages={"replication": Quantiles(p50_ms=21.0, p99_ms=1080.5, count=600)},
    ),
    applied={"market.g1.public.trades/0": 95},
    letters=Count(rows=2, exact=True),
    proofs={
        "trades_by_hour": Proof(through=NOW.replace(minute=0), differences=0),
        "prices_by_day": Proof(differences=3),
    },
    rows={"trades_by_hour": Count(rows=99, exact=False)},
)
EXCHANGE = Exchange(
    venue="simulator",
    banned_until=None,
    ban_status=0,
    used_weight=1200,
    weight_limit=6000,
    last_write=NOW,
    spool_bytes=0,
    failing={},
)
FLOW = Flow(
    ends={"market.g1.public.trades/0": 100, "market.g1.public.trades/1": 50},
    uncommitted={"market.g1.public.trades/0": 60, "market.g1.public.trades/1": 2},
    dead_letters=0,
    new_dead_letters=0,
    beats=9,
)
WELL = Snapshot(
    at=NOW,
    generation=1,
    postgres=TRUTH,
    connect=RUNNING,
    kafka=FLOW,
    cassandra=HISTORY,
    exchange=EXCHANGE,
    sink=Sink(halted={}),
)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> WatchSettings:
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")
    return WatchSettings()


def heard(ages: dict[str, float | None]) -> History:
    return replace(HISTORY, heartbeats=replace(HISTORY.heartbeats, ages_s=ages))


def failed(task: str) -> ConnectorStatus:
    return replace(RUNNING, tasks=(TaskStatus(id=0, state=task, reason="no password"),))


def shown(seen: Snapshot, services: list[ServiceState], wrong: list[Finding]) -> str:
    console = Console(width=120, color_system=None, force_terminal=False)
    with console.capture() as page:
        console.print(render(seen, services, wrong))
    return page.get()


def test_flowing_pipeline_has_nothing_to_say(settings: WatchSettings) -> None:
    """All parts well: no finding."""
    assert findings(WELL, settings) == []


@pytest.mark.parametrize(
    ("changed", "part", "said"),
    [
        ({"postgres": Unread("refused")}, "postgres", "refused"),
        ({"kafka": Unread("refused")}, "kafka", "refused"),
        ({"connect": Unread("refused")}, "connect", "refused"),
        ({"cassandra": Unread("refused")}, "cassandra", "refused"),
        ({"exchange": Unread("refused")}, "exchange", "refused"),
        ({"sink": Unread("refused")}, "sink", "refused"),
        ({"sink": Sink(halted={"prices": "why"})}, "table_halted", "prices: why"),
        ({"sink": Sink(halted={"gaps": "a", "depth": "b"})}, "table_halted", "depth: b; gaps: a"),
        ({"sink": Sink(halted={}, stopped="code: why")}, "sink_stopped", "code: why"),
        ({"kafka": replace(FLOW, new_dead_letters=3)}, "dead_letters", "3 new"),
        ({"connect": None}, "connect", "no connector"),
        ({"connect": failed("FAILED")}, "connect", "no password"),
        ({"connect": replace(RUNNING, state="PAUSED")}, "connect", "PAUSED"),
        ({"connect": replace(RUNNING, tasks=())}, "connect", "no task"),
        ({"postgres": replace(TRUTH, slot=None)}, "slot", "does not exist"),
        ({"postgres": replace(TRUTH, slot=replace(SLOT, wal_status="lost"))}, "slot", "lost"),
        ({"postgres": replace(TRUTH, slot=replace(SLOT, active=False))}, "slot", "nobody reads"),
        ({"postgres": replace(TRUTH, quarantined=101)}, "quarantine", "101 rows"),
        ({"cassandra": heard({"ingest": None, "debezium": None})}, "heartbeat", "no heartbeat"),
        ({"cassandra": heard({"ingest": 90.0, "debezium": 61.2})}, "heartbeat", "61 s old"),
        (
            {"exchange": replace(EXCHANGE, banned_until=NOW + timedelta(hours=1), ban_status=418)},
            "exchange",
            "418; silent until 2026-01-01 13:00:00 UTC",
        ),
        (
            {"exchange": replace(EXCHANGE, failing={"trades": 10, "depth": 2})},
            "exchange",
            "12 polls fail again and again: depth, trades",
        ),
    ],
)
def test_each_trouble_is_found_once_with_a_remedy(
    settings: WatchSettings, changed: dict[str, Any], part: str, said: str
) -> None:
    """One trouble, one finding: its part, what it is, and a next step."""
    (found,) = findings(replace(WELL, **changed), settings)
    assert found.part == part
    assert said in found.problem
    assert found.remedy


def test_ban_that_is_over_is_no_trouble(settings: WatchSettings) -> None:
    """The metric keeps the last ban; only one that lasts counts."""
    over = replace(EXCHANGE, banned_until=NOW - timedelta(seconds=1), ban_status=429)
    assert findings(replace(WELL, exchange=over), settings) == []


def test_what_failed_before_a_ban_is_not_said_beside_it(settings: WatchSettings) -> None:
    """While nothing is asked, only the ban is news."""
    until = NOW + timedelta(minutes=2)
    banned = replace(EXCHANGE, banned_until=until, ban_status=429, failing={"depth": 1})
    (found,) = findings(replace(WELL, exchange=banned), settings)
    assert "429" in found.problem


def test_alarm_is_shown_unless_its_matter_is_already_said(settings: WatchSettings) -> None:
    """task_failed beside a failed task says nothing new; dead letters do."""
    alarms = [
        RaisedAlarm(name="task_failed", text="tidemark-g1 has FAILED", since=NOW),
        RaisedAlarm(name="table_halted", text="replication of prices halts", since=NOW),
        RaisedAlarm(name="exchange_failing", text="1 poll fails", since=NOW),
        RaisedAlarm(name="dead_letters", text="3 new", since=NOW),
    ]
    seen = replace(
        WELL,
        connect=failed("FAILED"),
        postgres=replace(TRUTH, alarms=alarms),
        sink=Sink(halted={"prices": "why"}),
        exchange=replace(EXCHANGE, failing={"depth": 1}),
    )
    parts = [found.part for found in findings(seen, settings)]
    assert parts == ["exchange", "connect", "table_halted", "dead_letters"]


def test_alarm_alone_is_unhealthy(settings: WatchSettings) -> None:
    """A trouble that only the watch has seen is said too."""
    alarm = RaisedAlarm(name="task_failed", text="tidemark-g1 has FAILED", since=NOW)
    seen = replace(WELL, postgres=replace(TRUTH, alarms=[alarm]))
    (found,) = findings(seen, settings)
    assert found.remedy == "docs/runbook.md, chapter task_failed"


def test_every_alarm_has_its_chapter_in_the_runbook() -> None:
    """What `status` and the log point at exists, and no chapter is of the past."""
    runbook = (PROJECT_ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    chapters = [line[3:] for line in runbook.splitlines() if line.startswith("## ")]
    named = {
        name
        for stage in ("cdc", "watch")
        for path in (PROJECT_ROOT / stage).rglob("*.py")
        for name in CHAPTER.findall(path.read_text(encoding="utf-8"))
    }
    assert {"retention_passed", "topic_recreated"} <= named
    named |= set(re.findall(r"chapter `(\w+)`", runbook))
    assert sorted(chapters) == sorted({alarm.name for alarm in ALARMS} | named)
    assert set(PART_OF) <= set(chapters)


def test_page_shows_every_part_of_the_way() -> None:
    """The figures of the snapshot stand on the page, in units that a person reads."""
    services = [ServiceState("sink", "running", pid=42, uptime_s=125)]
    page = shown(WELL, services, [])
    for figure in ("healthy", "42", "simulator", "1,200 of 6,000", "1.0 MB", "0.4 s old"):
        assert figure in page
    for figure in (
        "tidemark-g1 RUNNING · task 0 RUNNING",
        "7 messages (trades 7) · 62 not committed",
        "1,080.5",
    ):
        assert figure in page
    for figure in ("1,234", "≥ 99", "large_trades_by_day"):
        assert figure in page


def test_page_of_a_broken_pipeline_says_what_is_unknown_and_what_to_do() -> None:
    """Nothing answers: the page still stands, and the remedy is on it."""
    silent = Unread("no answer [within 4.5 s]")
    dark = Snapshot(
        at=NOW,
        generation=1,
        postgres=silent,
        connect=silent,
        kafka=silent,
        cassandra=silent,
        exchange=silent,
        sink=silent,
    )
    page = shown(dark, [], [Finding("tidemark", "nothing runs", "`tidemark up`")])
    assert page.count("no answer [within 4.5 s]") >= 4
    assert "nothing runs" in page
    assert "`tidemark up`" in page


def test_json_says_healthy_and_keeps_the_figures() -> None:
    """For machines: one object, times in ISO 8601."""
    said = json.loads(as_json(Status(snapshot=WELL, services=[], findings=[])))
    assert said["healthy"] is True
    assert said["snapshot"]["at"] == "2026-01-01T12:00:00+00:00"
    assert said["snapshot"]["postgres"]["slot"]["retained"] == 1 << 20
    assert said["snapshot"]["cassandra"]["heartbeats"]["stages"]["replication"]["p99_ms"] == 1080.5


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (25 << 20, "25 MB"), (None, "unlimited")],
)
def test_sizes_are_readable(count: int | None, text: str) -> None:
    """Bytes in a unit that fits."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (45, "45 s"),
        (720, "12 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (None, "–"),
    ],
)
def test_durations_are_readable(seconds: float | None, text: str) -> None:
    """Seconds in units that fit."""
    assert duration(seconds) == text


def test_counts_that_are_not_exact_say_so() -> None:
    """An estimate or a cut count bears its sign."""
    assert number(Count(rows=1234567, exact=True), bound="≈") == "1,234,567"
    assert number(Count(rows=1234567, exact=False), bound="≈") == "≈ 1,234,567"
    assert number(None, bound="≈") == "–"


def streams(**changes: Any) -> Exchange:
    well: dict[str, Any] = {
        "wanted": 41, "live": 41, "books": 10, "standing_in": {}, "away_since": None
    }  # fmt: skip
    return replace(EXCHANGE, streams=Streams(**{**well, **changes}))


def test_the_page_says_whether_streams_flow_and_what_stands_in(settings: WatchSettings) -> None:
    """Off, all live, or polled; a short absence is shown and no finding yet."""
    assert "off: all is polled" in shown(WELL, [], [])
    well = replace(WELL, exchange=streams())
    assert "41 of 41 live · 10 books in step" in shown(well, [], [])
    away = {"live": 39, "standing_in": {"trades": 2}, "away_since": NOW - timedelta(seconds=60)}
    polled = replace(WELL, exchange=streams(**away))
    page = shown(polled, [], [])
    assert "39 of 41 live" in page
    assert "POLLS STAND IN: 2 of trades · away for 60 s" in page
    assert findings(polled, settings) == []


def test_the_page_says_what_the_ledger_knows() -> None:
    """Open gaps and minutes that are not proved; the exchange's matter, so no trouble of ours."""
    assert re.search(r"ledger +no gap is open", shown(WELL, [], []))
    known = Ledger(
        open_gaps=3,
        oldest_gap=NOW - timedelta(hours=3),
        differing=1,
        incomplete=20,
        oldest_minute=NOW - timedelta(hours=4),
    )
    page = shown(replace(WELL, postgres=replace(TRUTH, ledger=known)), [], [])
    assert "3 gaps open, the oldest for 3 h 0 min" in page
    assert "minutes: 1 differ, 20 lack trades, the oldest of 2026-01-01 08:00" in page


def test_streams_that_are_away_for_long_are_a_finding_and_one_alarm(
    settings: WatchSettings,
) -> None:
    """After five minutes; the alarm that says the same is not said twice."""
    away = {"live": 39, "standing_in": {"trades": 2}, "away_since": NOW - timedelta(minutes=7)}
    alarm = RaisedAlarm(name="streams_away", text="2 of 41 streams", since=NOW)
    seen = replace(WELL, exchange=streams(**away), postgres=replace(TRUTH, alarms=[alarm]))
    (finding,) = findings(seen, settings)
    assert finding.part == "streams"
    assert "2 of 41 streams do not flow, some for 7 min" in finding.problem
    assert "2 of trades" in finding.problem
    assert CHAPTER.search(finding.remedy)
    over = replace(WELL, postgres=replace(TRUTH, alarms=[alarm]))
    assert [each.part for each in findings(over, settings)] == ["streams_away"]


def test_program_that_is_not_wanted_may_stand_still() -> None:
    """No simulator beside the real exchange, no page where its port is 0."""
    services = [ServiceState(name, "stopped") for name in ("simulator", "sink", "page")]
    assert [each.part for each in _stopped(services, {"simulator", "page"})] == ["sink"]
    assert len(_stopped(services, set())) == 3
