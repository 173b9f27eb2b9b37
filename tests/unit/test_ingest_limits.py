"""Weight, silence and the choice of a host, under a clock of our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.binance.bans import BanBook
from ingest.binance.hosts import REST_S, Hosts
from ingest.binance.limits import Budget, silence_until, used_weight
from ingest.errors import BadRequest, RegionRefused, ScheduleTooHeavy, WeightExhausted
from ingest.settings import MARKET_DATA_HOST
from tests.recorded import recorded

NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)


class Clock:
    """Seconds that move only when told."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def take_all(budget: Budget) -> None:
    """Take weight by twos until the budget refuses."""
    while True:
        try:
            budget.take(2)
        except WeightExhausted:
            return


def test_weight_is_refused_when_our_share_is_spent_and_free_at_the_next_minute() -> None:
    """The error says how long to wait."""
    clock = Clock(600.0 + 20)
    budget = Budget(100, 0.8, clock)
    budget.take(80)
    with pytest.raises(WeightExhausted) as caught:
        budget.take(1)
    assert caught.value.wait_s == pytest.approx(40)
    budget.answered(80, None)
    clock.now += caught.value.wait_s
    budget.take(1)


def test_what_the_header_says_replaces_our_count() -> None:
    """Other processes behind the same address use weight, too."""
    budget = Budget(6000, 0.8, Clock())
    budget.take(5)
    budget.answered(5, used=4790)
    budget.take(10)
    with pytest.raises(WeightExhausted):
        budget.take(1)


def test_requests_on_their_way_count_before_their_answer() -> None:
    """An answer's header cannot know of a request that is still being sent."""
    budget = Budget(100, 1.0, Clock())
    budget.take(60)
    budget.take(30)
    budget.answered(60, used=60)
    assert budget.used == 90


def test_a_request_heavier_than_a_whole_minute_is_a_contradiction() -> None:
    """Waiting would never end, so it is refused with the numbers."""
    with pytest.raises(ScheduleTooHeavy, match=r"weighs 80.*is 40 \(80% of 50\)"):
        Budget(50, 0.8, Clock()).take(80)


def test_a_paced_budget_is_released_evenly() -> None:
    """A backfill takes a half of the minute's weight in half a minute, plus a second's burst."""
    clock = Clock(600.0)
    budget = Budget(6000, 1.0, clock, paced=True)
    taken_by_second = []
    for second in range(60):
        clock.now = 600.0 + second
        take_all(budget)
        taken_by_second.append(budget.used)
    assert taken_by_second[0] <= 100
    assert taken_by_second[30] == pytest.approx(3100, abs=2)
    assert taken_by_second[-1] == 6000


def test_a_paced_budget_yields_to_what_others_use() -> None:
    """The live schedule of another process comes first."""
    budget = Budget(6000, 0.8, Clock(600.0 + 30), paced=True)
    budget.take(2)
    budget.answered(2, used=2600)  # more than half of 4800 in half a minute
    with pytest.raises(WeightExhausted):
        budget.take(2)


@given(
    st.lists(
        st.tuples(st.integers(1, 80), st.floats(0, 5), st.booleans()), min_size=1, max_size=200
    )
)
def test_no_minute_ever_holds_more_than_our_share(steps: list[tuple[int, float, bool]]) -> None:
    """Whatever is asked for and whenever, the sum of what was let through stays below the line."""
    clock = Clock()
    budget = Budget(200, 0.5, clock)
    sent: dict[int, int] = {}
    for weight, pause, answered in steps:
        clock.now += pause
        try:
            budget.take(weight)
        except WeightExhausted:
            continue
        minute = int(clock.now // 60)
        sent[minute] = sent.get(minute, 0) + weight
        if answered:
            budget.answered(weight, sent[minute])
    assert all(used <= 100 for used in sent.values())


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"retry-after": "35"}, b"", 35),
        (418, {"retry-after": "437"}, b"", 437),
        (429, {}, b"", 60),
        (418, {}, b"", 120),
        (418, {}, b"IP banned until 1785585700000. Please", 70),
        (429, {"retry-after": "soon"}, b"", 60),
        (429, {"retry-after": "-5"}, b"", 60),
        (429, {"retry-after": "0"}, b"", 1),
        (418, {"retry-after": "9" * 30}, b"", 3 * 86_400),
        (403, {"retry-after": "1"}, b"<HTML>", 300),
    ],
)
def test_silence_lasts_as_long_as_the_answer_demands(
    status: int, headers: dict[str, str], body: bytes, seconds: float
) -> None:
    """Retry-After, else the text, else a default; between one second and three days."""
    until = silence_until(status, headers, body, NOW, firewall_pause_s=300)
    assert until - NOW == timedelta(seconds=seconds)


