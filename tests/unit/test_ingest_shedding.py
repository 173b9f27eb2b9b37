"""What ingest leaves out, and that its record in `gaps` misses nothing whatever happens when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.market import Depth, Gap, Price, Rejected, Trade
from contracts.shedding import ALL, NONE, ORDER
from ingest import archive_repair, readback
from ingest.batch import Batch
from ingest.gap_rows import may_replace
from ingest.repair import Refilled
from ingest.schedule import Poll, plan
from ingest.settings import IngestSettings
from ingest.shedding import STREAM_OF, UNPOLLED, Shedding, last_known_ids, obeyed
from ingest.spare import Spare
from ingest.tape import Tape, missing

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEPTH, TRADES, KLINES, PRICES = (
    Poll(endpoint=endpoint, every_s=5, weight=1, symbol=symbol)
    for endpoint, symbol in (("depth", "S"), ("trades", "S"), ("klines", "S"), ("ticker/price", ""))
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ms(seconds: float) -> int:
    return int(at(seconds).timestamp() * 1000)


def trade(trade_id: int) -> Trade:
    return Trade(
        venue="v", symbol="S", trade_id=trade_id, traded_at=START, traded_at_us=1,
        price=Decimal(1), quantity=Decimal(1), quote_quantity=Decimal(1),
        notional_usd=Decimal(0), is_buyer_maker=True, is_best_match=True,
    )  # fmt: skip


def book(seconds: float) -> Depth:
    return Depth(venue="v", symbol="S", observed_at=at(seconds), last_update_id=1, bids=[], asks=[])


def price(symbol: str, seconds: float) -> Price:
    return Price(venue="v", symbol=symbol, observed_at=at(seconds), price=Decimal(1))


def shedding(level: int = ALL, *, last_id: int = 10) -> Shedding:
    made = Shedding("v")
    made.resume(Tape({"S": last_id}), [])
    made.level = level
    return made


def test_each_stream_of_the_order_is_an_endpoint_that_is_polled() -> None:
    """The contract's order is what ingest can leave out; each also names a table."""
    assert sorted(STREAM_OF.values()) == sorted(ORDER)
    assert STREAM_OF.keys() < {poll.endpoint for poll in plan(IngestSettings(), ["S"])}
    assert set(ORDER) < {field.name for field in msgspec.structs.fields(Batch)}


@pytest.mark.parametrize("level", range(ALL + 1))
def test_what_is_shed_grows_with_the_level_and_never_holds_candles(level: int) -> None:
    left_out = [shedding(level).sheds(poll) for poll in (DEPTH, TRADES, PRICES, KLINES)]
    assert left_out == [level >= 1, level >= 2, level >= 3, False]


def test_a_level_that_nobody_confirms_is_ignored() -> None:
    """A watch that is gone must not make us lose data for ever."""
    assert obeyed(2, age_s=599, valid_s=600) == 2
    assert obeyed(2, age_s=601, valid_s=600) == NONE


def test_the_first_poll_left_out_opens_a_gap_and_the_rest_say_nothing() -> None:
    guard = shedding()
    opened = [*guard.leave_out(DEPTH, at(5)), *guard.leave_out(DEPTH, at(10))]
    assert [(g.stream, g.symbol, g.first_missing, g.state, g.cause) for g in opened] == [
        ("depth", "S", ms(5), "open", "shed")
    ]
    assert [g.symbol for g in guard.leave_out(PRICES, at(5))] == ["*"]
    assert [g.first_missing for g in guard.leave_out(TRADES, at(5))] == [11]


def test_books_and_prices_of_the_past_become_unprovable() -> None:
    """From the first poll left out to the first one made again."""
    guard = shedding()
    guard.leave_out(DEPTH, at(5))
    ended = guard.polled_again(DEPTH, at(65))
    assert [(g.first_missing, g.last_missing, g.state) for g in ended] == [
        (ms(5), ms(65), "unprovable")
    ]
    assert guard.polled_again(DEPTH, at(70)) == []


