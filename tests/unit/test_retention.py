"""Which days are old enough, what keeps one, and when that is worth an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cdc.errors import CdcError, Contended, FenceTimeout
from cdc.routes import BY_DAY
from cdc.settings import CdcSettings
from cdc.verification.expiry import Outcome, expire, expired
from cdc.verification.retention import NotProved
from ingest.tables import PARTITIONED_BY
from watch import retention
from watch.announcer import Announcer
from watch.errand import Errand as RealErrand
from watch.retention import Judgement, RetentionCheck
from watch.settings import WatchSettings

TODAY = date(2026, 1, 15)
DAY = timedelta(days=1)
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def days_back(*numbers: int) -> list[date]:
    return [TODAY - number * DAY for number in numbers]


class Held:
    """Partitions by table, in memory."""

    def __init__(self, **held: list[date]) -> None:
        self.held = held

    def days(self, table: str) -> list[date]:
        return list(self.held[table])


def test_every_partitioned_table_has_its_setting(tmp_path: Path) -> None:
    """And no other replicated one has: what is not partitioned is never dropped."""
    settings = CdcSettings(state_dir=tmp_path)
    assert sorted(BY_DAY) == sorted(PARTITIONED_BY)
    assert all(settings.retain_days(table) > 0 for table in BY_DAY)
    names = {name for name in CdcSettings.model_fields if name.startswith("retain_")}
    assert names == {f"retain_{table}_days" for table in (*BY_DAY, "quarantine")}


def test_whole_days_before_today_are_kept() -> None:
    """Today is not over and never counts; days to come are empty and stay."""
    held = days_back(-2, -1, 0, 1, 2, 3, 4, 9)
    assert expired(held, 3, TODAY) == days_back(9, 4)
    assert expired(held, 1, TODAY) == days_back(9, 4, 3, 2)


def test_zero_keeps_all() -> None:
    assert expired(days_back(400, 1), 0, TODAY) == []


def test_the_oldest_days_go_first() -> None:
    dropped: list[tuple[str, date]] = []

    def drop(table: str, day: date) -> bool:
        dropped.append((table, day))
        return True

    source = Held(prices=days_back(0, 5, 6), trades=days_back(0, 5))
    outcomes = expire(source, {"prices": 3, "trades": 9}, drop, TODAY)
    assert dropped == [("prices", TODAY - 6 * DAY), ("prices", TODAY - 5 * DAY)]
    assert [(each.reason, each.overdue) for each in outcomes] == [("", False)] * 2


@pytest.mark.parametrize("error", [NotProved("differs"), Contended("readers are in the way")])
def test_what_may_not_go_stays_and_holds_nothing_up(error: CdcError) -> None:
    """With its reason; overdue from the second day on."""

    def drop(table: str, day: date) -> bool:
        if table == "prices":
            raise error
        return bool(day)

    source = Held(prices=days_back(4, 5), trades=days_back(4))
    outcomes = expire(source, {"prices": 3, "trades": 3}, drop, TODAY)
    assert [(each.table, each.reason, each.overdue) for each in outcomes] == [
        ("prices", str(error), True),
        ("prices", str(error), False),
        ("trades", "", False),
    ]


def test_while_replication_stands_still_nothing_more_is_tried() -> None:
    """Each try would wait for a fence that nobody passes."""
    tried = []

    def drop(table: str, day: date) -> bool:
        tried.append((table, day))
        raise FenceTimeout("the sink", 60, "it is behind")

    source = Held(prices=days_back(4, 5), trades=days_back(4))
    outcomes = expire(source, {"prices": 3, "trades": 3}, drop, TODAY)
    assert len(tried) == 1
    assert len({each.reason for each in outcomes}) == 1


def test_an_outcome_is_told_to_scripts() -> None:
    told = Outcome(table="prices", day=TODAY, reason="differs", overdue=True).as_dict()
    assert told == {
        "table": "prices",
        "day": "2026-01-15",
        "dropped": False,
        "reason": "differs",
        "overdue": True,
    }


def report(*days: tuple[str, str, bool]) -> dict[str, Any]:
    """(table, day, overdue) of days that stay."""
    return {
        "days": [
            {"table": table, "day": day, "dropped": False, "reason": "why", "overdue": overdue}
            for table, day, overdue in days
        ]
    }


def test_a_day_that_is_overdue_twice_is_a_complaint() -> None:
    """Once may be a reader in the way; it is over with the pass that finds it gone."""
    judgement = Judgement()
    late = report(("prices", "2026-01-02", True), ("trades", "2026-01-03", False))
    assert judgement.of(late, "") is None
    assert judgement.of(late, "") == "1 day is overdue, first why"
    assert judgement.of(report(), "") is None


def test_two_passes_that_could_not_be_made_are_a_complaint() -> None:
    judgement = Judgement()
    assert judgement.of(None, "no password") is None
    assert judgement.of(None, "no password") == "days could not be dropped: no password"
    assert judgement.of(report(), "") is None


class Errand:
    """A pass that is over at once."""

    started = 0
    answers: tuple[Mapping[str, Any] | None, str] = (report(), "")

    @classmethod
    def start(cls, *_command: str) -> Errand:
        cls.started += 1
        return cls()

    @property
    def over(self) -> bool:
        return True

    def result(self) -> tuple[Mapping[str, Any] | None, str]:
        return self.answers


def test_a_pass_that_cannot_be_made_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real command, in a process of its own, where there is no password."""
    monkeypatch.setenv("TIDEMARK_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_CASSANDRA_PORT", "1")
    monkeypatch.delenv("TIDEMARK_SECRETS_DIR", raising=False)
    errand = RealErrand.start("retention", "retention", "apply")
    errand.process.wait(60)
    assert errand.over
    report, reason = errand.result()
    assert report is None
    assert "password" in reason


def test_passes_begin_once_the_watch_has_settled_and_come_each_period(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each ends in a judgement."""
    told: list[str | None] = []

    class Told:
        def look(self, alarm: str, complaint: str | None, _now: datetime) -> None:
            assert alarm == "retention"
            told.append(complaint)

    monkeypatch.setattr(retention, "Errand", Errand)
    monkeypatch.setattr(Errand, "started", 0)
    settings = WatchSettings(state_dir=tmp_path)
    check = RetentionCheck(settings, cast("Announcer", Told()))
    for seconds in range(0, 3700, 5):
        check.look(NOW + seconds * SECOND)
    assert (Errand.started, told) == (2, [None, None])


def test_a_watch_that_shall_not_drops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TIDEMARK_WATCH_RETENTION_PERIOD_S=0."""
    monkeypatch.setattr(retention, "Errand", Errand)
    monkeypatch.setattr(Errand, "started", 0)
    settings = WatchSettings(state_dir=tmp_path, watch_retention_period_s=0)
    check = RetentionCheck(settings, cast("Announcer", None))
    for hours in range(48):
        check.look(NOW + timedelta(hours=hours))
    assert Errand.started == 0
