"""From stored and rejected rows to messages of the contract, and which prices become one."""

from __future__ import annotations

import base64
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Price, Rejected
from contracts.naming import DEAD_PRICES_TOPIC, PRICES_TOPIC
from ingest.batch import Batch
from ingest.outbox import Message, dead_prices, price_events
from ingest.rows import prepare
from ingest.sampling import Sampling
from tests.contract_schemas import admits
from tests.market_rows import NOON, coin_market, price

SECOND = timedelta(seconds=1)


def stored(**changes: Any) -> dict[str, Any]:
    """A price as the statement that stores it returns it."""
    return {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "ts_event": NOON + timedelta(milliseconds=123),
        "ingested_at": NOON + timedelta(microseconds=187_421),
        "price": Decimal("67000.120000000000000000"),
        "coin_id": "BTC",
        "vs_currency": "USDT",
        **changes,
    }


def value(message: Message) -> dict[str, Any]:
    """The message's value; it obeys the schema that its type names."""
    event: dict[str, Any] = msgspec.json.decode(message.payload)
    name, _, version = message.type.partition("/")
    assert admits(name, event)
    assert version == event["schema_version"]
    return event


def test_a_stored_price_is_an_event() -> None:
    """Exact, without zeros that say nothing; the key is coin, currency and time."""
    (message,), refused = price_events([stored()], NOON)
    assert refused == []
    assert (message.aggregatetype, message.created_at) == (PRICES_TOPIC, NOON)
    assert message.aggregateid == "BTC|USDT|2026-01-15T12:00:00.123Z"
    assert value(message) == {
        "schema_version": "1.1",
        "source": "binance",
        "coin_id": "BTC",
        "vs_currency": "USDT",
        "ts_event": "2026-01-15T12:00:00.123Z",
        "ts_ingest": "2026-01-15T12:00:00.187421Z",
        "symbol": "BTCUSDT",
        "price": "67000.12",
    }


def test_what_a_source_does_not_say_is_left_out() -> None:
    """The outbox router would drop a null anyway; a zero that was said stays."""
    coin = stored(
        venue="coingecko",
        coin_id="bitcoin",
        vs_currency="usd",
        symbol="btc",
        name="Bitcoin",
        market_cap=Decimal("0E-18"),
        market_cap_rank=None,
        total_volume=None,
        price_change_percent_24h=Decimal("-0.910000000000000000"),
    )
    (message,), _ = price_events([coin], NOON)
    said = value(message)
    assert (said["market_cap"], said["price_change_percent_24h"]) == ("0", "-0.91")
    assert not {"market_cap_rank", "total_volume"} & said.keys()


def test_coincap_lists_nothing_and_means_dollars() -> None:
    """The simulated one, too."""
    for venue in ("coincap", "simulator-coincap"):
        row = stored(venue=venue, symbol="bitcoin", coin_id=None, vs_currency=None)
        (message,), _ = price_events([row], NOON)
        said = value(message)
        assert (said["coin_id"], said["vs_currency"]) == ("bitcoin", "usd")


def test_a_symbol_that_no_list_names_is_passed_over() -> None:
    """Of which coin it is the price, nobody can say yet; it is no mistake."""
    assert price_events([stored(coin_id=None, vs_currency=None)], NOON) == ([], [])


def test_times_are_utc_whatever_the_session_says() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    (message,), _ = price_events([stored(ts_event=NOON.astimezone(east))], NOON)
    assert value(message)["ts_event"] == "2026-01-15T12:00:00.000Z"


@pytest.mark.parametrize("changes", [{"coin_id": "A|B"}, {"price": Decimal(0)}, {"symbol": ""}])
def test_what_the_contract_refuses_is_set_aside_and_dead(changes: dict[str, Any]) -> None:
    """It stands in its table, in quarantine, and on the topic of the dead; never on the other."""
    messages, (refused,) = price_events([stored(**changes)], NOON)
    assert messages == []
    assert refused.endpoint == PRICES_TOPIC
    (dead,) = dead_prices([refused], NOON)
    assert value(dead)["reason"].startswith("Expected `str` matching regex")


def test_only_prices_are_dead_prices() -> None:
    """A bad candle is quarantine's business alone."""
    bad = Rejected(source="binance", endpoint="ticker/price", reason="negative", raw=b"\xff\x00-1")
    (dead,) = dead_prices([bad, msgspec.structs.replace(bad, endpoint="klines")], NOON)
    assert (dead.aggregatetype, dead.aggregateid) == (DEAD_PRICES_TOPIC, "binance")
    assert base64.b64decode(value(dead)["raw_base64"]) == bad.raw


@given(raw=st.binary(max_size=200), reason=st.text(max_size=500), source=st.text(max_size=0))
def test_whatever_is_set_aside_can_be_told(raw: bytes, reason: str, source: str) -> None:
    """A dead event that could not be made would stop the batch that sets it aside."""
    reason = reason.replace("\0", "").encode("utf-8", "backslashreplace").decode()[:500]
    bad = Rejected(source=source, endpoint="coins/markets", reason=reason, raw=raw)
    (dead,) = dead_prices([bad], NOON)
    assert base64.b64decode(value(dead)["raw_base64"]) == raw


def test_every_watched_price_is_told_the_others_once_in_a_while() -> None:
    sampling = Sampling(every_s=60)
    told = []
    for second in range(121):
        at = NOON + second * SECOND
        fresh = [price(observed_at=at), price(symbol="DOGEUSDT", observed_at=at)]
        due, quiet = sampling.split(fresh, {"BTCUSDT"})
        assert sorted(due + quiet, key=fresh.index) == fresh
        told += due
        sampling.committed()
    assert sum(each.symbol == "BTCUSDT" for each in told) == 121
    rest = [each.observed_at for each in told if each.symbol == "DOGEUSDT"]
    assert rest == [NOON, NOON + 60 * SECOND, NOON + 120 * SECOND]


def test_a_price_that_was_not_committed_is_due_again() -> None:
    """The transaction failed: its event went nowhere."""
    sampling = Sampling(every_s=60)
    assert sampling.split([price()], ())[0]
    assert sampling.split([price()], ())[0]
    sampling.committed()
    assert not sampling.split([price()], ())[0]


def test_a_clock_that_is_set_back_silences_nobody() -> None:
    sampling = Sampling(every_s=60)
    sampling.split([price(observed_at=NOON + timedelta(hours=20))], ())
    sampling.committed()
    assert sampling.split([price(observed_at=NOON)], ())[0]


def test_two_prices_of_one_symbol_in_a_batch_are_one_event() -> None:
    both = [price(observed_at=NOON + each * SECOND) for each in range(2)]
    due, quiet = Sampling(every_s=60).split(both, ())
    assert (due, quiet) == ([both[0]], [both[1]])


def test_a_batch_knows_what_it_will_tell() -> None:
    """And the day of the outbox that it needs; without a sampling nothing is told."""
    batch = Batch(prices=[price()], coin_markets=[coin_market()])
    prepared = prepare(batch, NOON, Sampling(60))
    assert set(prepared.told) == {"prices", "coin_markets"}
    assert prepared.rows == {}
    assert prepared.days() == {("prices", NOON.date()), ("outbox", NOON.date())}
    silent = prepare(batch, NOON)
    assert (silent.told, set(silent.rows)) == ({}, {"prices", "coin_markets"})
    assert silent.days() == {("prices", NOON.date())}


def test_prices_of_two_venues_are_two_symbols() -> None:
    other: Price = price(venue="coincap")
    sampling = Sampling(every_s=60)
    assert sampling.split([price(), other], ()) == ([price(), other], [])
