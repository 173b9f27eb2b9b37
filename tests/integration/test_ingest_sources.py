"""CoinGecko and CoinCap beside the exchange, all simulated, into a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.integration import scratch
from tests.integration.ingesting import Simulator, eventually, ingesting, settings_for, tidemark

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("owner")]

COINS = "simulator-coingecko"
CAP = "simulator-coincap"


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    """The exchange, well and with an empty log."""
    exchange.reset(20_000)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    """Both sources on, and a plan that carries a call a second."""
    return settings_for(database, simulator, tmp_path).model_copy(
        update={
            "coingecko": "auto",
            "coincap": "auto",
            "coingecko_every_s": 2,
            "coingecko_calls_a_month": 10_000_000,
        }
    )


def venues(owner: scratch.Connection, table: str) -> set[Any]:
    return {row[0] for row in scratch.fetch(owner, f"SELECT DISTINCT venue FROM {table}")}


def test_each_source_has_rows_of_its_own_beside_the_exchange(
    settings: IngestSettings, owner: scratch.Connection
) -> None:
    """One service, three venues; a coin that is said again is another row of a later time."""
    with ingesting(settings):
        eventually(lambda: venues(owner, "prices") == {"simulator", CAP})
        again = "SELECT 1 FROM coin_markets WHERE coin_id = 'bitcoin' HAVING count(*) > 2"
        eventually(lambda: scratch.fetch(owner, again))
    assert venues(owner, "coin_markets") == {COINS}
    assert venues(owner, "trades") == {"simulator"}
    assert scratch.value(owner, "SELECT count(DISTINCT coin_id) FROM coin_markets") == 10
    nulls = "SELECT DISTINCT coin_id FROM coin_markets WHERE market_cap_rank IS NULL"
    assert scratch.fetch(owner, nulls) == [("hyperliquid",)]
    apart = (
        "SELECT count(*) FROM prices p JOIN coin_markets c ON c.coin_id = p.symbol "
        "WHERE p.venue = %s AND abs(p.price - c.price) > 0.1 * c.price"
    )
    assert scratch.value(owner, apart, CAP) == 0
    assert scratch.fetch(owner, "SELECT * FROM quarantine") == []


def test_a_silent_exchange_does_not_silence_the_sources(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """Banned before it has listed a symbol; coins and prices come nevertheless."""
    simulator.fault("/api/v3/exchangeInfo", count=1, do="limit", status=418, retry_after_s=60)
    with ingesting(settings):
        eventually(lambda: venues(owner, "prices") == {CAP} and venues(owner, "coin_markets"))
    assert scratch.value(owner, "SELECT count(*) FROM instruments") == 0


def test_sources_in_trouble_do_not_trouble_the_exchange(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """CoinGecko is down and CoinCap cut off, and everything else is stored."""
    simulator.fault("/coingecko/*", count=None, do="drop")
    simulator.fault("/coincap/*", count=None, do="drop")
    with ingesting(settings):
        eventually(lambda: scratch.value(owner, "SELECT count(*) FROM trades") > 0)
        eventually(lambda: len(simulator.log("/coingecko/")) > 1)
    assert venues(owner, "prices") == {"simulator"}
    assert venues(owner, "coin_markets") == set()


def test_one_round_asks_coingecko_too(settings: IngestSettings, owner: scratch.Connection) -> None:
    """`ingest --once`; what CoinGecko did not give stands among the failures."""
    done = tidemark(settings, "ingest", "--once")
    assert done.returncode == 0, done.stderr
    assert venues(owner, "coin_markets") == {COINS}
    assert venues(owner, "prices") == {"simulator"}  # a stream has no round


def test_a_schedule_that_the_plan_cannot_carry_ends_at_the_start(
    settings: IngestSettings, simulator: Simulator
) -> None:
    """Exit code 2, the arithmetic, and not one call."""
    heavy = settings.model_copy(update={"coingecko_every_s": 15, "coingecko_calls_a_month": 10_000})
    done = tidemark(heavy, "ingest")
    assert done.returncode == 2
    assert "31 days × 86400 s ÷ 15 s = 178560" in done.stderr
    assert simulator.log("/co") == []
