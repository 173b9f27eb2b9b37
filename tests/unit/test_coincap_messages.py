"""Frames of CoinCap become prices of when they came; what is wrong is set aside by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Price
from ingest.coincap.messages import prices
from tests.recorded import recorded, recordings

CAME = datetime(2026, 8, 1, 12, 0, 30, 123_456, tzinfo=UTC)
FLOOR = datetime(2026, 8, 1, 12, 0, 30, 123_000, tzinfo=UTC)
WANTED = ("bitcoin", "ethereum", "binance-coin")


def test_a_partial_map_is_as_many_prices() -> None:
    """Each with the time its frame came, floored to ms; assets that it leaves out are no news."""
    parsed = prices(b'{"bitcoin":"67187.33","binance-coin":"0.1"}', "coincap", WANTED, CAME)
    assert parsed.rejected == []
    assert parsed.rows == [
        Price(venue="coincap", symbol="bitcoin", observed_at=FLOOR, price=Decimal("67187.33")),
        Price(venue="coincap", symbol="binance-coin", observed_at=FLOOR, price=Decimal("0.1")),
    ]


@pytest.mark.parametrize(
    "value",
    ["67187.33", None, "", "NaN", "Infinity", "1e5", "-1", "0", "0.0000000000000000001", "1,2", []],
)
def test_a_price_that_is_none_is_set_aside_alone(value: object) -> None:
    """Its neighbour stays, and quarantine has the asset with its bytes. A number is no string."""
    wrong = 67187.33 if value == "67187.33" else value
    frame = json.dumps({"bitcoin": wrong, "ethereum": "3400.5"}).encode()
    parsed = prices(frame, "coincap", WANTED, CAME)
    assert [row.symbol for row in parsed.rows] == ["ethereum"]
    (rejected,) = parsed.rejected
    assert json.loads(rejected.raw) == {"bitcoin": wrong}
    assert (rejected.source, rejected.endpoint) == ("coincap", "coincap/prices")


def test_an_asset_that_is_wanted_no_longer_is_no_mistake() -> None:
    """A line made for a longer list goes on for a while."""
    parsed = prices(b'{"bitcoin":"1.5","solana":"2"}', "coincap", WANTED, CAME)
    assert [row.symbol for row in parsed.rows] == ["bitcoin"]
    assert parsed.rejected == []


@pytest.mark.parametrize(
    "frame",
    [b"", b"null", b"[]", b"<html>", b'{"bitcoin":', b'{"error":"too many"}', b"{" * 100_000],
)
def test_a_frame_that_is_no_map_of_ours_is_set_aside_whole(frame: bytes) -> None:
    """An error message of the other side is seen, not swallowed."""
    parsed = prices(frame, "coincap", WANTED, CAME)
    assert parsed.rows == []
    (rejected,) = parsed.rejected
    assert rejected.raw == frame[:65536]


def test_an_empty_map_says_nothing() -> None:
    """Neither a price nor a mistake."""
    parsed = prices(b"{}", "coincap", WANTED, CAME)
    assert (parsed.rows, parsed.rejected) == ([], [])


@given(st.binary() | st.text().map(str.encode))
def test_no_frame_raises(frame: bytes) -> None:
    """Whatever comes, it is rows or evidence."""
    prices(frame, "coincap", WANTED, CAME)


def test_a_recorded_frame_is_read_whole() -> None:
    """104 assets of a real frame, each price as it stands there."""
    path = recorded("coincap_ws_prices_ALL_frame_2021.json")
    said = json.loads(path.read_bytes())
    parsed = prices(path.read_bytes(), "coincap", said.keys(), CAME)
    assert parsed.rejected == []
    assert {row.symbol: row.price for row in parsed.rows} == {
        asset: Decimal(price) for asset, price in said.items()
    }
    assert len(said) > 100


def test_recorded_answers_of_the_rest_api_are_no_frames() -> None:
    """They hold prices, too, in another form: none of it passes."""
    for path in recordings("coincap_v*.json"):
        parsed = prices(path.read_bytes(), "coincap", WANTED, CAME)
        assert parsed.rows == []
        assert len(parsed.rejected) == 1
