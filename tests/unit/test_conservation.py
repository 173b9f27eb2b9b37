"""A minute's trades make its candle: sums, the rounding rule, and everything that breaks them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Kline, Trade
from ingest.conservation import Rebuilt, differences, is_odd, product, rebuild
from simulator.intervals import INTERVALS
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.trades import MINUTE_US
from tests.recorded import recorded

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
STEP = Decimal("1e-8")


def trade(trade_id: int, price: Any, quantity: Any, *, maker: bool = False, **other: Any) -> Trade:
    """As the exchange tells it: the quote quantity is cut off at eight decimals."""
    price, quantity = Decimal(price), Decimal(quantity)
    quote = (price * quantity).quantize(STEP, rounding=ROUND_DOWN)
    fields = {
        "venue": "v", "symbol": "S", "trade_id": trade_id,
        "traded_at": START + timedelta(milliseconds=trade_id % 59_999), "traded_at_us": 1,
        "price": price, "quantity": quantity, "quote_quantity": quote,
        "notional_usd": Decimal(0), "is_buyer_maker": maker, "is_best_match": True,
    }  # fmt: skip
    return Trade(**{**fields, **other})


def told(trades: list[Trade]) -> Kline:
    """The candle that an exchange makes of them, written down once more, and differently."""
    by_id = {each.trade_id: each for each in trades}
    order = [by_id[each] for each in sorted(by_id)]
    prices = [each.price for each in order]
    bought = [each for each in order if not each.is_buyer_maker]
    quote = [each.quote_quantity for each in order]
    return Kline(
        venue="v", symbol="S", interval="1m", open_time=START, close_time=START,
        open=prices[0], close=prices[-1], high=max(prices), low=min(prices),
        volume=sum((each.quantity for each in order), Decimal(0)),
        quote_volume=sum(quote, Decimal(0)), trade_count=len(order),
        taker_buy_volume=sum((each.quantity for each in bought), Decimal(0)),
        taker_buy_quote_volume=sum((each.quote_quantity for each in bought), Decimal(0)),
        is_closed=True, as_of=START,
    )  # fmt: skip


def amounts(decimals: int) -> st.SearchStrategy[Decimal]:
    return st.integers(1, 10**7).map(lambda lots: Decimal(lots).scaleb(-decimals))


@st.composite
def tapes(draw: st.DrawFn, decimals: tuple[int, int] = (2, 5)) -> list[Trade]:
    """Trades of one minute, in any order; many share a millisecond."""
    wide = st.tuples(amounts(decimals[0]), amounts(decimals[1]), st.booleans())
    rows = draw(st.lists(wide, min_size=1, max_size=30))
    first = draw(st.integers(0, 2**40))
    tape = [trade(first + n, p, q, maker=maker) for n, (p, q, maker) in enumerate(rows)]
    return draw(st.permutations(tape))


@given(st.one_of(tapes((2, 5)), tapes((6, 4)), tapes((8, 8))))
def test_the_trades_of_a_minute_make_its_candle(tape: list[Trade]) -> None:
    """In whatever order they come, and also where the exchange cuts quote amounts off."""
    assert differences(told(tape), rebuild(tape)) == []


@given(tapes(), st.data())
def test_a_trade_that_is_dropped_or_doubled_breaks_it(
    tape: list[Trade], data: st.DataObject
) -> None:
    """Also at another time, under the same id."""
    candle, one = told(tape), data.draw(st.sampled_from(tape))
    moved = msgspec.structs.replace(one, traded_at=one.traded_at + timedelta(milliseconds=7))
    assert differences(candle, rebuild([each for each in tape if each is not one]))
    assert differences(candle, rebuild([*tape, moved]))


CHANGES = ("price", "quantity", "quote_quantity", "is_buyer_maker")


@given(tapes(), st.sampled_from(CHANGES), st.integers(1, 1000), st.data())
def test_a_trade_that_is_changed_breaks_it(
    tape: list[Trade], field: str, ticks: int, data: st.DataObject
) -> None:
    """By one tick or one lot, with or without a quote quantity that fits."""
    place = data.draw(st.integers(0, len(tape) - 1))
    one = tape[place]
    value: Any = not one.is_buyer_maker
    if field != "is_buyer_maker":
        value = getattr(one, field) + ticks * (Decimal("0.01") if field == "price" else STEP)
    changed = msgspec.structs.replace(one, **{field: value})
    if field in {"price", "quantity"} and data.draw(st.booleans()):
        changed = msgspec.structs.replace(changed, quote_quantity=product(changed))
    assert differences(told(tape), rebuild([*tape[:place], changed, *tape[place + 1 :]]))


def test_quote_amounts_are_cut_off_at_eight_decimals() -> None:
    """As published answers show: 0.003127 × 4.708 is told as 0.01472191, not …192."""
    for price, quantity, quote in (
        ("0.00312700", "4.70800000", "0.01472191"),  # exactly 0.014721916
        ("0.00312700", "12.36600000", "0.03866848"),
        ("0.00324060", "3.27000000", "0.01059676"),
        ("0.06901500", "0.00160000", "0.00011042"),
    ):
        one = trade(1, price, quantity)
        assert one.quote_quantity == Decimal(quote)
        assert not is_odd(one)
        assert not is_odd(msgspec.structs.replace(one, quote_quantity=product(one)))  # a stream's
        assert is_odd(msgspec.structs.replace(one, quote_quantity=Decimal(quote) + STEP))
        assert is_odd(msgspec.structs.replace(one, quote_quantity=Decimal(quote) - STEP))


def test_the_rule_leaves_less_than_a_step_for_each_trade_that_was_cut_off() -> None:
    """None where every product has eight decimals."""
    fine = [trade(n, "0.003127", "4.708") for n in range(3)]
    candle, made = told(fine), rebuild(fine)
    assert (made.finer, made.quote_volume - candle.quote_volume) == (3, 3 * Decimal("6e-9"))
    three_less = msgspec.structs.replace(candle, quote_volume=made.quote_volume - 3 * STEP)
    one_more = msgspec.structs.replace(candle, quote_volume=made.quote_volume + Decimal("1e-9"))
    assert [differences(each, made) != [] for each in (candle, three_less, one_more)] == [
        False, True, True,
    ]  # fmt: skip
    coarse = [trade(n, "67000.12", "0.00001") for n in range(3)]
    off = msgspec.structs.replace(told(coarse), quote_volume=told(coarse).quote_volume - STEP)
    assert differences(off, rebuild(coarse))


def test_open_and_close_are_by_id_where_trades_share_a_time() -> None:
    """Two thirds of them do at busy times, so time never orders trades."""
    tape = [trade(n, 100 + n, 1, traded_at=START) for n in (3, 1, 2)]
    made = rebuild(tape)
    assert (made.open, made.close) == (Decimal(101), Decimal(103))
    assert (made.first_trade_id, made.last_trade_id) == (1, 3)


def test_a_minute_without_trades_is_flat_at_a_price_of_before() -> None:
    """Nobody can rebuild that price; that there was no trade is compared."""
    one = told([trade(1, 5, 1)])
    none = Decimal(0)
    flat = msgspec.structs.replace(
        one, volume=none, quote_volume=none, trade_count=0, taker_buy_volume=none,
        taker_buy_quote_volume=none,
    )  # fmt: skip
    assert differences(flat, Rebuilt()) == []
    assert differences(flat, rebuild([trade(1, 5, 1)]))
    assert differences(one, Rebuilt())


def test_what_differs_is_told_with_both_values() -> None:
    """A person reads the certificate."""
    one = told([trade(1, "5.10", 2)])
    (line, *_) = differences(msgspec.structs.replace(one, volume=Decimal("2.50")), rebuild(
        [trade(1, "5.10", 2)]
    ))  # fmt: skip
    assert line == "volume 2.5, of trades 2"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHBTC", "XRPUSDT", "DOGEUSDT"])
def test_the_simulated_exchange_keeps_the_rule(symbol: str) -> None:
    """Its candles and its trades are drawn by different ways."""
    market = Market(11, 50.0)
    listing = market.listings[symbol]
    minute = int(START.timestamp()) // 60
    found = klines(
        market, listing, Query(INTERVALS["1m"], 5, minute * MINUTE_US), (minute + 9) * MINUTE_US
    )
    assert found is not None
    tick, lot = Decimal(10) ** -listing.price_decimals, Decimal(10) ** -listing.lot_decimals
    for row in range(5):
        run = market.trades(
            listing,
            int(found.candles.first_id[row]),
            int(found.candles.first_id[row] + found.candles.trades[row]),
        )
        assert run is not None
        made = rebuild(
            trade(run.first_id + n, int(run.price[n]) * tick, int(run.lots[n]) * lot,
                  maker=not run.taker_buys[n])
            for n in range(len(run))
        )  # fmt: skip
        assert (made.trade_count, made.open, made.close) == (
            found.candles.trades[row],
            int(found.candles.open[row]) * tick,
            int(found.candles.close[row]) * tick,
        )
        assert made.quote_volume == int(found.candles.quote[row]) * tick * lot
        assert made.taker_buy_volume == int(found.candles.taker_lots[row]) * lot
        assert (made.finer, made.odd) == (0, 0)


def test_a_recorded_candle_is_exact_to_the_last_lot() -> None:
    """31 trades at 29038.46 and 29038.47: the quote volume leaves whole lots at either price.

    So the exchange adds up exact products; of seven decimals, which need no cutting off.
    """
    for line in recorded("binance_ws_samples.jsonl").read_text().splitlines():
        raw = json.loads(line).get("raw", "")
        if '"btcusdt@kline_1m"' in raw:
            row = json.loads(raw)["data"]["k"]
            break
    else:
        pytest.fail("the recorded candle is gone")
    low, high = Decimal(row["l"]), Decimal(row["h"])
    assert high - low == Decimal("0.01")
    for volume, quote in ((row["v"], row["q"]), (row["V"], row["Q"])):
        at_low = (high * Decimal(volume) - Decimal(quote)) / (high - low)
        assert at_low >= 0
        assert at_low == at_low.quantize(Decimal("0.00001"))