def test_rows_that_wait_for_postgresql_are_dropped_and_recorded() -> None:
    """Trades by their lowest id, so that the tape asks for them again; the rest by its time."""
    guard = shedding(ALL, last_id=20)
    waiting = Batch(
        depth=[book(1), book(2)], trades=[trade(n) for n in (18, 19, 20)], prices=[price("X", 3)]
    )
    batch = guard.strip(waiting, at(9))
    assert (batch.depth, batch.trades, batch.prices) == ([], [], [])
    found = {(gap.stream, gap.symbol): gap.first_missing for gap in batch.gaps}
    assert found == {("depth", "S"): ms(1), ("trades", "S"): 18, ("prices", "*"): ms(3)}
    assert guard.strip(waiting, at(10)).gaps == []


def test_a_row_that_waits_longer_than_the_first_poll_left_out_begins_the_gap() -> None:
    """The polls stop first, the spool is emptied later: the record reaches back to the spool."""
    guard = shedding(ALL, last_id=20)
    guard.leave_out(TRADES, at(5))
    guard.leave_out(DEPTH, at(5))
    batch = guard.strip(Batch(depth=[book(1)], trades=[trade(18)]), at(9))
    assert sorted((g.stream, g.first_missing, g.state) for g in batch.gaps) == [
        ("depth", ms(1), "open"),
        ("depth", ms(5), "unprovable"),
        ("trades", 18, "open"),
    ]


def test_a_gap_that_is_read_back_in_part_says_how_far() -> None:
    """Ids that the exchange does not have are rows of their own behind it."""
    guard = shedding(ALL, last_id=10)
    guard.leave_out(TRADES, at(5))
    lacking = gap(14, 15, "exchange-confirmed")
    fresh = [trade(n) for n in (11, 12, 13, 16)]
    (row,) = guard.trades_again("S", fresh, [lacking], at(60))
    assert (row.first_missing, row.last_missing, row.state) == (11, 13, "repaired")


def test_what_is_not_shed_passes() -> None:
    """At the first level only books are dropped."""
    batch = shedding(1).strip(
        Batch(depth=[book(1)], trades=[trade(11)], prices=[price("X", 1)]), START
    )
    assert (len(batch.depth), len(batch.trades), len(batch.prices)) == (0, 1, 1)


def test_rows_of_another_venue_are_none_of_its_business() -> None:
    """A source beside the exchange sheds by itself, so its rows and its gaps bear its venue."""
    foreign = msgspec.structs.replace(price("bitcoin", 1), venue="coincap")
    batch = shedding().strip(Batch(prices=[foreign, price("S", 2)]), at(9))
    assert batch.prices == [foreign]
    assert [(gap.venue, gap.first_missing) for gap in batch.gaps] == [("v", ms(2))]
    assert shedding().strip(Batch(prices=[foreign]), at(9)).gaps == []


def test_a_crash_while_shedding_loses_nothing_of_the_record() -> None:
    """The next process takes the open rows up; trades go on where the gap begins."""
    opened = [*shedding().leave_out(DEPTH, at(5)), *shedding().leave_out(TRADES, at(5))]
    again = Shedding("v")
    again.resume(Tape({"S": 10}), opened)
    assert [gap.state for gap in again.polled_again(DEPTH, at(600))] == ["unprovable"]
    assert again.cause("S") == "shed"


def test_a_symbol_that_nobody_polls_any_more_ends_its_gaps() -> None:
    """Whoever watches it again, and leaves it out, begins another gap."""
    guard = shedding()
    (books,), (trades,) = guard.leave_out(DEPTH, at(5)), guard.leave_out(TRADES, at(5))
    ended = [guard.unpolled(each, at(65)) for each in (books, trades)]
    assert [(g.first_missing, g.last_missing, g.state) for g in ended] == [
        (ms(5), ms(65), "unprovable"),
        (11, 11, "unprovable"),
    ]
    assert all(g.detail.endswith(UNPOLLED) for g in ended)
    assert not guard.under_way(trades)
    (again,) = guard.leave_out(TRADES, at(70))
    assert may_replace(ended[1], again)
    guard.forget(gap(7, 7))
    assert guard.under_way(again), "of another gap nothing is forgotten"


