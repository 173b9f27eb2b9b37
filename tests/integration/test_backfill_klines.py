"""Backfills against the simulated exchange and a real PostgreSQL: exact, resumable, honest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from runtime.settings import PROJECT_ROOT
from tests.integration import scratch
from tests.integration.ingesting import (
    Simulator,
    environment_of,
    eventually,
    settings_for,
    tidemark,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("owner")]

START, END = "2026-03-01", "2026-03-04"  # three days of minutes: 4320 candles, five pages
FIRST_MS, COUNT = 1_772_323_200_000, 4320
MINUTE_MS = 60_000

STORED = """
SELECT (extract(epoch FROM open_time) * 1000)::bigint, open, high, low, close, volume,
       (extract(epoch FROM close_time) * 1000)::bigint, quote_volume, trade_count,
       taker_buy_volume, taker_buy_quote_volume, is_closed
FROM klines WHERE symbol = %s AND interval = %s ORDER BY open_time
"""


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    """The exchange, well, without a weight limit."""
    exchange.reset(weight_limit=0)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    return settings_for(database, simulator, tmp_path)


def backfill(settings: IngestSettings, *arguments: str) -> list[dict[str, Any]]:
    """Run a backfill to its good end; its summary."""
    done = tidemark(settings, "backfill", "klines", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    summary: list[dict[str, Any]] = json.loads(done.stdout)
    return summary


def told(simulator: Simulator, symbol: str, interval: str, start: int, count: int) -> list[Any]:
    """What the exchange says, read without any code of ours, as STORED would give it."""
    rows = []
    for first in range(start, start + count * MINUTE_MS, 1000 * MINUTE_MS):
        end = min(first + 1000 * MINUTE_MS, start + count * MINUTE_MS) - 1
        page = simulator.get(
            "/api/v3/klines",
            symbol=symbol,
            interval=interval,
            startTime=first,
            endTime=end,
            limit=1000,
        )
        for opened, o, h, low, c, v, closed, qv, n, tb, tq, _ in page:
            amounts = map(Decimal, (o, h, low, c, v))
            rows.append((opened, *amounts, closed, Decimal(qv), n, Decimal(tb), Decimal(tq), True))
    return rows


def test_every_candle_is_stored_as_the_exchange_says(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Two symbols, digit for digit; a second run asks for nothing and changes nothing."""
    symbols = ("BTCUSDT", "ETHUSDT")
    summary = backfill(settings, *symbols, "--start", START, "--end", END)
    assert [(one["symbol"], one["stored"], one["gaps"]) for one in summary] == [
        (symbol, COUNT, []) for symbol in symbols
    ]
    for symbol in symbols:
        stored = scratch.fetch(owner, STORED, symbol, "1m")
        assert len(stored) == COUNT
        assert stored == told(simulator, symbol, "1m", FIRST_MS, COUNT)
    before = len(simulator.log("/api/v3/klines"))
    again = backfill(settings, *symbols, "--start", START, "--end", END)
    assert [one["received"] for one in again] == [0, 0]
    assert len(simulator.log("/api/v3/klines")) - before == 2  # the first candle of each symbol


