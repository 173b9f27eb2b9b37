"""A broken event is a dead letter, a changed table halts; the other tables never mind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts.naming import topic_of
from tests.conftest import free_ports
from tests.integration.conftest import Replica
from tests.integration.sinking import CraftedLog, Event, change, instrument_change, wait_until
from watch.probes import sink as sink_probe

pytestmark = pytest.mark.integration

KEY = {"venue": "crafted", "coin_id": "c", "vs_currency": "usd", "ts_event": "2026-11-20T22:00:00Z"}
AMOUNTS = ("market_cap", "total_volume", "high_24h", "low_24h", "price_change_percent_24h")
SUPPLIES = ("circulating_supply", "total_supply", "max_supply")
TIMES = ("as_of", "ingested_at")
ROW = {
    "symbol": "s",
    "name": "n",
    "price": "1",
    "market_cap_rank": 1,
    **dict.fromkeys(AMOUNTS + SUPPLIES),
    **dict.fromkeys(TIMES, "2026-11-20T22:00:00Z"),
}


@pytest.fixture
def log(replica: Replica) -> Iterator[CraftedLog]:
    """An empty log; the table that the test alters is as it was afterwards."""
    (port,) = free_ports(1)
    replica.variables["TIDEMARK_SINK_METRICS_PORT"] = str(port)
    yield CraftedLog.begin(replica)
    replica.sql("ALTER TABLE coin_markets DROP COLUMN IF EXISTS market_cap_rank")
    replica.sql("ALTER TABLE coin_markets ADD COLUMN market_cap_rank integer")


def coin(lsn: int, **changes: object) -> Event:
    """A change of one coin, committed now; a value that is `...` is left out of the event."""
    row = {name: value for name, value in (ROW | changes).items() if value is not ...}
    made = change("coin_markets", "u", KEY, row, lsn=lsn, tx=lsn)
    value = json.loads(made.value or b"")
    value["source"]["ts_us"] = time.time_ns() // 1000
    return replace(made, value=json.dumps(value).encode())


def names(log: CraftedLog) -> list[str]:
    return [row.name for row in log.rows("coin_markets")]


def test_a_broken_event_does_not_halt_a_table_and_a_changed_one_does(log: CraftedLog) -> None:
    """The same bytes: a column is missing. PostgreSQL has it, or has it no longer."""
    with log.sink():
        missing, wrong = coin(8080, market_cap_rank=...), coin(8160, price=12.5)
        extra = coin(8240, name="extra", nobody_knows_it=1)
        log.produce([coin(8000), missing, wrong, extra])
        log.wait_applied()
        letters = log.dead_letters(2)
        assert [json.loads(letter.value()) for letter in letters] == [
            json.loads(each.value or b"") for each in (missing, wrong)
        ]
        assert names(log) == ["extra"]

        log.replica.sql("ALTER TABLE coin_markets DROP COLUMN market_cap_rank")
        log.produce([coin(8320, name="altered", market_cap_rank=...)])
        log.produce([instrument_change("c", "FLOWS", lsn=8000, tx=1)])
        port = log.settings.sink_metrics_port
        wait_until(lambda: "coin_markets" in sink_probe(port).halted, 30)
        assert "column market_cap_rank is gone" in sink_probe(port).halted["coin_markets"]
        wait_until(lambda: bool(log.rows("instruments")))
        topic = topic_of("coin_markets", log.settings.generation), 0
        assert log.acknowledged()[topic] == 4
        assert names(log) == ["extra"]
        assert len(log.dead_letters(2)) == 2

    log.replica.sql("ALTER TABLE coin_markets ADD COLUMN market_cap_rank integer")
    with log.sink():  # as declared again: it goes on, and that event is a dead letter too
        log.wait_applied()
        log.dead_letters(3)
