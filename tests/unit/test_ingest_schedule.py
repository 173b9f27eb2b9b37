"""The schedule's arithmetic and its due times, without a clock."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from ingest import schedule
from ingest.errors import ScheduleTooHeavy
from ingest.schedule import Poll, Schedule
from ingest.settings import IngestSettings
from runtime.settings import SettingsError


def test_the_default_schedule_fits_its_share_of_the_limit() -> None:
    """4,064 of 4,800; the sum is what the settings' docstring says."""
    polls = schedule.plan(IngestSettings(), IngestSettings().symbols)
    assert sum(schedule.weight_per_minute(polls).values()) == pytest.approx(4064.33, abs=0.01)
    schedule.check(polls, limit=6000, share=0.8)


def test_a_schedule_that_is_too_heavy_is_refused_with_the_arithmetic() -> None:
    """The message shows each endpoint's share and says what to change."""
    polls = schedule.plan(IngestSettings(), IngestSettings().symbols)
    with pytest.raises(ScheduleTooHeavy) as caught:
        schedule.check(polls, limit=5000, share=0.8)
    text = str(caught.value)
    assert "needs 4065 weight a minute, allowed are 4000 (80% of the exchange's 5000)" in text
    assert "trades: 10 × weight 25 × 12 a minute = 3000" in text
    assert "TIDEMARK_SYMBOLS" in text


def test_deeper_books_weigh_more() -> None:
    """The weight of depth follows its limit."""
    for limit, weight in ((100, 5), (101, 25), (1000, 50)):
        polls = schedule.plan(IngestSettings(depth_limit=limit), ["A"])
        (depth,) = [poll for poll in polls if poll.endpoint == "depth"]
        assert depth.weight == weight


def symbols(count: int, every_s: float = 10) -> list[Poll]:
    return [
        Poll(endpoint="trades", every_s=every_s, weight=25, symbol=str(n)) for n in range(count)
    ]


def test_members_of_a_group_are_spread_and_never_come_in_a_burst() -> None:
    """Ten symbols each ten seconds are one a second, for ever."""
    driven = Schedule(symbols(10), start_s=100)
    for second in range(100, 200):
        assert len(driven.due(second)) == 1
        assert driven.next_due_s() == pytest.approx(second + 1)


def test_groups_do_not_meet_on_the_same_tick() -> None:
    """Endpoints with the same interval take turns, so a ban finds few requests on their way."""
    names = ["trades", "depth", "klines", "ticker/price"]
    polls = [Poll(endpoint=name, every_s=1, weight=1) for name in names]
    driven = Schedule(polls, start_s=0)
    assert [[poll.endpoint for poll in driven.due(n / 4)] for n in range(8)] == [
        [name] for name in names * 2
    ]


def test_a_late_tick_is_skipped_not_piled_up() -> None:
    """After a pause of a minute each poll is due once, and then in its old rhythm."""
    driven = Schedule(symbols(2), start_s=0)
    driven.due(0)
    late = Counter(poll.symbol for poll in driven.due(62))
    assert late == {"0": 1, "1": 1}
    assert driven.due(62) == []
    assert [poll.symbol for poll in driven.due(65)] == ["1"]
    assert [poll.symbol for poll in driven.due(70)] == ["0"]


def test_each_poll_comes_as_often_as_it_should() -> None:
    """Counted over ten minutes of the default plan, in steps of a fifth of a second."""
    polls = schedule.plan(IngestSettings(), IngestSettings().symbols)
    driven = Schedule(polls, start_s=0)
    ticks = itertools.takewhile(lambda now: now < 600, itertools.count(0, 0.2))
    counts = Counter(poll for now in ticks for poll in driven.due(now))
    for poll in polls:
        assert counts[poll] == pytest.approx(600 / poll.every_s, abs=1)


def test_what_cannot_be_asked_again_comes_first() -> None:
    """Trades before statistics where both are due."""
    polls = schedule.plan(IngestSettings(), ["A"])
    names = [poll.endpoint for poll in Schedule(polls, start_s=0).due(3600)]
    assert names[0] == "trades"
    assert names[-1] == "exchangeInfo"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": ""}, "TIDEMARK_SYMBOLS: name at least one symbol"),
        ({"symbols": "BTCUSDT,BTCUSDT"}, "TIDEMARK_SYMBOLS: named twice: BTCUSDT"),
        ({"kline_intervals": "1m,7m"}, "TIDEMARK_KLINE_INTERVALS: '7m' is no interval"),
        ({"kline_intervals": "1H"}, "'1H' is no interval"),
        ({"exchange": "kraken"}, "TIDEMARK_EXCHANGE"),
        ({"binance_hosts": "http://api.binance.com"}, "only https"),
        ({"binance_hosts": "https://me:secret@x.y"}, "must not hold a user"),
        ({"binance_hosts": "ftp://x"}, "is not of the form"),
        ({"binance_hosts": ""}, "at least one host"),
        ({"binance_stream_hosts": "ws://stream.binance.com"}, "only wss"),
        ({"binance_stream_hosts": "https://stream.binance.com"}, "is not of the form wss://"),
        ({"binance_stream_hosts": ""}, "at least one host"),
        ({"streams": "maybe"}, "TIDEMARK_STREAMS"),
        ({"binance_hosts": "https://x:99999"}, "TIDEMARK_BINANCE_HOSTS"),
        ({"simulator_url": "http://10.0.0.1:80"}, "only https"),
        ({"simulator_url": "https://api.binance.com"}, "is the real exchange"),
        ({"connect_timeout_s": 20}, "is longer than TIDEMARK_REQUEST_TIMEOUT_S=10"),
        ({"trades_every_s": 0}, "TIDEMARK_TRADES_EVERY_S"),
        ({"depth_limit": 5000}, "TIDEMARK_DEPTH_LIMIT"),
        ({"weight_share": 1.5}, "TIDEMARK_WEIGHT_SHARE"),
        ({"movers_quotes": ""}, "TIDEMARK_MOVERS_QUOTES"),
    ],
)
def test_settings_that_contradict_are_named(change: dict[str, Any], message: str) -> None:
    """One clear line says which variable is wrong and what it takes."""
    with pytest.raises(SettingsError) as caught:
        IngestSettings(**change)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_lists_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comma-separated, spaces allowed."""
    monkeypatch.setenv("TIDEMARK_SYMBOLS", "BTCUSDT, ETHUSDT,")
    assert IngestSettings().symbols == ("BTCUSDT", "ETHUSDT")
