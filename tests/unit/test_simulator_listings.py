"""Listings that a test orders: what is shown from when on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simulator.errors import ScriptError
from simulator.listings import Change, apply
from simulator.market import Market
from simulator.trades import MINUTE_US

NOW_US = 1_782_000_030_000_000  # in the middle of a minute
OLD, NEW = "LTCUSDT", "LITEUSDT"


@pytest.fixture
def market() -> Market:
    return Market(7, 20.0)


def test_a_name_takes_the_place_of_another_at_once(market: Market) -> None:
    """One goes as the other comes; it is like it, and its trades begin with id 0."""
    before = market.listings[OLD]
    count = len(market.listed(NOW_US))
    apply(market, Change(OLD, "BREAK"), NOW_US)
    apply(market, Change(NEW, "TRADING", base="LITE", was=OLD), NOW_US)
    assert market.listing(OLD, NOW_US) is None
    now = market.listing(NEW, NOW_US)
    assert now is not None
    assert len(market.listed(NOW_US)) == count
    assert now.base.name == "LITE"
    assert now.status(NOW_US // MINUTE_US + 10) == "TRADING"
    assert (now.quote, now.price_decimals) == (before.quote, before.price_decimals)
    market.last(now, NOW_US)  # LookupError, had it not been traded yet
    later_us = NOW_US + 5 * MINUTE_US
    run = market.trades(now, 0, market.trade_count(now, later_us))
    assert run is not None
    assert run.at_us[0] >= (NOW_US // MINUTE_US - 1) * MINUTE_US
    assert all(one <= other for one, other in pairwise(run.at_us))


def test_a_name_that_is_taken_or_gone_cannot_be_given(market: Market) -> None:
    """The market stays as it was."""
    for symbol, was in (("BTCUSDT", OLD), (NEW, "NOSUCHUSDT")):
        with pytest.raises(ScriptError, match="is not listed, or"):
            apply(market, Change(symbol, "TRADING", was=was), NOW_US)
    assert OLD in market.listings


def test_what_was_renamed_can_come_back(market: Market) -> None:
    """From the next minute on, shown a minute later, as everything that is listed anew."""
    apply(market, Change(NEW, "TRADING", was=OLD), NOW_US)
    apply(market, Change(NEW, "GONE"), NOW_US)
    apply(market, Change(OLD, "TRADING"), NOW_US)
    assert market.listing(NEW, NOW_US) is None
    assert market.listing(OLD, NOW_US + MINUTE_US) is None
    assert market.listing(OLD, NOW_US + 2 * MINUTE_US) is not None
