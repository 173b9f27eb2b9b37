"""Events of the contract stand in `outbox` exactly when their rows stand in their tables."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.market import Rejected
from contracts.naming import DEAD_PRICES_TOPIC, PRICES_TOPIC, Role
from ingest import transactions
from ingest.batch import BackfillProgress, Batch
from ingest.errors import StoreRefused
from ingest.sampling import Sampling
from ingest.store import Store
from runtime.endpoints import PostgresEndpoint
from tests.contract_schemas import validator
from tests.integration.scratch import Connection, connect, fetch, value
from tests.market_rows import NOON, SYMBOL, coin_market, instrument, price

pytestmark = pytest.mark.integration
SECOND = timedelta(seconds=1)
REJECTED = Rejected(source="simulator", endpoint="ticker/price", reason="negative", raw=b"\x00-1")


@pytest.fixture
def store(database: PostgresEndpoint, owner: Connection) -> Iterator[Store]:
    del owner  # its TRUNCATE comes first
    opened = Store(database, patience_s=5, sampling=Sampling(every_s=60))
    opened.write(Batch(instruments=[instrument()]))
    yield opened
    opened.close()


def told(owner: Connection, topic: str = PRICES_TOPIC) -> list[dict[str, Any]]:
    """The events of a topic, each valid by the schema that its row names."""
    events = []
    sql = "SELECT type, aggregateid, payload FROM outbox WHERE aggregatetype = %s ORDER BY 2"
    for kind, key, event in fetch(owner, sql, topic):
        validator(kind.partition("/")[0])(event)
        assert topic != PRICES_TOPIC or key == "|".join(
            event[name] for name in ("coin_id", "vs_currency", "ts_event")
        )
        events.append(event)
    return events


def test_a_price_is_told_as_it_is_stored(store: Store, owner: Connection) -> None:
    """The same value, coin and currency from `instruments`, the time at which it was taken."""
    store.write(Batch(prices=[price("67000.120000000000000001")]))
    (event,) = told(owner)
    assert (event["coin_id"], event["vs_currency"]) == ("BTC", "USDT")
    assert Decimal(event["price"]) == value(owner, "SELECT price FROM prices")
    taken: datetime = value(owner, "SELECT ingested_at FROM prices")
    assert datetime.fromisoformat(event["ts_ingest"]) == taken


def test_a_replayed_batch_tells_nothing(store: Store, owner: Connection) -> None:
    """The answer to COMMIT was lost, and the writer does it again."""
    batch = Batch(prices=[price()], coin_markets=[coin_market()], watched=frozenset({SYMBOL}))
    for _ in range(3):
        store.write(batch)
    assert len(told(owner)) == 2


def test_what_the_table_does_not_take_is_not_told(store: Store, owner: Connection) -> None:
    """Another price of the same moment: the first one stands, in the table and on the topic."""
    watched = frozenset({SYMBOL})
    store.write(Batch(prices=[price("1")], watched=watched))
    store.write(Batch(prices=[price("2")], watched=watched))
    assert [event["price"] for event in told(owner)] == ["1"]


def test_a_coin_is_told_when_it_changes(store: Store, owner: Connection) -> None:
    """A later answer with the same values is no news; with others it is told again."""
    store.write(Batch(coin_markets=[coin_market(market_cap=Decimal(10))]))
    store.write(Batch(coin_markets=[coin_market(market_cap=Decimal(10), as_of=NOON + SECOND)]))
    changed = coin_market(market_cap=Decimal(11), as_of=NOON + 2 * SECOND)
    store.write(Batch(coin_markets=[changed]))
    assert sorted(event["market_cap"] for event in told(owner)) == ["10", "11"]


def test_the_rest_of_the_market_is_sampled(store: Store, owner: Connection) -> None:
    """Every price is stored; of a symbol that nobody watches one a minute is told."""
    store.write(Batch(instruments=[instrument("DOGEUSDT")]))
    for second in range(0, 120, 10):
        at = NOON + second * SECOND
        fresh = [price(observed_at=at), price("0.1", symbol="DOGEUSDT", observed_at=at)]
        store.write(Batch(prices=fresh, watched=frozenset({SYMBOL})))
    assert value(owner, "SELECT count(*) FROM prices") == 24
    coins = [event["coin_id"] for event in told(owner)]
    assert (coins.count("BTC"), coins.count("DOGE")) == (12, 2)


def test_a_symbol_is_told_once_it_is_listed(store: Store, owner: Connection) -> None:
    """Listed in the same batch is listed: `instruments` goes first."""
    store.write(Batch(prices=[price(symbol="NEWUSDT")]))
    assert told(owner) == []
    later = price(symbol="NEWUSDT", observed_at=NOON + 60 * SECOND)
    store.write(Batch(instruments=[instrument("NEWUSDT")], prices=[later]))
    assert [event["coin_id"] for event in told(owner)] == ["NEW"]


def test_what_is_set_aside_is_dead(store: Store, owner: Connection) -> None:
    """With its bytes, whatever they are; a row that PostgreSQL cannot hold, too."""
    too_large = price(symbol="BIGUSDT", amount="1E+30")
    store.write(Batch(prices=[price(), too_large], rejected=[REJECTED]))
    assert len(told(owner)) == 1
    dead = {event["endpoint"]: event for event in told(owner, DEAD_PRICES_TOPIC)}
    assert base64.b64decode(dead["ticker/price"]["raw_base64"]) == REJECTED.raw
    assert "does not fit" in dead["prices"]["reason"]
    assert value(owner, "SELECT count(*) FROM quarantine") == len(dead) == 2


def test_what_the_contract_refuses_is_stored_set_aside_and_dead(
    store: Store, owner: Connection
) -> None:
    """The table holds it, the topic of prices does not, and both other places say why."""
    odd = instrument("A|BUSDT", base_asset="A|B")
    store.write(Batch(instruments=[odd], prices=[price(symbol=odd.symbol)]))
    assert value(owner, "SELECT count(*) FROM prices") == 1
    assert told(owner) == []
    (dead,) = told(owner, DEAD_PRICES_TOPIC)
    assert b"A|B" in base64.b64decode(dead["raw_base64"])
    assert value(owner, "SELECT endpoint FROM quarantine") == PRICES_TOPIC


def test_a_transaction_that_fails_tells_nothing(
    store: Store, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last statement is refused: no price, no event, no dead price; the next try has them."""
    batch = Batch(prices=[price()], rejected=[REJECTED])

    def refuse(cursor: Any, _progress: BackfillProgress | None) -> None:
        cursor.execute("SELECT * FROM no_such_table")

    with monkeypatch.context() as patch:
        patch.setattr(transactions, "_save", refuse)
        with pytest.raises(StoreRefused):
            store.write(batch)
    assert value(owner, "SELECT count(*) FROM outbox") == 0
    assert value(owner, "SELECT count(*) FROM prices") == 0
    store.write(batch)
    assert len(told(owner)) == len(told(owner, DEAD_PRICES_TOPIC)) == 1


