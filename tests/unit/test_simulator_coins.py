"""The simulated coins agree with the simulated pairs; the simulated plan counts its calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from simulator import coins
from simulator.coincap import News
from simulator.coingecko import CALLS_A_MINUTE, CALLS_A_MONTH, Limits
from simulator.market import Market
from simulator.rest import Exchange

EXCHANGE = Exchange(Market(5, 100.0))
NOW_US = int(datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC).timestamp()) * 1_000_000


def rows(ids: set[str] | None = None, limit: int = 250) -> list[dict[str, Any]]:
    """What /coins/markets says, every number exact."""
    text = coins.markets(EXCHANGE, ids, NOW_US, limit)
    found: list[dict[str, Any]] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found


def test_a_coin_is_worth_its_pairs_last_trade() -> None:
    """Price, 24 h and the time are the pair's; the market's value is price × supply."""
    for row in rows():
        listing = EXCHANGE.market.listing(f"{row['symbol'].upper()}USDT", NOW_US)
        if listing is None:
            continue
        last = EXCHANGE.market.last(listing, NOW_US)
        day = EXCHANGE.rolling.statistics(listing, NOW_US)
        tick = Decimal(1).scaleb(-listing.price_decimals)
        assert row["current_price"] == last.price * tick
        assert (row["high_24h"], row["low_24h"]) == (day.high * tick, day.low * tick)
        assert 0 <= row["current_price"] * row["circulating_supply"] - row["market_cap"] < 1
        stamp = datetime.fromisoformat(row["last_updated"])
        assert int(stamp.timestamp() * 1000) == last.at_us // 1000


def test_coins_are_ranked_by_what_they_are_worth() -> None:
    """The largest first; what has no value has no rank and stands at the end."""
    caps = [row["market_cap"] for row in rows()]
    assert caps[:-1] == sorted(caps[:-1], reverse=True)
    assert [row["market_cap_rank"] for row in rows()] == [*range(1, len(caps)), None]


def test_a_coin_that_no_pair_trades_has_a_price_and_nulls() -> None:
    """As real coins without markets in 24 h."""
    (row,) = rows({"hyperliquid"})
    assert row["current_price"] > 0
    nulls = ("market_cap", "market_cap_rank", "high_24h", "price_change_percentage_24h", "roi")
    assert [row[name] for name in nulls] == [None] * 5


def test_ids_that_are_unknown_are_left_out() -> None:
    """In silence, as CoinGecko does."""
    assert [row["id"] for row in rows({"sui", "no-such-coin"})] == ["sui"]
    assert len(rows(limit=3)) == 3


def test_both_sources_say_one_price() -> None:
    """CoinCap's names differ, its prices do not."""
    said = coins.prices(EXCHANGE, ["xrp", "binance-coin", "hyperliquid", "nobody"], NOW_US)
    theirs = {row["id"]: row["current_price"] for row in rows()}
    assert {name: Decimal(text) for name, text in said.items()} == {
        "xrp": theirs["ripple"],
        "binance-coin": theirs["binancecoin"],
        "hyperliquid": theirs["hyperliquid"],
    }


def test_a_frame_is_what_changed() -> None:
    """All at first, nothing where nothing changed."""
    prices = {"a": "1", "b": "2"}
    news = News(lambda: dict(prices))
    assert news.frame() == '{"a":"1","b":"2"}'
    assert news.frame() is None
    prices["b"] = "3"
    assert news.frame() == '{"b":"3"}'


def test_the_plan_has_so_many_calls_a_minute_for_each_key() -> None:
    """The next one waits for the next minute; another key has its own."""
    limits = Limits()
    assert [limits.charge("k", 10.0) for _ in range(CALLS_A_MINUTE)] == [0] * CALLS_A_MINUTE
    assert limits.charge("k", 10.0) == 51
    assert limits.charge("other", 10.0) == 0
    assert limits.charge("k", 60.0) == 0


def test_the_plan_has_so_many_calls_a_month() -> None:
    """Refused calls are not counted; the next month begins anew."""
    limits = Limits()
    january = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    waits = [limits.charge("k", january + 60.0 * call) for call in range(CALLS_A_MONTH)]
    assert set(waits) == {0}
    assert limits.headers("k", january + 60.0 * CALLS_A_MONTH)["X-Monthly-Remaining"] == "0"
    assert limits.charge("k", january + 60.0 * CALLS_A_MONTH) > 0
    assert limits.charge("k", datetime(2026, 2, 1, tzinfo=UTC).timestamp()) == 0


def test_a_key_that_a_fault_silenced_waits() -> None:
    """As long as the rule says, and then has its calls back."""
    limits = Limits()
    limits.silence("k", 120.0, 0.0)
    assert limits.charge("k", 60.0) == 61
    assert limits.charge("k", 121.0) == 0
