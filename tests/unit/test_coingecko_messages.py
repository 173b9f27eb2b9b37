"""CoinGecko's answers become exact rows, nulls stay nulls, what is wrong is set aside."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import CoinMarket
from ingest.binance.rows import Parsed
from ingest.coingecko.messages import markets
from ingest.errors import BadAnswer
from tests.recorded import recordings

NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)
COINS = ("bitcoin", "ethereum")
MAY_BE_NULL = (
    *("market_cap", "market_cap_rank", "total_volume", "high_24h", "low_24h"),
    *("price_change_percentage_24h", "circulating_supply", "total_supply", "max_supply", "roi"),
)


def coin(**change: Any) -> dict[str, Any]:
    return {
        "id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "image": "https://…/bitcoin.png",
        "current_price": 67187.3, "market_cap": 1317802988326, "market_cap_rank": 1,
        "total_volume": 31260929299, "high_24h": 68490, "low_24h": 66862.25,
        "price_change_24h": -9.5, "price_change_percentage_24h": -2.45, "roi": None,
        "circulating_supply": 19675987.0, "total_supply": 21000000.0, "max_supply": 21000000.0,
        "last_updated": "2026-08-01T11:59:43.867Z",
    } | change  # fmt: skip


def read(*rows: Any) -> Parsed[CoinMarket]:
    return markets(json.dumps(rows).encode(), "coingecko", "usd", COINS, NOW)


def refused(**change: Any) -> str:
    """The reason for which a row is set aside, with its own bytes, while its neighbour stays."""
    parsed = read(coin(**change), coin(id="ethereum"))
    assert [row.coin_id for row in parsed.rows] == ["ethereum"]
    (rejected,) = parsed.rejected
    assert (rejected.source, rejected.endpoint) == ("coingecko", "coins/markets")
    assert json.loads(rejected.raw) == coin(**change)
    return rejected.reason


def test_a_coin_is_read_digit_for_digit() -> None:
    """Each column has its field; the time of the key is the source's own."""
    (row,) = read(coin()).rows
    assert row == CoinMarket(
        venue="coingecko",
        coin_id="bitcoin",
        vs_currency="usd",
        ts_event=datetime(2026, 8, 1, 11, 59, 43, 867_000, UTC),
        symbol="btc",
        name="Bitcoin",
        price=Decimal("67187.3"),
        market_cap=Decimal(1317802988326),
        market_cap_rank=1,
        total_volume=Decimal(31260929299),
        high_24h=Decimal(68490),
        low_24h=Decimal("66862.25"),
        price_change_percent_24h=Decimal("-2.45"),
        circulating_supply=Decimal("19675987.0"),
        total_supply=Decimal("21000000.0"),
        max_supply=Decimal("21000000.0"),
        as_of=NOW,
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", "0.1"),
        ("1.2e-08", "0.000000012"),
        ("1E+3", "1000"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("0.000000000000000001", "0.000000000000000001"),
    ],
)
def test_a_number_never_passes_through_a_float(text: str, value: str) -> None:
    """38 digits arrive whole, as do exponents."""
    body = json.dumps([coin(current_price="HERE")]).replace('"HERE"', text).encode()
    (row,) = markets(body, "coingecko", "usd", COINS, NOW).rows
    assert row.price == Decimal(value)


@given(st.decimals("0.000000000000000001", 10**19, places=18))
def test_every_price_of_the_column_arrives_as_it_was_written(price: Decimal) -> None:
    """Any value of NUMERIC(38,18) above zero."""
    body = json.dumps([coin(current_price="HERE")]).replace('"HERE"', f"{price:f}").encode()
    assert markets(body, "coingecko", "usd", COINS, NOW).rows[0].price == price


