"""The ingester against the simulated exchange and a real PostgreSQL, well and under faults."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from psycopg2 import sql

from contracts.naming import Role
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.conftest import free_ports
from tests.integration import scratch
from tests.integration.ingesting import (
    Gate,
    Simulator,
    eventually,
    ingesting,
    settings_for,
    tidemark,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("owner")]

LIMIT = 20_000  # weight a minute: the tests poll faster than a real exchange allows


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    """The exchange, well and with an empty log."""
    exchange.reset(LIMIT)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    return settings_for(database, simulator, tmp_path)


class Rows:
    """What the database holds, read by its owner."""

    def __init__(self, connection: scratch.Connection) -> None:
        self._connection = connection

    def __call__(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return scratch.fetch(self._connection, query, *parameters)

    def count(self, table: str) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        found: int = self(query.as_string(self._connection))[0][0]
        return found


@pytest.fixture
def rows(owner: scratch.Connection) -> Rows:
    return Rows(owner)


def has_flowed(rows: Rows) -> bool:
    """Whether every endpoint has given rows."""
    tables = ("prices", "depth", "trades", "klines", "ticker_24h_history", "movers_24h")
    return all(rows.count(table) for table in tables)


def goes_on(rows: Rows, table: str = "prices") -> None:
    """Wait until new rows come."""
    before = rows.count(table)
    eventually(lambda: rows.count(table) > before)


def assert_tape_is_whole(rows: Rows) -> None:
    """Trade ids of each symbol are contiguous, or a gap says what is missing."""
    missing = rows(
        "SELECT symbol, max(trade_id) - min(trade_id) + 1 - count(*) FROM trades GROUP BY symbol"
    )
    recorded = dict(
        rows(
            "SELECT symbol, sum(last_missing - first_missing + 1) FROM gaps "
            "WHERE stream = 'trades' GROUP BY symbol"
        )
    )
    assert {symbol: n for symbol, n in missing if n} == recorded


def test_one_round_stores_what_the_exchange_says(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """Six endpoints; closed candles and trades are compared digit for digit."""
    done = tidemark(settings, "ingest", "--once", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["quarantined"] == 0
    assert has_flowed(rows)
    info = simulator.get("/api/v3/exchangeInfo")
    assert rows.count("instruments") == len(info["symbols"])
    trading = [one for one in info["symbols"] if one["status"] == "TRADING"]
    assert rows.count("prices") == rows.count("ticker_24h") == len(trading)
    first, last = rows("SELECT min(trade_id), max(trade_id) FROM trades WHERE symbol = 'BTCUSDT'")[
        0
    ]
    told = simulator.get(
        "/api/v3/historicalTrades", symbol="BTCUSDT", fromId=first, limit=last - first + 1
    )
    expected = [
        (t["id"], t["time"] * 1000, *(Decimal(t[k]) for k in ("price", "qty", "quoteQty")),
         Decimal(t["quoteQty"]), t["isBuyerMaker"])
        for t in told
    ]  # fmt: skip
    stored = rows(
        "SELECT trade_id, traded_at_us, price, quantity, quote_quantity, notional_usd, "
        "is_buyer_maker FROM trades WHERE symbol = 'BTCUSDT' ORDER BY trade_id"
    )
    assert stored == expected


def test_data_flows_and_the_pulse_beats_each_second(settings: IngestSettings, rows: Rows) -> None:
    """And the service ends when it is asked to, with a whole tape."""
    with ingesting(settings):
        eventually(lambda: has_flowed(rows))
        time.sleep(4)
    beats = [beat for (beat,) in rows("SELECT beat_at FROM heartbeat ORDER BY beat_at")]
    seconds = [(b - a).total_seconds() for a, b in pairwise(beats)]
    assert len(beats) >= 4
    assert max(seconds) < 3
    assert rows.count("quarantine") == 0
    assert_tape_is_whole(rows)


@pytest.mark.parametrize(
    "action",
    [
        {"do": "limit", "status": 429, "retry_after_s": 4},
        {"do": "limit", "status": 418, "retry_after_s": 4},
        {"do": "page", "name": "firewall"},
    ],
)
def test_no_request_leaves_while_banned(
    settings: IngestSettings, simulator: Simulator, rows: Rows, action: dict[str, Any]
) -> None:
    """429, 418 and 403: silence, the pulse goes on, then all goes on; it is an event."""
    change = {"firewall_pause_s": 4.0, "depth_every_s": 60.0, "klines_every_s": 60.0}
    with ingesting(settings.model_copy(update=change)):
        eventually(lambda: has_flowed(rows))
        simulator.fault("/api/v3/ticker/price", **action)
        eventually(simulator.faults_done)
        eventually(lambda: rows("SELECT 1 FROM events WHERE kind = 'ban'"))
        beats = rows.count("heartbeat")
        time.sleep(2.5)
        assert rows.count("heartbeat") >= beats + 1
        goes_on(rows)
        eventually(lambda: rows("SELECT 1 FROM events WHERE message ~ 'answers again'"))
    log = simulator.log()
    banned = next(n for n, request in enumerate(log) if request["fault"])
    # one that was on its way when the refusal was written cannot be called back
    later = [one["at_ms"] - log[banned]["at_ms"] for one in log[banned + 1 :]]
    assert not [ms for ms in later if 500 < ms < 3_900]
    assert sum(ms <= 500 for ms in later) <= 1
    assert_tape_is_whole(rows)


def test_a_restart_does_not_break_a_ban(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """Another process knows of it, too, and waits."""
    simulator.fault("/api/v3/ticker/price", do="limit", status=418, retry_after_s=30)
    assert tidemark(settings, "ingest", "--once").returncode == 1
    asked = len(simulator.log())
    again = tidemark(settings, "ingest", "--once")
    assert again.returncode == 1
    assert "no request until" in again.stderr
    assert len(simulator.log()) == asked
    with ingesting(settings):
        eventually(lambda: has_flowed(rows))
    assert not any(request["while_blocked"] for request in simulator.log())


@pytest.mark.parametrize(
    ("action", "evidence"),
    [
        ({"do": "page", "name": "maintenance"}, b"maintenance"),
        ({"do": "page", "name": "empty"}, b""),
        ({"do": "cut", "share": 0.5, "close": False}, b'[{"symbol"'),
        ({"do": "replace", "field": "price", "value": "NaN", "bare": True}, b"NaN"),
        ({"do": "cut", "share": 0.5}, None),
        ({"do": "drop"}, None),
        ({"do": "delay", "seconds": 7}, None),
        ({"do": "page", "name": "gateway"}, None),
        ({"do": "page", "name": "disconnected"}, None),
        ({"do": "page", "name": "timeout"}, None),
        ({"do": "page", "name": "restricted"}, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_broken_answer_leaves_no_junk_and_is_overcome(
    settings: IngestSettings,
    simulator: Simulator,
    rows: Rows,
    action: dict[str, Any],
    evidence: bytes | None,
) -> None:
    """What came with 200 is kept as evidence; the rows go on."""
    with ingesting(settings):
        eventually(lambda: has_flowed(rows))
        simulator.fault("/api/v3/ticker/price", count=2, **action)
        eventually(lambda: simulator.faults_done() >= 2)
        goes_on(rows)
    kept = [bytes(raw) for (raw,) in rows("SELECT raw FROM quarantine")]
    assert len(kept) == (0 if evidence is None else 2)
    assert all(evidence in raw for raw in kept if evidence is not None)
    assert rows("SELECT 1 FROM prices WHERE NOT price >= 0 OR price = 'NaN'") == []


def test_an_endpoint_that_gives_nothing_is_counted_until_it_gives_again(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """Both symbols' depth fails by 5xx, each poll counts once; the others go on."""

    def failing(endpoint: str) -> float | None:
        labels = {"endpoint": endpoint}
        return REGISTRY.get_sample_value("tidemark_ingest_failing_polls", labels)

    with ingesting(settings.model_copy(update={"attempts": 1})):
        eventually(lambda: has_flowed(rows))
        assert failing("depth") == 0
        simulator.fault("/api/v3/depth", count=None, do="page", name="gateway")
        eventually(lambda: failing("depth") == len(settings.symbols))
        goes_on(rows)
        assert (failing("depth"), failing("ticker/price")) == (2, 0)
        simulator.heal()
        eventually(lambda: failing("depth") == 0)


