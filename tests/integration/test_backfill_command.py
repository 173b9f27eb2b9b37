"""`tidemark backfill plan|apply klines|trades`: what a person sees, interrupts and mistypes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from runtime.settings import PROJECT_ROOT
from tests.conftest import free_ports
from tests.integration import scratch
from tests.integration.ingesting import (
    Simulator,
    environment_of,
    eventually,
    settings_for,
    tidemark,
)

pytestmark = pytest.mark.integration

SYMBOL = "TAOUSDT"  # 2.7 trades a minute
TWO_DAYS = ("--start", "2026-03-05", "--end", "2026-03-07")
FILES = "/data/spot/daily/trades/TAOUSDT/TAOUSDT-trades-"


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    """The exchange, well, with days of trades but without months."""
    exchange.reset()
    exchange.fault("/data/spot/monthly/trades/*", None, do="page", name="not_found")
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    return settings_for(database, simulator, tmp_path)


def succeed(settings: IngestSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = tidemark(settings, "backfill", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_plan_says_the_cost_and_loads_nothing(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Weight, requests, bytes, time and pieces; for a person and for a script."""
    arguments = ("plan", "trades", SYMBOL, *TWO_DAYS)
    told = json.loads(succeed(settings, *arguments, "--json").stdout)
    (planned,) = told["symbols"]
    sizes = [piece["bytes"] for piece in planned["pieces"]]
    assert [piece["source"].rsplit("-", 1)[-1] for piece in planned["pieces"]] == [
        "05.zip",
        "06.zip",
    ]
    assert told["cost"] == {
        "weight": 3 * 4,  # aggTrades at the bounds
        "requests": 3 + 2 * 2,
        "bytes": sum(sizes),
        "rows": planned["rows"],
    }
    assert min(sizes) > 10_000
    assert told["seconds"] > 0
    said = succeed(settings, *arguments).stdout
    assert (
        f"TAOUSDT trades 2026-03-05T00:00 to 2026-03-07T00:00: about {planned['rows']:,} rows"
        in said
    )
    assert "in 2 files of the archive; about 1 s" in said
    assert scratch.value(owner, "SELECT count(*) FROM trades") == 0
    assert scratch.value(owner, "SELECT count(*) FROM instruments") == 0
    assert not [one for one in simulator.log("/data/") if one["path"].endswith("CHECKSUM")]


