"""Each view over recorded rows: with all of them, without some, and while Cassandra is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from page.errors import AccessDenied, PageError, Unreachable
from page.feed import Feed
from page.live import CHARTS_S, Part
from page.reader import Reader
from page.rows import Event, Gap
from tests.page_app import VIEWS, app, figures, html, text
from tests.page_rows import HALTED, UNWATCHED, Recorded

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
DOWN = Unreachable("nobody answers at 127.0.0.1:19042 (NoHostAvailable)", lost=True)
HOSTILE = "<img src=x onerror=alert(1)>"
QUESTIONS = sorted(name for name in vars(Reader) if not name.startswith("_"))

every_view = pytest.mark.parametrize("view", VIEWS)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded(NOON)


def test_market_shows_what_moves(recorded: Recorded) -> None:
    """Hourly tiles, three rankings, heat, whales, latest rows; small and large prices whole."""
    shown = app(recorded.feed(), "market").run()
    told = text(shown)
    for title in ("Top 5 gainers", "Top 5 losers", "Top 5 by volume", "Whales", "Latest rows"):
        assert title in told
    assert "newest row 0.8 s old" in told
    assert "0.00000012" in told
    assert "100,234" in told or "101," in told or "99," in told
    assert "% in 1 h" in told
    assert "104,000" in told
    labels = figures(shown)["heat"]["data"][0]["labels"]
    assert set(labels) == set(recorded.symbols)


def test_symbol_shows_candles_average_book_and_tape(recorded: Recorded) -> None:
    """The watched symbol with the largest turnover, where the address names none."""
    shown = app(recorded.feed(), "symbol").run()
    assert shown.selectbox[0].value == "BTCUSDT"
    assert shown.query_params["symbol"] == "BTCUSDT"
    drawn = figures(shown)
    assert set(drawn) == {"candles", "trend", "depth"}
    assert [trace["type"] for trace in drawn["candles"]["data"]][:4] == [
        *("candlestick", "candlestick", "scatter", "bar")
    ]
    assert [trace["name"] for trace in drawn["trend"]["data"]] == ["5 min mean", "price"]
    assert [trace["name"] for trace in drawn["depth"]["data"]] == ["bids", "asks"]
    told = text(shown)
    for title in ("Tape", "Whales", "spread", "change, 1 h", "newest price 0.0 s old"):
        assert title in told


def test_pipeline_shows_health(recorded: Recorded) -> None:
    """Latency, proofs, certificates, gaps, events; an alarm that is over does not stand."""
    shown = app(recorded.feed(), "pipeline").run()
    assert set(figures(shown)) == {"waterfall", "arrivals", "certificates"}
    told = text(shown)
    assert "2026-01-15 12:00" in told
    assert "not yet" in told  # the one table that no pass has reached
    assert "none: nothing is missing and nothing was" in told
    assert "1 differs" in told
    assert "slot: over after 40 s" in told
    assert "Alarms that stand" not in told


def test_alarm_that_stands_is_on_top(recorded: Recorded) -> None:
    """With its text, its age, and in red where it is critical."""
    at = NOON - timedelta(minutes=7)
    recorded.extra_events = [Event(at, "alarm", "", "critical", "kafka_down: nobody answers")]
    shown = app(recorded.feed(), "pipeline").run()
    assert "Alarms that stand" in text(shown)
    assert "7 min" in text(shown)
    assert '<span class="tm-down">kafka_down</span>' in html(shown)


def test_open_gap_comes_before_repaired_ones(recorded: Recorded) -> None:
    """However old it is."""
    old, new = NOON - timedelta(days=2), NOON - timedelta(minutes=1)
    recorded.found_gaps = [
        Gap(new, "ETHUSDT", "trades", 5, 9, "repaired", "disconnect"),
        Gap(old, "BTCUSDT", "trades", 1, 2, "open", "shed"),
        Gap(old, "*", "prices", 1_768_471_200_000, 1_768_471_265_000, "unprovable", "shed"),
    ]
    told = text(app(recorded.feed(), "pipeline").run())
    assert told.index("shed") < told.index("disconnect")
    assert "1 open, 1 repaired, 1 unprovable" in told
    assert "1–2" in told
    assert "2026-01-15 10:00:00–10:01:05" in told


@every_view
def test_view_stands_without_the_rows_of_any_question(recorded: Recorded, view: str) -> None:
    """A new stack has not got everything at once: no view fails for what has not come yet."""
    shown = app(recorded.feed(), view)
    for question in QUESTIONS:
        st.cache_resource.clear()
        recorded.missing = {question}
        assert text(shown.run()).strip(), question


@every_view
def test_view_without_any_row_says_so(recorded: Recorded, view: str) -> None:
    """A few words, no empty frames, no exception."""
    recorded.missing = set(QUESTIONS)
    told = text(app(recorded.feed(), view).run())
    assert "no data yet: no exchange has told its 24 h statistics" in told
    assert ("no heartbeat has arrived yet" in told) == (view == "pipeline")


@every_view
def test_view_says_that_cassandra_is_down_and_comes_back(recorded: Recorded, view: str) -> None:
    """From the first look on; nobody has to do anything."""
    recorded.failure = DOWN
    shown = app(recorded.feed(), view).run()
    message = (
        "Cassandra is down: nobody answers at 127.0.0.1:19042 (NoHostAvailable); "
        "it comes back by itself"
    )
    assert text(shown).count(message) == 1
    recorded.failure = None
    assert "Cassandra is down" not in text(shown.run())
    assert figures(shown)


@every_view
def test_last_picture_stays_while_cassandra_is_down(recorded: Recorded, view: str) -> None:
    """Under the message, with its age: what is shown is what was true then."""
    clock = [NOON]
    feed = replace(recorded.feed(), now=lambda: clock[0])
    shown = app(feed, view).run()
    before = figures(shown)
    recorded.failure = DOWN
    clock[0] = NOON + timedelta(minutes=4)
    if view == "pipeline":  # its first part does not depend on a choice
        told = text(shown.run())
        assert "Cassandra is down" in told
        assert "as of 12:00:00 UTC" in told
        assert "· 4 min ago" in told
        assert set(figures(shown)) <= set(before)
        assert "waterfall" in figures(shown)
    else:
        assert "Cassandra is down" in text(shown.run())


def test_lost_connection_is_given_up_once_a_look(recorded: Recorded) -> None:
    """So that the next look opens another one; who is only slow keeps theirs."""
    lost: list[str] = []
    feed = replace(recorded.feed(), lost=lambda: lost.append("lost"))
    recorded.failure = DOWN
    app(feed, "symbol").run()
    assert lost
    lost.clear()
    recorded.failure = Unreachable("nobody answers in time")
    app(feed, "symbol").run()
    assert lost == []


@pytest.mark.parametrize(
    "error", [AccessDenied("Cassandra denies tidemark_reader", lost=True), PageError("odd")]
)
def test_other_failures_are_told_in_their_own_words(recorded: Recorded, error: PageError) -> None:
    """A wrong password does not come back by itself, and is not said to."""
    recorded.failure = error
    told = text(app(recorded.feed(), "market").run())
    assert f"{error}; the page looks again by itself" in told
    assert "Cassandra is down" not in told


@pytest.mark.parametrize("wanted", ["NOSUCH", HOSTILE, "' OR '1'='1", "x" * 500, "LUNAUSDT"])
def test_unknown_symbol_of_the_address_gets_a_clear_message(
    recorded: Recorded, wanted: str
) -> None:
    """What is not listed, or not any more, is not asked for; and a choice heals it."""
    shown = app(recorded.feed(), "symbol", symbol=wanted).run()
    assert f"simulator lists no symbol “{wanted[:40]}" in text(shown)
    assert wanted[:41] not in html(shown) or "<" not in wanted
    assert shown.selectbox[0].value is None
    assert figures(shown) == {}
    shown.selectbox[0].select("ETHUSDT").run()
    assert "ETHUSDT, candles of 1m" in text(shown)
    assert shown.query_params["symbol"] == "ETHUSDT"


def test_unknown_venue_of_the_address_gets_a_clear_message(recorded: Recorded) -> None:
    """And the page shows the one that there is."""
    shown = app(recorded.feed(), "market", venue="nowhere").run()
    assert "there are no rows of a venue “nowhere”" in text(shown)
    assert "Top 5 gainers" in text(shown)


def test_page_that_was_opened_early_fills_by_itself(recorded: Recorded) -> None:
    """Books and listings come after the page was opened: a look at a part finds them."""
    recorded.missing = {"watched", "candles"}
    shown = app(recorded.feed(), "market").run()
    assert "no symbol is watched yet" in text(shown)
    recorded.missing = set()
    assert "BTCUSDT" in text(shown.run())
    assert "no symbol is watched yet" not in text(shown)


def test_symbol_that_is_not_watched_says_so(recorded: Recorded) -> None:
    """It has no candles because nobody asked for them, not because something is broken."""
    told = text(app(recorded.feed(), "symbol", symbol=UNWATCHED).run())
    assert f"{UNWATCHED} is not watched (TIDEMARK_SYMBOLS names what is)" in told


def test_symbol_that_is_halted_says_so(recorded: Recorded) -> None:
    """It is listed, so its address leads to it; it is offered where it is watched."""
    shown = app(recorded.feed(), "symbol", symbol=HALTED).run()
    assert "BREAK: not traded now" in text(shown)
    assert "lists no symbol" not in text(shown)
    recorded.symbols[HALTED] = ("1", "0.0001")
    st.cache_resource.clear()
    assert HALTED in app(recorded.feed(), "symbol").run().selectbox[0].options
    assert "not traded now" not in text(app(recorded.feed(), "symbol", symbol="ETHUSDT").run())


@pytest.mark.parametrize("width", ["5m", "15m", "1h"])
def test_wider_candles_are_chosen(recorded: Recorded, width: str) -> None:
    """They reach further back, and only the newest is open."""
    shown = app(recorded.feed(), "symbol").run()
    shown.segmented_control[0].set_value(width).run()
    assert f"candles of {width}" in text(shown)
    closed, still_open = figures(shown)["candles"]["data"][:2]
    assert len(still_open["x"]) == 1
    assert len(closed["x"]) > 60


@every_view
def test_stale_rows_are_called_stale(recorded: Recorded, view: str) -> None:
    """Rows that stopped ten minutes ago, in a database that answers well."""
    feed = replace(recorded.feed(), now=lambda: NOON + timedelta(minutes=10))
    if view == "symbol":
        recorded.missing = {"trades", "latest_price"}
    shown = app(feed, view).run()
    assert "tm-stale" in html(shown)
    assert "tm-fresh" not in html(shown)


@every_view
def test_hostile_names_stay_text(recorded: Recorded, view: str) -> None:
    """A symbol and a message that are HTML, Markdown and a link."""
    for name in (HOSTILE, "[x](javascript:alert(1))"):
        recorded.symbols[name] = ("1", "0.01")
    told = f"bad: {HOSTILE}"
    recorded.extra_events = [Event(NOON, "alarm", HOSTILE, "warning", told)]
    recorded.found_gaps = [Gap(NOON, HOSTILE, HOSTILE, 1, 2, "open", HOSTILE)]
    shown = app(recorded.feed(), view, symbol=HOSTILE).run()
    assert "<img src=x" not in html(shown)
    assert HOSTILE in text(shown)
    for figure in figures(shown).values():
        for trace in figure["data"]:
            named = [*(trace.get("labels") or []), *(trace.get("y") or [])]
            assert HOSTILE not in named


def test_view_gives_way_to_midnight(recorded: Recorded) -> None:
    """Right after it there are rows of the evening before; nothing is cut off."""
    recorded.now = datetime(2026, 2, 1, 0, 0, 30, tzinfo=UTC)
    shown = app(recorded.feed(), "symbol").run()
    times = figures(shown)["candles"]["data"][0]["x"]
    assert times[0].startswith("2026-01-31T22:0")
    assert len(times) == 120


def test_feed_is_asked_for_little() -> None:
    """A second look asks neither for what is listed nor for candles of past hours again."""
    asked: list[str] = []

    class Counting(Recorded):
        def _asked(self, question: str) -> bool:
            asked.append(question)
            return super()._asked(question)

    counting = Counting(NOON)
    feed = Feed("counting", lambda: counting, lambda: NOON, refresh_s=2.0)
    shown = app(feed, "symbol").run()
    first = list(asked)
    asked.clear()
    shown.run()
    assert first.count("candles") == 3
    assert "tickers" not in asked  # of the whole market, for one symbol
    assert asked.count("candles") == 2
    assert "instruments" not in asked
    assert "watched" not in asked


@pytest.mark.parametrize("refresh_s", [0.2, 1.5, 30.0])
def test_charts_are_not_drawn_more_often_than_they_may(
    recorded: Recorded, refresh_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures and tape as often as is set; charts have their own pace where that is faster."""
    paces: dict[str, float] = {}

    def noted(feed: Feed, part: Part[Any]) -> None:
        paces[part.name] = part.pause_s(feed.refresh_s)

    monkeypatch.setattr("page.live.live", noted)
    app(replace(recorded.feed(), refresh_s=refresh_s), "symbol").run()
    at_least = max(refresh_s, CHARTS_S)
    assert paces == {
        "symbol/head": refresh_s,
        "symbol/course": at_least,
        "symbol/book": at_least,
        "symbol/tape": refresh_s,
    }