@pytest.mark.parametrize(
    ("path", "table", "field", "value"),
    [
        ("/api/v3/ticker/price", "prices", "price", "NaN"),
        ("/api/v3/ticker/price", "prices", "price", "Infinity"),
        ("/api/v3/ticker/price", "prices", "price", "1e-8"),
        ("/api/v3/ticker/price", "prices", "price", "-1.5"),
        ("/api/v3/ticker/price", "prices", "price", 1.5),
        ("/api/v3/ticker/24hr", "ticker_24h_history", "closeTime", 1),
        ("/api/v3/klines", "klines", 2, "0.00000001"),
    ],
)
def test_one_bad_row_is_set_aside_and_the_rest_stored(
    settings: IngestSettings,
    simulator: Simulator,
    rows: Rows,
    path: str,
    table: str,
    field: str | int,
    value: str | float,
) -> None:
    """Quarantine holds exactly the row that was spoilt, with its own bytes."""
    simulator.fault(path, do="replace", field=field, value=value)
    done = tidemark(settings, "ingest", "--once")
    assert done.returncode == 0, done.stderr
    ((reason, raw),) = rows("SELECT reason, raw FROM quarantine")
    spoilt = json.loads(bytes(raw))
    assert spoilt[field] == value
    assert reason
    assert rows.count(table) > 0