def test_trades_that_are_shed_for_days_go_on_where_their_gap_begins() -> None:
    """No recent trade is in the database then; without this the hole would not be noticed."""
    opened = shedding().leave_out(TRADES, at(5))
    assert last_known_ids({}, opened) == {"S": 10}
    assert last_known_ids({"S": 500}, opened) == {"S": 500}


def gap(first: int, last: int, state: str = "open") -> Gap:
    return Gap(
        venue="v", symbol="S", stream="trades", first_missing=first, last_missing=last,
        state=state, cause="shed", detail="", detected_at=START, as_of=START,
    )  # fmt: skip


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_a_gap_is_read_from_its_end_each_id_once(first: int, length: int) -> None:
    """After each page the row says what is still missing; the pages together are the gap."""
    whole = gap(first, first + length - 1)
    asked: list[int] = []
    left: Gap | None = whole
    while left is not None:
        page = readback.last_page(left)
        asked += list(page)
        left = readback.before(left, page)
        assert left is None or left.last_missing == page.start - 1
    assert sorted(asked) == list(range(first, first + length))
    assert readback.ended(whole).state == "repaired"


def test_a_page_that_the_exchange_does_not_give_is_tried_later() -> None:
    """Open stays open; what nobody can read will not become readable; what it lacks is proven."""
    assert not readback.settle(Refilled(gaps=[gap(1, 2)]))
    assert readback.settle(Refilled(gaps=[gap(1, 2, "exchange-confirmed")]))
    unreadable = Rejected(source="v", endpoint="historicalTrades", reason="no price", raw=b"{}")
    unread = Refilled(gaps=[gap(1, 2)], rejected=[unreadable])
    assert readback.settle(unread)
    assert [each.state for each in unread.gaps] == ["unprovable"]
    unsaid = Refilled(gaps=[gap(1, 2)], unsaid=True)
    assert not readback.settle(unsaid)
    assert readback.settle(unsaid, patient=False)
    assert [each.state for each in unsaid.gaps] == ["unprovable"]


def test_a_gap_that_is_too_long_for_ids_says_so() -> None:
    """Nobody asks for a hundred million trades one by one; an archive may have them."""
    row = readback.too_long(gap(1, 100_000_000))
    assert (row.state, row.last_missing) == ("unprovable", 100_000_000)
    assert "100000000 trades, more than TIDEMARK_READBACK_LIMIT" in row.detail


def test_a_long_gap_keeps_what_its_files_lack() -> None:
    """Its own row ends before that, and the rests are rows; or it stays, if it begins with one."""
    whole = gap(100, 199)
    assert [
        (row.first_missing, row.last_missing, row.state)
        for row in archive_repair.filled(whole, [range(150, 160), range(190, 200)])
    ] == [(150, 159, "open"), (190, 199, "open"), (100, 149, "repaired")]
    (begins,) = archive_repair.filled(whole, [range(100, 120)])
    assert (begins.first_missing, begins.last_missing, begins.state) == (100, 119, "open")
    (done,) = archive_repair.filled(whole, [])
    assert (done.last_missing, done.state) == (199, "repaired")
    assert done.detail.endswith("filled from the archive")


def test_pages_take_only_the_weight_that_is_left_over() -> None:
    """736 of the default schedule: 29 pages a minute; none left: one a minute."""
    for left_over, pages_a_minute in ((736, 29), (-5, 1)):
        spare, now_s = Spare(left_over), 0.0
        for _ in range(pages_a_minute + 1):
            now_s += spare.wait_s(readback.PAGE_WEIGHT, now_s)
        assert 59 < now_s <= 60