def test_killed_backfill_of_trades_goes_on_after_the_last_file(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Kill -9 while the second file is on its way; the first is not downloaded again."""
    simulator.fault(f"{FILES}2026-03-06.zip", None, do="delay", seconds=20)
    command = [sys.executable, "-m", "cli.main", "backfill", "apply", "trades", SYMBOL]
    process = subprocess.Popen(
        [*command, *TWO_DAYS, "--source", "archive"],
        cwd=PROJECT_ROOT,
        env=environment_of(settings),
        stderr=subprocess.DEVNULL,
    )
    # the plan's own question for that file is as late
    first_is_whole = "SELECT 1 FROM backfills WHERE next_time = '2026-03-06Z'"
    eventually(lambda: scratch.fetch(owner, first_is_whole), timeout_s=180)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL
    before = scratch.value(owner, "SELECT count(*) FROM trades")
    assert before > 1000
    assert list(settings.run_dir.iterdir()) == []
    simulator.heal()
    first = len(simulator.log(f"{FILES}2026-03-05.zip"))
    done = succeed(settings, "trades", SYMBOL, *TWO_DAYS, "--source", "archive", "--json")
    (outcome,) = json.loads(done.stdout)
    assert outcome["received"] == outcome["stored"] > 1000
    assert outcome["gaps"] == []
    total = "SELECT count(*), max(trade_id) - min(trade_id) + 1 FROM trades"
    ((count, width),) = scratch.fetch(owner, total)
    assert count == width == before + outcome["received"]
    again = simulator.log(f"{FILES}2026-03-05.zip")[first:]
    assert [one["path"].rsplit(".")[-1] for one in again] == ["CHECKSUM"]


def test_refused_file_ends_with_exit_code_1_and_its_name(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The other day is loaded; the line says what to do next."""
    simulator.fault(f"{FILES}2026-03-05.zip.CHECKSUM", None, do="wrong_checksum")
    done = tidemark(settings, "backfill", "trades", SYMBOL, *TWO_DAYS, "--source", "archive")
    assert done.returncode == 1
    assert "TAOUSDT-trades-2026-03-05.zip" in done.stderr
    assert "--source rest" in done.stderr
    assert "Traceback" not in done.stderr
    days = scratch.fetch(
        owner, "SELECT DISTINCT (traded_at AT TIME ZONE 'UTC')::date::text FROM trades"
    )
    assert days == [("2026-03-06",)]


def test_whole_market_of_a_quote_asset_side_by_side(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """The cost is said before, progress while it runs, and each symbol's outcome afterwards."""
    listed = simulator.get("/api/v3/exchangeInfo")["symbols"]
    wanted = {one["symbol"] for one in listed if one["quoteAsset"] == "EUR"}
    arguments = ("--all", "--quote", "EUR", "--interval", "1h", "--start", "2026-03-01")
    done = succeed(settings, "apply", "klines", *arguments, "--end", "2026-03-03")
    assert scratch.fetch(
        owner, "SELECT symbol, count(*) FROM klines GROUP BY symbol ORDER BY symbol"
    ) == [(symbol, 48) for symbol in sorted(wanted)]
    costs = f"together: about {48 * len(wanted)} rows, weight {2 * len(wanted)}"
    assert costs in done.stderr
    assert done.stderr.index("symbols planned") < done.stderr.index(costs)
    assert done.stderr.index(costs) < done.stderr.index("48 of 48 rows")
    assert done.stdout.count("48 rows received, 48 new or revised") == len(wanted)


def test_a_symbol_whose_answers_are_broken_does_not_hold_the_others_up(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """They are loaded; the command ends with 1 and names it."""
    simulator.fault("/api/v3/klines", None, symbol=SYMBOL, do="page", name="maintenance")
    quick = settings.model_copy(update={"attempts": 1})
    arguments = ("--interval", "1h", "--start", "2026-03-01", "--end", "2026-03-02")
    done = tidemark(quick, "backfill", "klines", SYMBOL, "BTCUSDT", *arguments)
    assert done.returncode == 1
    assert f"{SYMBOL}: klines: HTML where JSON is due" in done.stderr
    stored = scratch.fetch(owner, "SELECT symbol, count(*) FROM klines GROUP BY symbol")
    assert stored == [("BTCUSDT", 24)]


def test_backfill_waits_while_the_watch_sheds_load(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """What it would add to the log must not cost the replication slot."""
    cursor = owner.cursor()
    cursor.execute("UPDATE load_shedding SET level = 1, at = clock_timestamp()")
    command = [sys.executable, "-m", "cli.main", "backfill", "klines", "BTCUSDT"]
    arguments = ["--interval", "1h", "--start", "2026-03-01", "--end", "2026-03-02"]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=PROJECT_ROOT,
        env=environment_of(settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = next(line for line in process.stderr if "the watch sheds load" in line)
    assert "waiting" in said
    assert scratch.value(owner, "SELECT count(*) FROM klines") == 0
    cursor.execute("UPDATE load_shedding SET level = 0, at = clock_timestamp()")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert scratch.value(owner, "SELECT count(*) FROM klines") == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "trades", "--start", "2026-03-01"), "Missing argument"),
        (("trades", "--all", "--start", "2026-03-01"), "--all --quote USDT"),
        (
            ("trades", SYMBOL, "--all", "--quote", "USDT", "--start", "2026-03-01"),
            "Missing argument",
        ),
        (("apply", "trades", "--all", "--quote", "XYZ", "--start", "2026-03-01"), "'XYZ'"),
        (("trades", SYMBOL, "--start", "2026-03-01", "--interval", "1m"), "No such option"),
        (("trades", SYMBOL, "--start", "2026-03-01", "--source", "ftp"), "'ftp'"),
        (("trades", SYMBOL, "--start", "2026-03-01", "--archive-url", "http://a.b"), "only https"),
        (
            ("trades", SYMBOL, "--start", "2026-03-01", "--archive-url", "https://a.b"),
            "stand among simulated ones",
        ),
    ],
)
def test_misuse_is_one_clear_line(
    settings: IngestSettings, arguments: tuple[str, ...], message: str
) -> None:
    """Exit code 2; no traceback."""
    done = tidemark(settings, "backfill", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_archive_elsewhere_is_taken_from_there(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """`--archive-url`; where nobody answers, pages are taken, and a line says so."""
    nowhere = ("--archive-url", f"http://127.0.0.1:{free_ports(1)[0]}")
    quick = settings.model_copy(update={"attempts": 2, "backoff_s": 0.1})
    one_day: tuple[str, ...] = ("--start", "2026-03-05", "--end", "2026-03-06")
    done = succeed(quick, "trades", SYMBOL, *one_day, *nowhere, "--json")
    assert "the archive cannot be reached" in done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    assert told[0]["stored"] == scratch.value(owner, "SELECT count(*) FROM trades")
    assert scratch.fetch(owner, "SELECT DISTINCT source FROM backfills") == [("rest",)]
    assert simulator.log("/data/") == []
