"""The page on the real history, as a process of its own, and in a real browser."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from contracts.naming import Role
from page import formats
from page.candles import MINUTE
from page.errors import AccessDenied, NoSchema, Unreachable
from page.feed import Feed
from page.history import History
from page.reader import RANKINGS
from page.settings import PageSettings
from runtime.settings import PROJECT_ROOT
from stack import launcher
from tests import browser
from tests.browser import Browser
from tests.conftest import Pipeline, Stack, free_ports
from tests.integration.conftest import Replica
from tests.integration.tcp_proxy import TcpProxy
from tests.integration.witnesses import until
from tests.page_app import VIEWS, app, figures, html, text

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

VENUE = "simulator"
SYMBOL = "BTCUSDT"
READY = "document.querySelector('.tm-panel, .tm-notice') !== null"

in_a_browser = pytest.mark.skipif(
    browser.installed() is None, reason="chromium is not installed (Debian: apt install chromium)"
)


def page_settings(environment: Mapping[str, str], **changes: Any) -> PageSettings:
    """Settings as a page with this environment would read them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return PageSettings(**changes)


def feed_of(history: History, name: str) -> Feed:
    return Feed(name, lambda: history, lambda: datetime.now(UTC), refresh_s=2.0)


@pytest.fixture(scope="module")
def history(pipeline: Pipeline) -> Iterator[History]:
    """A reader of the pipeline's history, once there is something of everything."""
    with closing(History(page_settings(pipeline.env))) as opened:
        until("a symbol that is watched", lambda: opened.watched(VENUE) or None)
        until("a ranking", lambda: opened.movers(VENUE, "USDT", datetime.now(UTC)) or None)
        until("minutes of candles", lambda: len(minutes(opened)) > 1 or None)
        yield opened


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def minutes(history: History) -> list[Any]:
    now = datetime.now(UTC)
    start = now - timedelta(hours=1)
    return history.candles(VENUE, [SYMBOL], start, now + MINUTE)[SYMBOL]


@pytest.mark.parametrize("view", VIEWS)
def test_view_shows_the_real_history(history: History, view: str) -> None:
    """Every panel that has rows, fresh ones, and no message that something is wrong."""
    wanted = {
        "market": {"heat"},
        "symbol": {"candles", "trend", "depth"},
        "pipeline": {"waterfall", "arrivals"},
    }
    shown = app(feed_of(history, view), view, venue=VENUE, symbol=SYMBOL)

    def drawn() -> bool | None:
        return wanted[view] <= set(figures(shown.run())) or None

    until(f"every figure of {view}", drawn)
    told = text(shown)
    assert "Cassandra is down" not in told
    assert re.search(r"newest (row|price|heartbeat) \d+(\.\d)? s old", told)


def test_market_ranks_and_watches_what_the_history_says(history: History) -> None:
    """Five places a ranking, of one snapshot; the watched symbols' tiles are there."""
    movers = history.movers(VENUE, "USDT", datetime.now(UTC))
    for ranking in RANKINGS:
        places = [each for each in movers if each.ranking == ranking]
        assert [each.rank for each in places] == [1, 2, 3, 4, 5]
        assert len({each.snapshot_at for each in places}) == 1
    told = text(app(feed_of(history, "tiles"), "market", venue=VENUE).run())
    for symbol in history.watched(VENUE)[:5]:
        assert symbol in told


