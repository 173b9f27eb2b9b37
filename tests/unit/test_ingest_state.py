"""What ingestion remembers: trade ids, candles, listings, prices, and what waits to be written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Instrument, Kline, Price, Rejected, Trade
from ingest.binance.exchange_info import ExchangeInfo
from ingest.candles import NEWEST, Candles
from ingest.catalogue import DELISTED, Catalogue
from ingest.errors import BadAnswer, UnknownSymbol
from ingest.intervals import INTERVALS, following
from ingest.spool import Spool
from ingest.tape import Tape
from ingest.valuation import Valuation, notional

NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)


def trade(trade_id: int) -> Trade:
    return Trade(
        venue="v", symbol="S", trade_id=trade_id, traded_at=NOW, traded_at_us=1,
        price=Decimal(1), quantity=Decimal(1), quote_quantity=Decimal("2.5"),
        notional_usd=Decimal(0), is_buyer_maker=True, is_best_match=True,
    )  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 60), max_size=20), max_size=10), st.integers(-1, 30))
def test_every_trade_is_taken_once_and_every_hole_is_named(
    pages: list[list[int]], last: int
) -> None:
    """Pages may overlap, repeat, and come in any order inside."""
    tape = Tape({} if last < 0 else {"S": last})
    taken: list[int] = [] if last < 0 else [last]
    missing: set[int] = set()
    for page in pages:
        fresh = tape.fresh("S", map(trade, page))
        missing |= {n for hole in tape.holes("S", fresh) for n in hole}
        tape.take("S", fresh)
        taken += [one.trade_id for one in fresh]
    assert taken == sorted(set(taken))
    if taken:
        assert set(range(taken[0], taken[-1] + 1)) == set(taken) | missing
    assert not missing & set(taken)


def test_the_first_page_of_a_symbol_has_no_hole_before_it() -> None:
    """What happened before we came is history, not a loss."""
    tape = Tape({})
    assert tape.holes("S", tape.fresh("S", [trade(500), trade(501)])) == []


def kline(opened: datetime, *, closed: bool) -> Kline:
    one = Decimal(1)
    return Kline(
        venue="v", symbol="S", interval="1m", open_time=opened, close_time=opened, open=one,
        high=one, low=one, close=one, volume=one, quote_volume=one, trade_count=1,
        taker_buy_volume=one, taker_buy_quote_volume=one, is_closed=closed, as_of=NOW,
    )  # fmt: skip


def test_only_the_newest_candles_are_asked_for_while_nothing_was_missed() -> None:
    """They include the one that just closed, so it is stored as closed."""
    candles = Candles({("S", "1m"): NOW - timedelta(minutes=2)})
    request = candles.request("S", "1m", NOW)
    assert request.params == {"symbol": "S", "interval": "1m", "limit": NEWEST}


def test_after_an_outage_the_missed_candles_are_asked_for() -> None:
    """From the first one missed on, a full page at a time, until it has caught up."""
    last = NOW.replace(second=0) - timedelta(hours=30)
    candles = Candles({("S", "1m"): last})
    first = candles.request("S", "1m", NOW)
    assert first.params["startTime"] == round(last.timestamp() * 1000) + 60_000
    assert first.params["limit"] == 1000
    candles.take([kline(NOW - timedelta(minutes=2), closed=True), kline(NOW, closed=False)])
    assert "startTime" not in candles.request("S", "1m", NOW).params


def test_a_month_is_followed_by_the_next_one() -> None:
    """Months have no fixed length; every other interval has."""
    january = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    months = [january]
    for _ in range(13):
        months.append(following("1M", months[-1]))
    assert datetime.fromtimestamp(months[12] / 1000, UTC) == datetime(2027, 1, 1, tzinfo=UTC)
    assert max(b - a for a, b in pairwise(months)) == INTERVALS["1M"]
    assert following("1h", january) == january + 3_600_000


def instrument(symbol: str, status: str = "TRADING", quote: str = "USDT") -> Instrument:
    return Instrument(
        venue="v", symbol=symbol, base_asset="B", quote_asset=quote, status=status,
        tick_size=Decimal(0), lot_size=Decimal(0), min_notional=Decimal(0), as_of=NOW,
    )  # fmt: skip


def info(*instruments: Instrument, rejected: int = 0) -> ExchangeInfo:
    bad = [Rejected(source="v", endpoint="e", reason="r", raw=b"")] * rejected
    return ExchangeInfo(
        server_time=NOW, weight_limit=6000, instruments=list(instruments), rejected=bad
    )


def test_the_first_exchange_info_makes_no_events() -> None:
    """Four hundred listings on the first day are not news."""
    changes = Catalogue("v", []).learn(info(instrument("A"), instrument("B")))
    assert len(changes.instruments) == 2
    assert changes.events == []


def test_listings_halts_and_delistings_become_events() -> None:
    """And a symbol that is gone keeps its row, marked."""
    catalogue = Catalogue("v", [instrument(s) for s in "ABCD"])
    changes = catalogue.learn(
        info(
            instrument("A"), instrument("B", "HALT"), instrument("D"), instrument("NEW", quote="Q")
        )
    )
    assert {(event.kind, event.symbol) for event in changes.events} == {
        ("listing", "NEW"), ("halt", "B"), ("delisting", "C"),
    }  # fmt: skip
    assert {one.symbol for one in changes.instruments if one.status == DELISTED} == {"C"}
    assert [catalogue.is_trading(symbol) for symbol in "ABCD"] == [True, False, False, True]
    back = catalogue.learn(info(*(instrument(s) for s in "ABCD")))
    assert {(event.kind, event.symbol) for event in back.events} == {
        ("resumption", "B"), ("listing", "C"), ("delisting", "NEW"),
    }  # fmt: skip


def test_a_symbol_whose_row_is_broken_is_not_taken_for_delisted() -> None:
    """With any row set aside, nobody can say who is gone."""
    catalogue = Catalogue("v", [instrument("A"), instrument("B")])
    changes = catalogue.learn(info(instrument("A"), rejected=1))
    assert changes.events == []
    assert catalogue.is_trading("B")


def test_an_answer_that_lists_almost_nothing_is_not_believed() -> None:
    """One empty answer must not delist a whole exchange."""
    catalogue = Catalogue("v", [instrument(s) for s in "ABCDEF"])
    with pytest.raises(BadAnswer, match="0 of 6"):
        catalogue.learn(info())
    assert catalogue.is_trading("A")


def test_unknown_symbols_are_named() -> None:
    """All of them, in one line, with an example of a name."""
    with pytest.raises(UnknownSymbol, match=r"unknown symbols on v: NOPE, NADA .*BTCUSDT"):
        Catalogue("v", [instrument("A")]).require(["A", "NOPE", "NADA"])


def price(symbol: str, value: str) -> Price:
    return Price(venue="v", symbol=symbol, observed_at=NOW, price=Decimal(value))


def test_a_trade_is_worth_its_quote_in_dollars() -> None:
    """One for dollars, the pair with USDT for others, 0 where nobody says."""
    valuation = Valuation(["USDT", "USDC"])
    valuation.learn([price("BTCUSDT", "60000.5"), price("ETHBTC", "0.05")])
    by_quote = {q: valuation.price([trade(1)], q)[0].notional_usd for q in ("USDC", "BTC", "TRY")}
    assert by_quote == {"USDC": Decimal("2.5"), "BTC": Decimal("150001.25"), "TRY": Decimal(0)}


def test_a_notional_is_exact_beyond_28_digits() -> None:
    """The default decimal context would round; ours rounds once, to 18 places."""
    exact = notional(Decimal("12345678901234567.123456789012345678"), Decimal(3))
    assert exact == Decimal("37037036703703701.370370367037037034")
    assert notional(Decimal("0.000000000000000001"), Decimal("0.5")) == 0


def test_a_full_spool_makes_the_producer_wait_and_lets_it_go_on() -> None:
    """Bounded by bytes, first in first out, and an item too large fits alone."""

    async def main() -> None:
        spool: Spool[str] = Spool(limit_bytes=10)
        await spool.put("large", 50)
        waiting = asyncio.create_task(spool.put("second", 6))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await spool.take(5) == ["large"]
        await waiting
        await spool.put("third", 4)
        assert await spool.take(5) == ["second", "third"]
        await spool.put("last", 1)
        await spool.close()
        assert await spool.take(5) == ["last"]
        assert await spool.take(5) == []

    asyncio.run(main())


def test_what_waits_for_room_keeps_its_place() -> None:
    """A small item does not overtake a large one; who gives up lets the next one through."""

    async def main() -> None:
        spool: Spool[str] = Spool(limit_bytes=10)
        await spool.put("first", 8)
        waiting = [asyncio.create_task(spool.put(name, n)) for name, n in (("a", 9), ("b", 2))]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        assert await spool.take(5) == ["first"]
        await waiting[0]
        assert not waiting[1].done()
        given_up = asyncio.create_task(spool.put("c", 1))
        await asyncio.sleep(0)
        given_up.cancel()
        last = asyncio.create_task(spool.put("d", 1))
        assert await spool.take(5) == ["a"]
        await waiting[1]
        await last
        assert await spool.take(5) == ["b", "d"]

    asyncio.run(main())


def test_structs_are_not_changed_in_place() -> None:
    """Pricing trades leaves the ones that were read as they were."""
    one = trade(1)
    Valuation(["USDT"]).price([one], "USDT")
    assert one.notional_usd == 0
    assert msgspec.structs.replace(one) == one