def test_times_in_microseconds_are_set_aside(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """A unit switch makes no rows in the far future."""
    simulator.fault("/api/v3/trades", do="rescale", symbol="BTCUSDT")
    assert tidemark(settings, "ingest", "--once").returncode == 0
    reasons = {reason for (reason,) in rows("SELECT DISTINCT reason FROM quarantine")}
    assert reasons
    assert all("microseconds?" in reason for reason in reasons)
    assert rows("SELECT DISTINCT symbol FROM trades") == [("ETHUSDT",)]


def test_trades_that_a_poll_did_not_show_are_asked_back(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """A hole between two polls is filled by id, and no gap is left."""
    last = simulator.get("/api/v3/trades", symbol="BTCUSDT", limit=1)[0]["id"]
    with ingesting(settings):
        eventually(lambda: has_flowed(rows))
        simulator.fault("/api/v3/trades", None, do="hide", first=last + 20, last=last + 60)
        eventually(lambda: last_id(rows) > last + 80, timeout_s=60)
    assert any(request["fault"] for request in simulator.log("/api/v3/trades"))
    assert simulator.log("/api/v3/historicalTrades")
    assert rows.count("gaps") == 0
    assert_tape_is_whole(rows)


def last_id(rows: Rows) -> int:
    """The last trade of BTCUSDT that is stored."""
    found: int = rows("SELECT coalesce(max(trade_id), 0) FROM trades WHERE symbol = 'BTCUSDT'")[0][
        0
    ]
    return found


def test_after_a_pause_trades_and_candles_are_whole(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """A second run begins where the first one ended, duplicates and disorder notwithstanding."""
    with ingesting(settings):
        eventually(lambda: has_flowed(rows))
    for action in ({"do": "duplicate", "times": 3}, {"do": "reverse"}):
        simulator.fault("/api/v3/trades", None, **action)
    time.sleep(3)
    with ingesting(settings):
        before = last_id(rows)
        eventually(lambda: last_id(rows) > before)
    assert_tape_is_whole(rows)
    assert rows.count("gaps") == 0


def test_a_symbol_that_is_not_traded_is_left_alone(
    settings: IngestSettings, simulator: Simulator, rows: Rows
) -> None:
    """No trades, book or candles are asked for, the others are."""
    info = simulator.get("/api/v3/exchangeInfo")["symbols"]
    halted = next(one["symbol"] for one in info if one["status"] != "TRADING")
    foreign = next(one["symbol"] for one in info if not one["symbol"].isascii())
    symbols = (halted, foreign, "BTCUSDT")
    done = tidemark(settings.model_copy(update={"symbols": symbols}), "ingest", "--once")
    assert done.returncode == 0, done.stderr
    assert {symbol for (symbol,) in rows("SELECT DISTINCT symbol FROM depth")} == {
        foreign, "BTCUSDT",
    }  # fmt: skip
    assert not any(halted in request["query"] for request in simulator.log())


def test_an_unknown_symbol_is_named(settings: IngestSettings) -> None:
    """One line, exit code 2."""
    wrong = settings.model_copy(update={"symbols": ("BTCUSDT", "NOPEUSDT")})
    done = tidemark(wrong, "ingest")
    assert done.returncode == 2
    assert "unknown symbol on simulator: NOPEUSDT" in done.stderr.splitlines()[-1]


def test_a_schedule_that_the_exchange_cannot_carry_is_refused(
    settings: IngestSettings, simulator: Simulator
) -> None:
    """The limit is the exchange's own; the arithmetic is shown, exit code 2."""
    simulator.reset(weight_limit=500)
    done = tidemark(settings, "ingest")
    assert done.returncode == 2
    assert "of the exchange's 500" in done.stderr
    assert "trades: 2 × weight 25 × 60 a minute = 3000" in done.stderr


def test_a_wrong_password_is_said(settings: IngestSettings, tmp_path: Path) -> None:
    """One line that names what is refused; exit code 1."""
    (tmp_path / f"{Role.INGEST}.password").write_text("wrong")
    done = tidemark(settings.model_copy(update={"secrets_dir": tmp_path}), "ingest", "--once")
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr.splitlines()[-1]
    assert "wrong" not in done.stderr


def test_an_exchange_that_is_away_is_waited_for(settings: IngestSettings, rows: Rows) -> None:
    """The pulse beats meanwhile, and data flows when it is there."""
    late = Simulator(free_ports(1)[0])
    change = {"simulator_url": late.url, "attempts": 1, "ticker_24h_every_s": 10.0}
    with ingesting(settings.model_copy(update=change)):
        eventually(lambda: rows.count("heartbeat") >= 2)
        with late.running():
            eventually(lambda: has_flowed(rows), timeout_s=60)


def test_while_postgresql_is_away_nothing_is_lost(settings: IngestSettings, rows: Rows) -> None:
    """What was fetched waits in memory and is written when PostgreSQL is back."""
    gate = Gate(behind=settings.postgres_port, port=free_ports(1)[0])
    gate.open()
    with ingesting(settings.model_copy(update={"postgres_port": gate.port})):
        eventually(lambda: has_flowed(rows))
        gate.shut()
        time.sleep(1)
        away_from = rows("SELECT max(observed_at) FROM prices")[0][0]
        time.sleep(12)
        assert rows("SELECT max(observed_at) FROM prices")[0][0] == away_from
        gate.open()
        goes_on(rows)
        goes_on(rows, "trades")
    polls_while_away = rows(
        "SELECT count(DISTINCT observed_at) FROM prices "
        "WHERE observed_at > %s AND observed_at < %s + interval '10 s'", away_from, away_from
    )  # fmt: skip
    assert polls_while_away[0][0] >= 5
    assert rows.count("gaps") == 0
    assert_tape_is_whole(rows)
    gate.shut()
