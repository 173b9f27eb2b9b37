"""What streams told, on its way to the writer: in order, without silent holes, and polls rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Instrument, Kline, Price, Rejected, Trade
from ingest import held_trades
from ingest.binance.stream_messages import Told
from ingest.candles import Candles
from ingest.catalogue import Catalogue
from ingest.held_trades import HOLD_S, HeldTrades
from ingest.inflow import REJECTED_A_BATCH, Inflow
from ingest.owed import OwedPolls
from ingest.polling import Market
from ingest.schedule import Poll
from ingest.shedding import CAUSE, Shedding
from ingest.tape import Tape
from ingest.valuation import Valuation

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def trade(trade_id: int, symbol: str = "BTCUSDT") -> Trade:
    return Trade(
        venue="v", symbol=symbol, trade_id=trade_id, traded_at=NOW, traded_at_us=1,
        price=Decimal(1), quantity=Decimal(1), quote_quantity=Decimal("2.5"),
        notional_usd=Decimal(0), is_buyer_maker=True, is_best_match=True,
    )  # fmt: skip


def price(symbol: str, seconds: float = 0, amount: int = 1) -> Price:
    at = NOW + timedelta(seconds=seconds)
    return Price(venue="v", symbol=symbol, observed_at=at, price=Decimal(amount))


def kline(minute: int, *, closed: bool, as_of: float = 0) -> Kline:
    one = Decimal(1)
    return Kline(
        venue="v", symbol="BTCUSDT", interval="1m", open_time=NOW + minute * MINUTE,
        close_time=NOW + (minute + 1) * MINUTE, open=one, high=one, low=one, close=one, volume=one,
        quote_volume=one, trade_count=1, taker_buy_volume=one, taker_buy_quote_volume=one,
        is_closed=closed, as_of=NOW + timedelta(seconds=as_of),
    )  # fmt: skip


def instrument(symbol: str, status: str = "TRADING") -> Instrument:
    return Instrument(
        venue="v", symbol=symbol, base_asset=symbol[:-4], quote_asset="USDT", status=status,
        tick_size=Decimal(1), lot_size=Decimal(1), min_notional=Decimal(0), as_of=NOW,
    )  # fmt: skip


class Scene:
    """An inflow and what it stands on: BTCUSDT is watched, ETHUSDT is not, OLDUSDT is halted."""

    def __init__(self, last_id: int | None = 10) -> None:
        listed = [instrument("BTCUSDT"), instrument("ETHUSDT"), instrument("OLDUSDT", "BREAK")]
        self.tape = Tape({} if last_id is None else {"BTCUSDT": last_id})
        self.candles = Candles({("BTCUSDT", "1m"): NOW - MINUTE})
        self.market = Market(
            venue="v",
            catalogue=Catalogue("v", listed),
            tape=self.tape,
            candles=self.candles,
            valuation=Valuation(["USDT"]),
        )
        self.shedding = Shedding("v")
        self.shedding.resume(self.tape, [])
        self.inflow = Inflow(self.market, self.shedding, {"BTCUSDT"}, prices_every_s=10)

    def tell(self, **rows: Any) -> None:
        self.inflow.take(Told("x", **rows))

    def trades(self, *ids: int) -> None:
        for trade_id in ids:
            self.tell(trades=[trade(trade_id)])

    def taken(self, now_s: float) -> list[int]:
        return [one.trade_id for one in self.inflow.gather(now_s).batch.trades]


def test_trades_that_follow_go_on_at_once_with_their_worth_in_dollars() -> None:
    """Each once, by rising id, whatever two connections in their overlap repeat."""
    scene = Scene()
    scene.trades(12, 11, 12, 10, 13)
    gathered = scene.inflow.gather(0)
    assert [one.trade_id for one in gathered.batch.trades] == [11, 12, 13]
    assert {one.notional_usd for one in gathered.batch.trades} == {Decimal("2.5")}
    assert (gathered.batch.gaps, gathered.missed, gathered.size > 0) == ([], set(), True)
    assert scene.inflow.gather(0).size == 0


def test_trades_after_a_hole_wait_for_a_poll_and_need_no_gap_if_it_fills_it() -> None:
    """What comes before the hole goes on; its stream is said to miss something."""
    scene = Scene()
    scene.trades(11, 14, 15)
    gathered = scene.inflow.gather(0)
    assert [one.trade_id for one in gathered.batch.trades] == [11]
    assert gathered.missed == {"btcusdt@trade"}
    scene.tape.take("BTCUSDT", [trade(12), trade(13), trade(14)])  # the poll
    after = scene.inflow.gather(1)
    assert [one.trade_id for one in after.batch.trades] == [15]
    assert (after.batch.gaps, after.missed) == ([], set())


def test_a_hole_that_no_poll_fills_is_named_together_with_what_follows_it() -> None:
    """In one batch, so in one transaction."""
    scene = Scene()
    scene.trades(13, 16)
    assert scene.taken(0) == []
    assert scene.taken(HOLD_S - 0.1) == []
    batch = scene.inflow.gather(HOLD_S).batch
    assert [one.trade_id for one in batch.trades] == [13, 16]
    assert [(gap.first_missing, gap.last_missing, gap.state, gap.cause) for gap in batch.gaps] == [
        (11, 12, "open", "disconnect"),
        (14, 15, "open", "disconnect"),
    ]


def test_a_connection_that_lags_behind_another_makes_no_gap() -> None:
    """The other one's trades come before the time is over."""
    scene = Scene()
    scene.trades(13, 14)
    assert scene.taken(0) == []
    scene.trades(11, 12)
    assert scene.taken(0.1) == [11, 12, 13, 14]