def test_candles_are_those_of_postgresql(pipeline: Pipeline, history: History) -> None:
    """Each closed minute that the page reads has the truth's numbers, to the last digit."""
    shown = {each.open_time: each for each in minutes(history) if each.is_closed}
    assert shown
    dsn: dict[str, Any] = pipeline.settings.postgres_dsn(Role.READER)
    with closing(psycopg2.connect(**dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT open_time, open, high, low, close, volume, quote_volume FROM klines "
            "WHERE venue = %s AND symbol = %s AND interval = '1m' AND open_time = ANY(%s)",
            (VENUE, SYMBOL, list(shown)),
        )
        truth = cursor.fetchall()
    assert len(truth) == len(shown)
    for at, *numbers in truth:
        row = shown[at]
        held = [row.open, row.high, row.low, row.close, row.volume, row.quote_volume]
        assert held == [Decimal(number) for number in numbers]


def test_new_trade_comes_onto_the_symbol_view(history: History) -> None:
    """Onto its tape, by a refresh: one that was made after the view was opened.

    How soon a person sees it is no matter of a test: `tests.benchmarks.page_speed` measures that.
    """
    shown = app(feed_of(history, "tape"), "symbol", venue=VENUE, symbol=SYMBOL).run()
    opened_at = datetime.now(UTC)
    before = tape(shown)

    def new() -> bool | None:
        rows = tape(shown.run())  # before the reader is asked, so that it knows them all
        made = history.trades(VENUE, SYMBOL, datetime.now(UTC))
        later = {formats.clock(each.traded_at) for each in made if each.traded_at > opened_at}
        return any(row not in before and row[0] in later for row in rows) or None

    until("a new trade on the tape", new)


def tape(shown: AppTest) -> list[list[str]]:
    """Time, side, price and quantity of each trade that the view shows, newest first."""
    panel = html(shown).partition(">Tape")[2].partition("</table>")[0]
    _headers, *rows = re.findall(r"<tr>(.*?)</tr>", panel)
    return [re.findall(r">([^<>]+)<", row) for row in rows]


def test_other_questions_answer(history: History) -> None:
    """Books in order, beats with every stage, prices up to now."""
    now = datetime.now(UTC)
    book = history.book(VENUE, SYMBOL)
    assert book is not None
    assert [price for price, _ in book.bids] == sorted((p for p, _ in book.bids), reverse=True)
    assert book.asks[0][0] - book.bids[0][0] == book.spread
    beats = history.beats("ingest", now - timedelta(minutes=5), now)
    assert [each.beat_at for each in beats] == sorted(each.beat_at for each in beats)
    assert any(each.visible_us for each in beats)
    prices = history.prices(VENUE, SYMBOL, now - timedelta(minutes=10), now)
    assert prices[-1].observed_at > now - timedelta(minutes=1)
    assert {each.symbol for each in history.latest_prices(VENUE)} >= {SYMBOL}
    current = history.latest_price(VENUE, SYMBOL)
    assert current is not None
    assert current.observed_at >= prices[-1].observed_at
    assert VENUE in history.venues()
    assert isinstance(history.gaps(VENUE), list)
    assert isinstance(history.events("tidemark", now - timedelta(days=7), now), list)


def test_injected_symbol_is_a_value_and_no_text(history: History) -> None:
    """What an address may hold never becomes CQL: there is no such symbol, and that is all."""
    wanted = "BTCUSDT' OR '1'='1"
    assert history.book(VENUE, wanted) is None
    assert history.trades(VENUE, wanted, datetime.now(UTC)) == []
    shown = app(feed_of(history, "injected"), "symbol", venue=VENUE, symbol=wanted).run()
    assert "lists no symbol" in text(shown)


def test_empty_keyspace_is_no_data_yet(replica: Replica) -> None:
    """Right after `migrate`: each view says so, none fails."""
    environment = replica.stack.env | replica.variables
    with closing(History(page_settings(environment))) as empty:
        for view in VIEWS:
            assert "no data yet" in text(app(feed_of(empty, f"empty {view}"), view).run())


def test_what_cannot_be_read_is_told_apart(stack: Stack, migrated: Stack, tmp_path: Path) -> None:
    """No keyspace, a wrong password, no password, nobody there; at once."""
    del migrated
    (tmp_path / f"{Role.READER}.password").write_text("wrong")
    with pytest.raises(NoSchema, match="tidemark migrate"):
        History(page_settings(stack.env, cassandra_keyspace="nowhere"))
    with pytest.raises(AccessDenied, match="denies tidemark_reader"):
        History(page_settings(stack.env, secrets_dir=tmp_path))
    with pytest.raises(AccessDenied, match="cannot be read"):
        History(page_settings(stack.env, secrets_dir=tmp_path / "none"))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="nobody answers at"):
        History(page_settings(stack.env, cassandra_port=free_ports(1)[0]))
    assert time.monotonic() - began < 10


def test_page_comes_back_after_cassandra_was_away(pipeline: Pipeline) -> None:
    """Cut off in the middle of it: the message, and then the rows again, without a hand."""
    target = int(pipeline.env["TIDEMARK_CASSANDRA_PORT"])
    with TcpProxy(target) as proxy:
        settings = page_settings(pipeline.env, cassandra_port=proxy.port)
        opened: list[History] = []

        def reader() -> History:
            if not opened:
                opened.append(History(settings))
            return opened[0]

        def lost() -> None:
            while opened:
                opened.pop().close()

        feed = Feed("cut", reader, lambda: datetime.now(UTC), refresh_s=2.0, lost=lost)
        shown = app(feed, "pipeline").run()
        assert "Cassandra is down" not in text(shown)
        proxy.refuse = True
        until("the message", lambda: "Cassandra is down" in text(shown.run()) or None)
        assert "as of" in text(shown)
        proxy.refuse = False
        until("the rows again", lambda: "Cassandra is down" not in text(shown.run()) or None)
        lost()