@pytest.mark.parametrize("field", MAY_BE_NULL)
def test_null_is_an_answer(field: str) -> None:
    """null, and a field that is not there, become NULL; nothing is set aside."""
    without = coin()
    del without[field]
    for row in (coin(**{field: None}), without):
        parsed = read(row)
        assert parsed.rejected == []
        column = field.replace("price_change_percentage", "price_change_percent")
        assert getattr(parsed.rows[0], column, None) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"current_price": None}, "current_price is null"),
        ({"current_price": 0}, "current_price is 0"),
        ({"current_price": -1.5}, "current_price is -1.5"),
        ({"current_price": "67187.3"}, 'current_price is "67187.3"'),
        ({"current_price": True}, "current_price is true"),
        ({"current_price": 1e-19}, "current_price is 1e-19"),
        ({"market_cap": 10**20}, "market_cap is 1000"),
        ({"total_volume": -1}, "total_volume is -1"),
        ({"max_supply": {"times": 2}}, "max_supply is {"),
        ({"market_cap_rank": 0}, "Expected `int` >= 1"),
        ({"market_cap_rank": 2**31}, "Expected `int` <= "),
        ({"high_24h": 1, "low_24h": 2}, "high_24h 1 is below low_24h 2"),
        ({"last_updated": None}, "Expected `datetime`"),
        ({"last_updated": "2026-08-01T11:59:43"}, "last_updated names no time zone"),
        ({"name": "Bit\x00coin"}, "Expected `str` matching"),
        ({"symbol": None}, "Expected `str`, got `null`"),
        ({"id": "dogecoin"}, "'dogecoin' was not asked for"),
    ],
)
def test_a_row_that_breaks_a_rule_is_set_aside(change: dict[str, Any], reason: str) -> None:
    """The reason names the field; the other rows of the answer stay."""
    assert refused(**change).startswith(reason)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "1e999999999", "0x10", "1_000"])
def test_what_is_no_json_number_spoils_at_most_the_answer(token: str) -> None:
    """Whether the row or the whole body goes, no such value becomes a price."""
    body = json.dumps([coin(current_price="HERE")]).replace('"HERE"', token).encode()
    rows: list[CoinMarket] = []
    with contextlib.suppress(BadAnswer):
        rows = markets(body, "coingecko", "usd", COINS, NOW).rows
    assert rows == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<html>", b"null", b'{"error":"coin not found"}', b"[" * 100_000, b"[{\xff}]"],
)
def test_a_body_that_is_no_list_is_evidence(body: bytes) -> None:
    """It is never taken for an empty list."""
    with pytest.raises(BadAnswer) as caught:
        markets(body, "coingecko", "usd", COINS, NOW)
    assert caught.value.rejected is not None


@pytest.mark.parametrize("pattern", ["coingecko_markets_*.json", "coingecko/*.yml"])
def test_recorded_answers_are_read_whole(pattern: str) -> None:
    """Every real row is stored, and its price is the one that stands in the bytes."""
    count = 0
    for body in [body for path in recordings(pattern) for body in bodies(path)]:
        said = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        if isinstance(said, dict):  # a refusal that was recorded, too
            with pytest.raises(BadAnswer):
                markets(body, "coingecko", "usd", COINS, NOW)
            continue
        parsed = markets(body, "coingecko", "usd", {row["id"] for row in said}, NOW)
        assert parsed.rejected == []
        for row, theirs in zip(parsed.rows, said, strict=True):
            assert (row.price, row.market_cap) == (theirs["current_price"], theirs["market_cap"])
            assert row.market_cap_rank == theirs["market_cap_rank"]
            assert row.price_change_percent_24h == theirs["price_change_percentage_24h"]
            assert row.max_supply == theirs["max_supply"]
            count += 1
    assert count > 0


def bodies(path: Path) -> list[bytes]:
    """The bodies that a recording holds."""
    if path.suffix == ".json":
        return [path.read_bytes()]
    recording = yaml.safe_load(path.read_text())
    return [each["response"]["body"]["string"].encode() for each in recording["http_interactions"]]