def test_recorded_bans_are_understood() -> None:
    """Every recorded 418 and 429 gives a silence that Retry-After or its text explains."""
    for answer in json.loads(recorded("error_bodies.json").read_text()):
        if answer["status"] not in {418, 429}:
            continue
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        until = silence_until(answer["status"], headers, answer["body"].encode(), NOW, 300)
        stated = headers.get("retry-after")
        assert until > NOW
        assert stated is None or until - NOW == timedelta(seconds=int(stated))


@pytest.mark.parametrize(("stated", "used"), [("12", 12), ("", None), ("-1", None), ("x", None)])
def test_the_weight_header_is_read_or_ignored(stated: str, used: int | None) -> None:
    """A header that is no number says nothing."""
    assert used_weight({"x-mbx-used-weight-1m": stated}) == used


def test_a_ban_is_known_to_other_processes_and_after_a_restart(tmp_path: Path) -> None:
    """Two books on the same folder are two processes; venues do not share a ban."""
    mine, other = BanBook(tmp_path / "run", "binance"), BanBook(tmp_path / "run", "binance")
    assert other.current(NOW) is None
    mine.record(418, NOW + timedelta(seconds=120))
    silence = other.current(NOW)
    assert silence is not None
    assert silence.status == 418
    assert other.current(NOW + timedelta(seconds=121)) is None
    assert BanBook(tmp_path / "run", "simulator").current(NOW) is None


def test_a_shorter_silence_does_not_end_a_longer_one(tmp_path: Path) -> None:
    """A late 429 cannot lift a ban of hours."""
    book = BanBook(tmp_path, "binance")
    book.record(418, NOW + timedelta(hours=2))
    book.record(429, NOW + timedelta(seconds=5))
    silence = BanBook(tmp_path, "binance").current(NOW + timedelta(hours=1))
    assert silence is not None
    assert silence.status == 418


def test_a_note_of_a_ban_that_is_junk_is_ignored(tmp_path: Path) -> None:
    """A half-written or foreign file stops nobody."""
    (tmp_path / "ban-binance.json").write_bytes(b'{"status":')
    assert BanBook(tmp_path, "binance").current(NOW) is None


def test_a_folder_that_cannot_be_written_still_keeps_this_process_silent(tmp_path: Path) -> None:
    """Memory is enough for one process."""
    (tmp_path / "run").write_text("a file where a folder is due")
    book = BanBook(tmp_path / "run", "binance")
    book.record(429, NOW + timedelta(seconds=5))
    assert book.current(NOW) is not None


def test_the_first_host_that_is_well_is_asked() -> None:
    """A failed one is put last for a while, then it is first again."""
    clock = Clock()
    hosts = Hosts(["a", "b", "c"], clock)
    hosts.failed("a")
    assert hosts.pick() == "b"
    clock.now = 1
    hosts.failed("b")
    hosts.failed("c")
    assert hosts.pick() == "a"  # all are ill: the one whose rest ends first
    clock.now = REST_S + 2
    assert hosts.pick() == "a"


def test_a_refused_region_is_final_when_every_host_refuses() -> None:
    """One refusal moves on to the next host; all of them end with an explanation."""
    hosts = Hosts(["https://a", "https://b"], Clock())
    hosts.refused("https://a")
    assert hosts.pick() == "https://b"
    hosts.refused("https://b")
    with pytest.raises(RegionRefused, match="451 from https://a, https://b"):
        hosts.pick()
    hosts.forgive()
    assert hosts.pick() == "https://a"


def test_hosts_for_market_data_are_not_asked_for_more() -> None:
    """HistoricalTrades is served by the full hosts only."""
    hosts = Hosts([MARKET_DATA_HOST, "https://api.binance.com"], Clock())
    assert hosts.pick() == MARKET_DATA_HOST
    assert hosts.pick(market_data=False) == "https://api.binance.com"
    with pytest.raises(BadRequest):
        Hosts([MARKET_DATA_HOST], Clock()).pick(market_data=False)