def test_rows_that_postgresql_refuses_do_not_silence_the_good(
    store: Store, owner: Connection
) -> None:
    """A rule of the database that admission does not know: the rows are tried one by one."""
    owner.cursor().execute("ALTER TABLE prices ADD CONSTRAINT odd CHECK (price <> 13)")
    try:
        rows = [
            price(str(each), observed_at=NOON + each * SECOND, symbol=SYMBOL)
            for each in range(10, 17)
        ]
        store.write(Batch(prices=rows, watched=frozenset({SYMBOL})))
    finally:
        owner.cursor().execute("ALTER TABLE prices DROP CONSTRAINT odd")
    assert [event["price"] for event in told(owner)] == ["10", "11", "12", "14", "15", "16"]
    (dead,) = told(owner, DEAD_PRICES_TOPIC)
    assert dead["endpoint"] == "prices"


def test_a_missing_day_of_the_outbox_is_made(store: Store, owner: Connection) -> None:
    """Nobody made partitions ahead, or somebody dropped one."""
    today = datetime.now(UTC).date()
    owner.cursor().execute(f"DROP TABLE outbox_p{today:%Y%m%d}")
    store.write(Batch(prices=[price()]))
    assert len(told(owner)) == 1


def test_without_the_contract_nothing_is_told(
    database: PostgresEndpoint, owner: Connection
) -> None:
    """TIDEMARK_CONTRACTS=off."""
    with closing(Store(database, patience_s=5)) as silent:
        silent.write(Batch(instruments=[instrument()], prices=[price()], rejected=[REJECTED]))
    assert value(owner, "SELECT count(*) FROM prices") == 1
    assert value(owner, "SELECT count(*) FROM outbox") == 0


def test_the_ingester_may_only_append_to_the_outbox(database: PostgresEndpoint) -> None:
    """An event that was told cannot be taken back or altered."""
    with closing(connect(database, Role.INGEST)) as connection:
        granted = fetch(
            connection,
            "SELECT has_table_privilege('outbox', v) FROM unnest(%s::text[]) AS v",
            ["INSERT", "UPDATE", "DELETE", "TRUNCATE"],
        )
    assert [each for (each,) in granted] == [True, False, False, False]