def test_up_has_started_the_page_on_loopback(pipeline: Pipeline) -> None:
    """Under the supervisor, with an answer, and unreachable from another machine."""
    settings = page_settings(pipeline.env)
    (state,) = [each for each in launcher.states(pipeline.settings) if each.name == "page"]
    assert state.running
    assert state.pid is not None
    until("an answer of the page", lambda: _answers(settings.page_url) or None)
    listening = [
        connection.laddr
        for connection in psutil.Process(state.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {(each.ip, each.port) for each in listening} == {("127.0.0.1", settings.page_port)}


def test_up_says_where_the_page_is(pipeline: Pipeline) -> None:
    """Also the second time, when everything runs already."""
    again = pipeline.tidemark("up", "--json")
    assert again.returncode == 0, again.stderr
    report = json.loads(again.stdout)
    assert report["page"] == page_settings(pipeline.env).page_url
    assert "page" in report["seconds"]


@in_a_browser
@pytest.mark.parametrize("view", VIEWS)
def test_browser_shows_the_live_view(pipeline: Pipeline, view: str, tmp_path: Path) -> None:
    """A person's way: the page that `up` started, drawn whole, then drawn anew by itself."""
    url = page_settings(pipeline.env).page_url
    with Browser.started() as opened:
        opened.open(f"{url}/" if view == "market" else f"{url}/{view}")
        opened.wait_for(
            f"{READY} && document.querySelectorAll('.js-plotly-plot .main-svg').length > 0", 60
        )
        told = opened.text()
        assert "Cassandra is down" not in told
        assert "Traceback" not in told
        status = "document.querySelector('.tm-status').innerText"
        before = opened.value(status)
        opened.wait_for(f"{status} !== {before!r}", 30)
        opened.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000  # a blank page has a few thousand


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def lonely_page(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], PageSettings]]:
    """A page process beside no stack at all."""
    (folder / f"{Role.READER}.password").write_text("none")
    page_port, nobody = free_ports(2)
    variables = {
        "TIDEMARK_ENV_FILE": os.devnull,
        "TIDEMARK_SECRETS_DIR": str(folder),
        "TIDEMARK_CASSANDRA_PORT": str(nobody),
        "TIDEMARK_PAGE_PORT": str(page_port),
        "TIDEMARK_PAGE_REFRESH_S": "0.5",
    }
    outside = {name: v for name, v in os.environ.items() if not name.startswith("TIDEMARK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "page"], cwd=PROJECT_ROOT, env=outside | variables
    )
    settings = page_settings(variables)
    try:
        until("an answer of the page", lambda: _answers(settings.page_url) or None)
        yield process, settings
    finally:
        process.terminate()
        process.wait(20)


def test_page_ends_on_sigterm(tmp_path: Path) -> None:
    """Within the ten seconds that each of our processes promises, with exit code 0."""
    with lonely_page(tmp_path) as (process, _):
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(("host", "welcome"), [("127.0.0.1", True), ("market.example", False)])
def test_foreign_names_of_loopback_are_refused(tmp_path: Path, host: str, *, welcome: bool) -> None:
    """A site whose name is pointed at 127.0.0.1 cannot read the page through a browser."""
    with lonely_page(tmp_path) as (_, settings):
        request = (
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{settings.page_port}\r\n"
            f"Origin: http://{host}:{settings.page_port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGlkZW1hcmstdGlkZW1hcg==\r\n"
            "Sec-WebSocket-Protocol: streamlit\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", settings.page_port), timeout=10) as wire:
            wire.sendall(request.encode())
            status = wire.recv(4096).split(b"\r\n", 1)[0]
    assert (b" 101 " in status) is welcome, status


@in_a_browser
def test_browser_is_told_that_cassandra_is_down(tmp_path: Path) -> None:
    """Where nobody answers: the words that say so, looked up again by itself, and no traceback."""
    with lonely_page(tmp_path) as (_, settings), Browser.started() as opened:
        opened.open(settings.page_url)
        opened.wait_for("document.body.innerText.includes('Cassandra is down')", 60)
        told = opened.text()
        assert f"nobody answers at 127.0.0.1:{settings.cassandra_port}" in told
        assert "it comes back by itself" in told
        assert "Traceback" not in told
