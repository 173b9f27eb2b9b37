"""Every source's prices as events, by the whole ingester on simulated sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.naming import DEAD_PRICES_TOPIC, PRICES_TOPIC
from ingest.settings import IngestSettings
from runtime.endpoints import PostgresEndpoint
from tests.contract_schemas import validator
from tests.integration import scratch
from tests.integration.ingesting import Simulator, eventually, ingesting, settings_for

pytestmark = pytest.mark.integration

SOURCES = {"simulator", "simulator-coingecko", "simulator-coincap"}
EVENTS = """
SELECT payload, type FROM outbox WHERE aggregatetype = %s
"""
# events that say something else than the row that they are about, or that have no row
UNFOUNDED = """
SELECT o.payload FROM outbox AS o
WHERE aggregatetype = 'crypto.prices.raw' AND NOT EXISTS (
    SELECT FROM prices AS p LEFT JOIN instruments AS i USING (venue, symbol)
    WHERE p.venue = o.payload ->> 'source' AND p.symbol = o.payload ->> 'symbol'
      AND p.observed_at = (o.payload ->> 'ts_event')::timestamptz
      AND p.price = (o.payload ->> 'price')::numeric
      AND coalesce(i.base_asset, p.symbol) = o.payload ->> 'coin_id'
    UNION ALL
    SELECT FROM coin_markets AS c
    WHERE c.venue = o.payload ->> 'source' AND c.coin_id = o.payload ->> 'coin_id'
      AND c.ts_event = (o.payload ->> 'ts_event')::timestamptz
      AND c.price = (o.payload ->> 'price')::numeric)
"""
# stored prices of watched symbols that were not told
UNTOLD = """
SELECT p.symbol, p.observed_at FROM prices AS p
WHERE p.venue = 'simulator' AND p.symbol = ANY(%s) AND NOT EXISTS (
    SELECT FROM outbox AS o WHERE o.payload ->> 'source' = p.venue
       AND o.payload ->> 'symbol' = p.symbol
       AND (o.payload ->> 'ts_event')::timestamptz = p.observed_at)
"""


@pytest.fixture
def simulator(exchange: Simulator) -> Simulator:
    exchange.reset(20_000)
    return exchange


@pytest.fixture
def settings(database: PostgresEndpoint, simulator: Simulator, tmp_path: Path) -> IngestSettings:
    """All sources on; prices each second."""
    return settings_for(database, simulator, tmp_path).model_copy(
        update={
            "coingecko": "auto",
            "coincap": "auto",
            "coingecko_every_s": 2,
            "coingecko_calls_a_month": 10_000_000,
            "prices_every_s": 1,
        }
    )


def told(owner: scratch.Connection) -> dict[str, int]:
    """Events by source."""
    rows = scratch.fetch(
        owner,
        "SELECT payload ->> 'source', count(*) FROM outbox WHERE aggregatetype = %s GROUP BY 1",
        PRICES_TOPIC,
    )
    return dict(rows)


def test_every_source_tells_its_prices(settings: IngestSettings, owner: scratch.Connection) -> None:
    """By the schema, as the tables have them; each of the watched symbols, and some of the rest."""
    with ingesting(settings):
        eventually(lambda: told(owner).keys() == SOURCES and min(told(owner).values()) > 15)
    for event, kind in scratch.fetch(owner, EVENTS, PRICES_TOPIC):
        validator(kind.partition("/")[0])(event)
    assert scratch.fetch(owner, UNFOUNDED) == []
    assert scratch.fetch(owner, UNTOLD, list(settings.symbols)) == []
    symbols = "SELECT count(DISTINCT symbol) FROM prices WHERE venue = 'simulator'"
    of_topic = (
        "SELECT count(DISTINCT payload ->> 'symbol') FROM outbox "
        "WHERE payload ->> 'source' = 'simulator'"
    )
    assert scratch.value(owner, of_topic) == scratch.value(owner, symbols) > 100
    most = (
        "SELECT max(n) FROM (SELECT count(*) AS n FROM outbox WHERE payload ->> 'source' = "
        "'simulator' AND NOT payload ->> 'symbol' = ANY(%s) GROUP BY payload ->> 'symbol') AS x"
    )
    assert scratch.value(owner, most, list(settings.symbols)) == 1, "one a minute of the rest"


def test_bad_prices_of_a_source_are_dead_prices(
    settings: IngestSettings, simulator: Simulator, owner: scratch.Connection
) -> None:
    """As many as quarantine has of that endpoint, with the same bytes."""
    simulator.fault("/api/v3/ticker/price", count=2, do="replace", field="price", value="-1", row=3)
    try:
        with ingesting(settings):
            eventually(lambda: scratch.fetch(owner, EVENTS, DEAD_PRICES_TOPIC))
            eventually(lambda: told(owner).get("simulator"))
    finally:
        simulator.heal()
    same = (
        "SELECT decode(payload ->> 'raw_base64', 'base64') FROM outbox WHERE aggregatetype = %s "
        "EXCEPT SELECT raw FROM quarantine"
    )
    assert scratch.fetch(owner, same, DEAD_PRICES_TOPIC) == []
    dead = scratch.fetch(owner, EVENTS, DEAD_PRICES_TOPIC)
    count = "SELECT count(*) FROM quarantine WHERE endpoint = 'ticker/price'"
    assert len(dead) == scratch.value(owner, count)
    for event, kind in dead:
        validator(kind.partition("/")[0])(event)