def test_what_is_left_over_follows_the_schedule() -> None:
    """Other symbols are watched: from then on another share is let out."""
    spare = Spare(60)
    assert spare.wait_s(10, 0.0) == 0
    spare.allow(600)
    assert spare.wait_s(10, 0.0) == 10, "what was booked before stays"
    assert spare.wait_s(10, 0.0) == 11


class Exchange:
    """One symbol's polling, as `Poller`, `Writer` and a restart do it, on the real parts."""

    def __init__(self, limit: int) -> None:
        self.limit, self.now, self.newest = limit, 0, 0
        self.stored: set[int] = set()
        self.rows: dict[int, Gap] = {}
        self.spool: list[Batch] = []
        self.level = NONE
        self.restart()

    def restart(self) -> None:
        """What was in memory is gone."""
        self.spool.clear()
        self.tape, self.guard = Tape({}), Shedding("v")
        known = {"S": max(self.stored)} if self.stored else {}
        open_rows = [row for row in self.rows.values() if row.state == "open"]
        self.tape = Tape(last_known_ids(known, open_rows))
        self.guard.resume(self.tape, open_rows)
        self.guard.level = self.level

    def poll(self) -> None:
        self.now += 1
        if self.guard.sheds(TRADES):
            self.spool.append(Batch(gaps=self.guard.leave_out(TRADES, at(self.now))))
            return
        page = [trade(n) for n in range(max(1, self.newest - 9), self.newest + 1)]
        fresh = self.tape.fresh("S", page)
        gaps: list[Gap] = []
        if holes := self.tape.holes("S", fresh):
            cause = self.guard.cause("S")
            if sum(map(len, holes)) <= self.limit:
                fresh = self.tape.fresh("S", [*page, *(trade(n) for h in holes for n in h)])
            for hole in holes:
                for rest in missing((one.trade_id for one in fresh), hole):
                    row, now = gap(rest.start, rest.stop - 1), at(self.now)
                    gaps.append(
                        msgspec.structs.replace(row, cause=cause, detected_at=now, as_of=now)
                    )
        gaps += self.guard.trades_again("S", fresh, gaps, at(self.now))
        self.tape.take("S", fresh)
        self.spool.append(Batch(trades=fresh, gaps=gaps))

    def write(self) -> None:
        for waiting in self.spool:
            batch = self.guard.strip(waiting, at(self.now))
            self.stored |= {one.trade_id for one in batch.trades}
            for row in batch.gaps:
                known = self.rows.get(row.first_missing)
                if known is None or may_replace(known, row):
                    self.rows[row.first_missing] = row
        self.spool.clear()

    def trade(self, count: int) -> None:
        self.newest += count

    def obey(self, level: int) -> None:
        self.level = self.guard.level = level


MOVES = st.lists(
    st.sampled_from(
        ["trade 1", "trade 30", "poll", "poll", "write", "obey 2", "obey 0", "restart"]
    ),
    min_size=8,
    max_size=40,
)


@settings(max_examples=300)
@given(MOVES, st.sampled_from([0, 25]))
def test_every_trade_is_stored_or_named_as_missing(moves: list[str], limit: int) -> None:
    """Levels, polls, writes and crashes in any order; limit: the longest hole that a poll fills."""
    exchange = Exchange(limit)
    exchange.newest = 5
    exchange.poll()
    exchange.write()
    for move in moves:
        verb, _, number = move.partition(" ")
        getattr(exchange, verb)(*map(int, number.split()))
    exchange.obey(NONE)
    exchange.newest += 1
    exchange.poll()
    exchange.write()
    named = {
        number
        for row in exchange.rows.values()
        if row.state == "open"
        for number in range(row.first_missing, row.last_missing + 1)
    }
    assert set(range(1, exchange.newest + 1)) <= exchange.stored | named
    for row in exchange.rows.values():
        if row.state == "repaired":
            assert set(range(row.first_missing, row.last_missing + 1)) <= exchange.stored | named