def test_a_symbol_of_which_nothing_is_known_waits_for_its_first_poll() -> None:
    """Which brings what was before; without one its trades go on after a while."""
    scene = Scene(last_id=None)
    scene.trades(11, 12)
    assert scene.inflow.gather(0).missed == {"btcusdt@trade"}
    gathered = scene.inflow.gather(HOLD_S)
    assert [one.trade_id for one in gathered.batch.trades] == [11, 12]
    assert gathered.batch.gaps == []


def test_while_trades_are_shed_none_is_taken_and_their_gap_ends_with_the_first_that_is() -> None:
    """The polls that are left out began it; what is missing keeps its cause."""
    scene = Scene()
    scene.shedding.level = 3
    scene.trades(11, 12)
    scene.tell(prices=[price("BTCUSDT")])
    gathered = scene.inflow.gather(0)
    assert gathered.batch.trades == []
    assert gathered.batch.prices == []
    scene.shedding._begin("trades", "BTCUSDT", 11, NOW)
    scene.shedding.level = 0
    scene.trades(14)
    assert scene.inflow.gather(1).missed == {"btcusdt@trade"}
    (gap,) = scene.inflow.gather(1 + HOLD_S).batch.gaps
    assert (gap.first_missing, gap.last_missing, gap.cause) == (11, 13, CAUSE)