def test_a_later_end_goes_on_where_the_earlier_one_ended(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """What is there already is not asked for again."""
    backfill(settings, "BTCUSDT", "--start", START, "--end", "2026-03-02")
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", END)
    assert summary["received"] == COUNT - 1440
    assert scratch.value(owner, "SELECT count(*) FROM klines") == COUNT


def test_a_killed_backfill_goes_on_where_it_was(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Kill -9 in the middle; nothing is missing, and what was stored is not fetched again."""
    simulator.fault("/api/v3/klines", None, do="delay", seconds=0.7)
    command = [sys.executable, "-m", "cli.main", "backfill", "klines", "BTCUSDT"]
    slow = settings.model_copy(update={"backfill_pages_in_flight": 1})
    process = subprocess.Popen(
        [*command, "--start", START, "--end", END],
        cwd=PROJECT_ROOT,
        env=environment_of(slow),
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: scratch.fetch(owner, "SELECT 1 FROM backfills"))
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL
    stored = scratch.value(owner, "SELECT count(*) FROM klines")
    assert 0 < stored < COUNT
    simulator.heal()
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", END)
    assert summary["received"] == COUNT - stored
    rows = scratch.fetch(owner, STORED, "BTCUSDT", "1m")
    assert rows == told(simulator, "BTCUSDT", "1m", FIRST_MS, COUNT)


def test_candles_that_the_exchange_does_not_have_are_a_confirmed_gap(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Asked twice, then recorded and reported by their first and last open time."""
    first = FIRST_MS + 1500 * MINUTE_MS
    last = first + 29 * MINUTE_MS
    simulator.fault("/api/v3/klines", None, do="hide", field=0, first=first, last=last)
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", END)
    assert summary["gaps"] == [["2026-03-02T01:00:00Z", "2026-03-02T01:29:00Z"]]
    gaps = scratch.fetch(
        owner, "SELECT stream, first_missing, last_missing, state, cause FROM gaps"
    )
    assert gaps == [("klines_1m", first, last, "exchange-confirmed", "exchange")]
    assert scratch.value(owner, "SELECT count(*) FROM klines") == COUNT - 30


def test_candles_that_one_answer_leaves_out_are_asked_for_again(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The second answer has them, so nothing is missing."""
    first = FIRST_MS + 100 * MINUTE_MS
    rule: dict[str, Any] = {"do": "hide", "field": 0, "first": first, "last": first + 9 * MINUTE_MS}
    simulator.fault("/api/v3/klines", 2, **rule)  # the first candle's request, the first page
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", END)
    assert summary["gaps"] == []
    assert summary["received"] == COUNT
    assert scratch.fetch(owner, "SELECT 1 FROM gaps") == []


def test_a_bad_candle_is_set_aside_and_its_place_asked_for_again(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """One NaN, then a good answer: the candle is there and the evidence too."""
    # a row that the first request, for the first candle there ever was, does not have
    simulator.fault("/api/v3/klines", 2, do="replace", field=4, value="NaN", row=7)
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", "2026-03-02")
    assert summary["quarantined"] == 1
    ((reason,),) = scratch.fetch(owner, "SELECT reason FROM quarantine")
    assert "close is 'NaN'" in reason
    assert scratch.value(owner, "SELECT count(*) FROM klines") == 1440


@pytest.mark.parametrize("status", [429, 418])
def test_a_ban_is_waited_for_in_silence(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection, status: int
) -> None:
    """The backfill takes longer, and is whole."""
    rule: dict[str, Any] = {"do": "limit", "status": status, "retry_after_s": 3}
    simulator.fault("/api/v3/klines", 1, **rule)
    (summary,) = backfill(settings, "BTCUSDT", "--start", START, "--end", END)
    assert summary["received"] == COUNT
    assert not any(request["while_blocked"] for request in simulator.log())
    assert scratch.value(owner, "SELECT count(*) FROM klines") == COUNT


def test_the_weight_limit_is_kept(settings: IngestSettings, simulator: Simulator) -> None:
    """Evenly over the minute, so that a live schedule would find its share."""
    simulator.reset(weight_limit=6000)
    half = settings.model_copy(update={"weight_share": 0.5})
    backfill(half, "BTCUSDT", "--start", START, "--end", END)
    log = simulator.log()
    assert max(request["used_weight"] for request in log) <= 3000
    assert not any(request["status"] == 429 for request in log)


@pytest.mark.parametrize("interval", ["1h", "1d", "3d", "1w", "1M"])
def test_longer_intervals_have_their_own_steps(
    settings: IngestSettings, owner: scratch.Connection, interval: str
) -> None:
    """A year of any of them is whole; weeks and months begin where the exchange begins them."""
    (summary,) = backfill(
        settings, "BTCUSDT", "--interval", interval, "--start", "2025-01-01", "--end", "2026-01-01"
    )
    counts = {"1h": {8760}, "1d": {365}, "3d": {121, 122}, "1w": {51, 52}, "1M": {12}}
    assert summary["received"] in counts[interval]
    assert summary["gaps"] == []
    assert scratch.value(owner, "SELECT count(*) FROM klines") == summary["received"]


def test_before_its_listing_a_symbol_has_no_gaps(settings: IngestSettings) -> None:
    """The span begins with the first candle that there ever was."""
    (summary,) = backfill(
        settings, "BTCUSDT", "--interval", "1d", "--start", "2010-01-01", "--end", "2021-02-01"
    )
    assert summary["received"] == 31
    assert summary["gaps"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("NOPEUSDT", "--start", START), "unknown symbol on simulator: NOPEUSDT"),
        (("BTC'; --", "--start", START), "unknown symbol on simulator: BTC'; --"),
        (("BTCUSDT", "--start", START, "--interval", "7m"), "'7m' is no interval"),
        (("BTCUSDT", "--start", "2026-03-32"), "is no date"),
        (("BTCUSDT", "--start", END, "--end", START), "is not before"),
        (("BTCUSDT", "--start", START, "--end", "2999-01-01"), "lies in the future"),
        (("BTCUSDT",), "Missing option '--start'"),
        (("--start", START), "Missing argument"),
    ],
)
def test_misuse_is_one_clear_line(
    settings: IngestSettings, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2; no traceback."""
    done = tidemark(settings, "backfill", "klines", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