def test_trades_without_room_are_dropped_and_become_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """While PostgreSQL is away memory stays bounded; ids tell what is missing."""
    monkeypatch.setattr(held_trades, "LIMIT", 3)
    scene = Scene()
    scene.trades(*range(11, 20))
    assert scene.taken(0) == [11, 12, 13]
    scene.trades(20)
    assert scene.inflow.gather(1).missed == {"btcusdt@trade"}
    (gap,) = scene.inflow.gather(1 + HOLD_S).batch.gaps
    assert (gap.first_missing, gap.last_missing) == (14, 19)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("stream"), st.integers(1, 60)),
        st.tuples(st.just("poll"), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(EVENTS)
def test_every_id_is_taken_once_in_order_or_named_as_missing(events: list[tuple[str, int]]) -> None:
    """By streams and polls in turn, with losses, repetitions and any order of arrival."""
    tape = Tape({"BTCUSDT": 0})
    held = HeldTrades(tape)
    taken, named, now_s = [0], set[int](), 0.0
    for what, number in [*events, ("wait", 10), ("wait", 10)]:
        if what == "stream":
            assert held.take(trade(number))
        elif what == "poll":  # all up to an id, as REST tells them
            fresh = tape.fresh("BTCUSDT", map(trade, range(1, number + 1)))
            tape.take("BTCUSDT", fresh)
            taken += [one.trade_id for one in fresh]
        else:
            now_s += number
        for run in held.release(now_s):
            named |= {missing for hole in run.holes for missing in hole}
            tape.take(run.symbol, run.trades)
            taken += [one.trade_id for one in run.trades]
    assert taken == sorted(set(taken))
    assert not named & set(taken)
    assert named | set(taken) == set(range(max(taken) + 1))
    assert held.clear() == 0


def test_what_is_missed_is_asked_for_at_once_but_not_again_and_again() -> None:
    """One that is under way is waited for; a hole that stays costs a poll a second."""
    owed, poll = OwedPolls(), Poll(endpoint="trades", every_s=5, weight=25, symbol="BTCUSDT")
    owed.missed(poll)
    assert owed.due(10) == [poll]
    owed.asked(poll, 10)
    owed.missed(poll)
    assert poll not in owed
    owed.answered(poll)
    owed.missed(poll)
    assert (owed.due(10.2), owed.due(11)) == ([], [poll])


def test_a_stream_that_begins_owes_a_poll_that_is_asked_after_it_began() -> None:
    """One that was under way may have been answered before; one that cannot start stays owed."""
    owed, poll = OwedPolls(), Poll(endpoint="trades", every_s=5, weight=25, symbol="BTCUSDT")
    owed.asked(poll, 9)
    owed.owe(poll)
    assert owed.due(10) == [poll]
    assert poll in owed, "it could not start, for it was still running"
    owed.answered(poll)
    assert owed.due(11) == [poll]
    owed.asked(poll, 11)
    owed.answered(poll)
    assert poll not in owed
    owed.owe(poll)
    owed.forget(poll)
    assert owed.due(20) == []


def test_of_a_candle_only_the_last_word_goes_on_and_a_closed_one_stays_closed() -> None:
    """However its events arrive."""
    scene = Scene()
    candles = [kline(0, closed=False, as_of=1), kline(0, closed=True, as_of=2)]
    scene.tell(klines=[*candles, kline(0, closed=False, as_of=3), kline(1, closed=False, as_of=4)])
    batch = scene.inflow.gather(0).batch
    assert batch.klines == [candles[1], kline(1, closed=False, as_of=4)]
    assert scene.candles.follows(kline(1, closed=True))


def test_a_closed_candle_after_a_hole_is_left_to_the_poll_that_fills_it() -> None:
    """Else a crash would find it as the last one, and never ask for those before."""
    scene = Scene()
    scene.tell(klines=[kline(2, closed=True), kline(3, closed=False)])
    gathered = scene.inflow.gather(0)
    assert gathered.batch.klines == [kline(3, closed=False)]
    assert gathered.missed == {"btcusdt@kline_1m"}
    scene.candles.take([kline(0, closed=True), kline(1, closed=True), kline(2, closed=True)])
    scene.tell(klines=[kline(3, closed=True)])
    after = scene.inflow.gather(1)
    assert (after.batch.klines, after.missed) == ([kline(3, closed=True)], set())


def test_prices_of_watched_symbols_go_on_as_they_come_the_others_at_the_polls_pace() -> None:
    """Of those that wait the newest stays, so that a symbol that falls quiet ends with it."""
    scene = Scene()
    scene.tell(prices=[price("BTCUSDT", 0), price("ETHUSDT", 0)])
    assert [one.symbol for one in scene.inflow.gather(100).batch.prices] == ["BTCUSDT", "ETHUSDT"]
    scene.tell(prices=[price("BTCUSDT", 1), price("ETHUSDT", 1, 5)])
    assert [one.symbol for one in scene.inflow.gather(101).batch.prices] == ["BTCUSDT"]
    scene.tell(prices=[price("ETHUSDT", 3, 7), price("ETHUSDT", 2, 6)])
    assert scene.inflow.gather(109.9).batch.prices == []
    assert scene.inflow.gather(110).batch.prices == [price("ETHUSDT", 3, 7)]


def test_prices_of_symbols_that_do_not_trade_are_left_out_and_unknown_ones_are_told() -> None:
    """A poll asks for TRADING symbols only; an unknown one means that exchangeInfo is old."""
    scene = Scene()
    stale = []
    for symbol in ("OLDUSDT", "NEWUSDT"):
        scene.tell(prices=[price(symbol)])
        stale.append(scene.inflow.stale)
    assert stale == [False, True]
    assert scene.inflow.gather(0).batch.prices == []


def test_what_cannot_be_read_goes_to_quarantine_but_never_in_a_flood() -> None:
    """A stream whose form has changed says the same thing thousands of times."""
    scene = Scene()
    bad = Rejected(source="v", endpoint="@trade", reason="no", raw=b"{}")
    for _ in range(3):
        scene.tell(rejected=[bad] * (REJECTED_A_BATCH - 1))
    assert scene.inflow.gather(0).batch.rejected == [bad] * REJECTED_A_BATCH
    scene.tell(rejected=[bad])
    assert scene.inflow.gather(0).batch.rejected == [bad]
