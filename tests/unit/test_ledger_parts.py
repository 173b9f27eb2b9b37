"""The pure parts of the ledger: aggregates, corrections, holes that stand in no row, verdicts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.market import Rejected, Trade
from ingest.aggregates import Aggregate, pages, proof, ranges, suspects
from ingest.auditing import hours, unrecorded_candles
from ingest.backoff import Backoff
from ingest.binance.aggregate_messages import aggregates
from ingest.binance.rows import Parsed
from ingest.candle_repair import Found, interval_of, settled
from ingest.conservation import Rebuilt
from ingest.correction import after, correct, shown
from ingest.investigation import AGAIN, SELDOM
from ingest.judging import certificate, held_ids, is_contiguous, is_news, unrecorded, without
from ingest.ledger import Minute
from ingest.span import Span, in_ms
from ingest.witness import Witness
from tests.market_rows import MINUTE, NOON, SYMBOL, VENUE, gap, kline
from tests.market_rows import certificate as certificate_row
from tests.market_rows import trade as trade_row

MS = timedelta(milliseconds=1)


def trade(trade_id: int, price: int = 10, quantity: int = 1, *, ms: int = 0) -> Trade:
    price_, quantity_ = Decimal(price), Decimal(quantity)
    return trade_row(
        trade_id,
        traded_at=NOON + ms * MS,
        price=price_,
        quantity=quantity_,
        quote_quantity=price_ * quantity_,
    )


def aggregate(first: int, last: int, quantity: int, *, number: int = 0, ms: int = 0) -> Aggregate:
    return Aggregate(
        aggregate_id=number,
        first_id=first,
        last_id=last,
        traded_at=NOON + ms * MS,
        price=Decimal(10),
        quantity=Decimal(quantity),
        is_buyer_maker=True,
    )


def test_aggregates_are_read_as_the_exchange_writes_them() -> None:
    """The documents' example, and one that stands for more trades than anybody believes."""
    good = (
        b'{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,'
        b'"T":1498793709153,"m":true,"M":true}'
    )
    absurd = good.replace(b'"l":27781', b'"l":9000000000000000000')
    parsed = aggregates(b"[" + good + b"," + absurd + b"]", "v")
    (row,) = parsed.rows
    assert (row.aggregate_id, row.first_id, row.last_id, row.is_buyer_maker) == (
        26129, 27781, 27781, True,
    )  # fmt: skip
    assert (row.price, row.quantity) == (Decimal("0.01633102"), Decimal("4.70443515"))
    assert row.traded_at == datetime(2017, 6, 30, 3, 35, 9, 153_000, UTC)
    assert [one.endpoint for one in parsed.rejected] == ["aggTrades"]


def test_adjacent_aggregates_prove_a_hole_to_be_the_exchange_s_own() -> None:
    """One ends right before or earlier, the next begins behind; whatever the hole's length."""
    row = [aggregate(1, 3, 3), aggregate(4, 4, 1), aggregate(9, 12, 4)]
    assert proof(range(5, 9), row) == "lost"
    assert proof(range(6, 8), row) == "lost"


def test_an_aggregate_inside_a_hole_means_that_the_exchange_has_it() -> None:
    """Also where it holds only an end of the hole."""
    row = [aggregate(1, 3, 3), aggregate(4, 6, 1), aggregate(9, 12, 4)]
    assert proof(range(5, 9), row) == "withheld"
    assert proof(range(8, 10), row) == "withheld"


def test_without_both_sides_nothing_is_proved() -> None:
    """Nor by an empty answer."""
    assert proof(range(5, 9), [aggregate(9, 12, 4)]) == "unknown"
    assert proof(range(5, 9), [aggregate(1, 4, 4)]) == "unknown"
    assert proof(range(5, 9), []) == "unknown"


def test_an_aggregate_that_stands_for_no_trade_is_none() -> None:
    """The exchange took its trades back; an id below zero is a mistake otherwise."""
    row = b'{"a":1,"p":"0","q":"0","f":-1,"l":-1,"T":1498793709153,"m":true}'
    half = row.replace(b'"l":-1', b'"l":3')
    parsed = aggregates(b"[" + row + b"," + half + b"]", "v")
    assert parsed.rows == []
    assert [one.reason for one in parsed.rejected] == ["f is -1: no trade id"]


class Pages:
    """The exchange's aggregates: those from NOON on, and the page before."""

    def __init__(self, before: Parsed[Aggregate], later: Parsed[Aggregate]) -> None:
        self._before = before
        self._later = later

    async def aggregates(
        self, symbol: str, *, from_id: int | None = None, start_ms: int | None = None
    ) -> Parsed[Aggregate]:
        assert symbol == SYMBOL
        assert (from_id is None) != (start_ms is None)
        return self._later if from_id is None else self._before


BROKEN = Rejected(source="v", endpoint="aggTrades", reason="broken", raw=b"{}")


@pytest.mark.parametrize(
    ("before", "later", "around", "found"),
    [
        ([], [], [trade(9)], "lost"),
        ([BROKEN], [], [trade(9)], "unknown"),
        ([], [BROKEN], [trade(9)], "unknown"),
        ([], [], [trade(4)], "unknown"),
        ([], [], [], "unknown"),
    ],
)
def test_a_witness_proves_only_by_all_that_it_reads(
    before: list[Rejected], later: list[Rejected], around: list[Trade], found: str
) -> None:
    """A row that cannot be read may count what is missing; without a later trade, none is near."""
    witness = Witness(
        Pages(
            Parsed([aggregate(1, 4, 4, number=1)], before),
            Parsed([aggregate(9, 12, 4, number=2)], later),
        )
    )
    assert asyncio.run(witness.proof(SYMBOL, range(5, 9), around)) == found


TOLD = [aggregate(1, 3, 3), aggregate(4, 4, 2, ms=1), aggregate(5, 6, 5, ms=2)]
HELD = [
    *(trade(n) for n in (1, 2, 3)),
    trade(4, quantity=2, ms=1),
    *(trade(5, quantity=2, ms=2), trade(6, quantity=3, ms=2)),
]


def test_what_is_held_as_told_is_not_suspected() -> None:
    """In any order."""
    assert suspects(TOLD, HELD) == suspects(TOLD, HELD[::-1]) == []


@pytest.mark.parametrize(
    ("held", "where"),
    [
        ([*HELD[:1], *HELD[2:]], [range(1, 4)]),  # 2 is missing
        ([*HELD, trade(2, ms=7)], [range(1, 4)]),  # 2 stands twice
        ([*HELD[:3], trade(4, quantity=3, ms=1), *HELD[4:]], [range(4, 5)]),
        ([*HELD[:3], trade(4, price=11, quantity=2, ms=1), *HELD[4:]], [range(4, 5)]),
        ([*HELD, trade(99, ms=9)], [range(99, 100)]),  # of another minute, or of nobody
        (HELD[2:5], [range(1, 4), range(5, 7)]),
        ([], [range(1, 7)]),
    ],
)
def test_what_is_not_held_as_told_is_located(held: list[Trade], where: list[range]) -> None:
    """To the trades of one taker order."""
    assert suspects(TOLD, held) == where


def test_a_side_a_time_and_a_quote_quantity_are_compared_too() -> None:
    """Everything that a candle is made of, and what could hide a change of it."""
    for change in (
        {"is_buyer_maker": False}, {"traded_at": NOON + 2 * MS}, {"quote_quantity": Decimal(1)},
    ):  # fmt: skip
        changed = msgspec.structs.replace(HELD[3], **change)
        assert suspects(TOLD, [*HELD[:3], changed, *HELD[4:]]) == [range(4, 5)]


@given(st.sets(st.integers(0, 60)))
def test_ranges_hold_exactly_their_ids(ids: set[int]) -> None:
    """They rise and do not touch."""
    found = ranges(ids)
    assert [id_ for each in found for id_ in each] == sorted(ids)
    assert all(a.stop < b.start for a, b in pairwise(found))


@given(st.sets(st.integers(0, 200)), st.integers(1, 50))
def test_pages_cover_what_is_wanted_and_are_short(ids: set[int], most: int) -> None:
    """None overlaps another, and as many are needed as if each began at a wanted id."""
    found = pages(ranges(ids), most)
    covered = [id_ for page in found for id_ in page]
    assert ids <= set(covered)
    assert len(covered) == len(set(covered))
    assert all(0 < len(page) <= most and page.start in ids for page in found)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2)), max_size=10),
    st.dictionaries(st.integers(1, 6), st.tuples(st.integers(1, 3), st.integers(0, 2))),
)
def test_a_correction_makes_the_suspected_ids_as_told(
    rows: list[tuple[int, int, int]], true: dict[int, tuple[int, int]]
) -> None:
    """Whatever was held of them; the others stay as they are."""
    held = list({(i, ms): trade(i, quantity=q, ms=ms) for i, q, ms in rows}.values())
    told = [trade(i, quantity=q, ms=ms) for i, (q, ms) in true.items()]
    correction = correct(held, [range(1, 5)], told)
    made = sorted(after(held, correction), key=lambda each: (each.trade_id, each.traded_at))
    expected = [each for each in told if each.trade_id < 5]
    expected += [each for each in held if each.trade_id >= 5]
    assert made == sorted(expected, key=lambda each: (each.trade_id, each.traded_at))
    for ids in correction.missing:
        assert all(each.trade_id not in ids for each in held)


def test_a_correction_touches_no_row_that_says_the_same() -> None:
    """A finer time or quote quantity than the one that is told now is no difference."""
    held = msgspec.structs.replace(trade(1), traded_at_us=trade(1).traded_at_us + 123)
    worth = msgspec.structs.replace(trade(1), notional_usd=Decimal(5))
    correction = correct([held], [range(1, 2)], [worth])
    assert (correction.wrong, correction.told, str(correction)) == ([], [], "")


def test_a_correction_says_what_it_does() -> None:
    """Each id once, as ranges."""
    held = [trade(1), trade(2, quantity=5), trade(3), trade(3, ms=4)]
    told = [trade(n) for n in (1, 2, 3, 4, 5)]
    correction = correct(held, [range(1, 6)], told)
    assert str(correction) == "changed trades 2, put in trades 4–5, removed trades 3"
    assert shown([range(5, 6), range(7, 10)]) == "5, 7–9"


@given(
    st.tuples(st.integers(0, 30), st.integers(1, 30)),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=6),
)
def test_what_stands_in_no_row_is_all_of_a_hole_but_its_gaps(
    hole: tuple[int, int], rows: list[tuple[int, int]]
) -> None:
    """Gaps may overlap, and reach beyond it."""
    ids = range(hole[0], hole[0] + hole[1])
    gaps = [gap(first, last_missing=first + more) for first, more in rows]
    known = {n for each in gaps for n in range(each.first_missing, each.last_missing + 1)}
    assert [n for part in unrecorded(ids, gaps) for n in part] == sorted(set(ids) - known)


def minute(count: int, first: int, last: int, number: int = 0) -> Minute:
    made = Rebuilt(trade_count=count, first_trade_id=first, last_trade_id=last)
    opened = NOON + number * MINUTE
    return Minute(
        venue=VENUE, symbol=SYMBOL, open_time=opened, candle=kline(number), made=made, known=None
    )


def test_minutes_are_contiguous_where_no_id_is_missing_or_twice() -> None:
    """Within them and between them."""
    quiet = Minute(
        venue=VENUE, symbol=SYMBOL, open_time=NOON, candle=None, made=Rebuilt(), known=None
    )
    first, second = minute(3, 1, 3), minute(2, 4, 5, 1)
    assert is_contiguous([])
    assert is_contiguous([quiet])
    assert is_contiguous([first, quiet, second])
    assert (held_ids([quiet]), held_ids([first, quiet, second])) == (range(0), range(1, 6))
    assert not is_contiguous([first, minute(2, 5, 6, 1)])
    assert not is_contiguous([minute(2, 1, 3)])
    assert not is_contiguous([minute(4, 1, 3)])


@given(
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
    st.tuples(st.integers(0, 20), st.integers(1, 20)),
)
def test_a_gap_that_is_filled_in_part_keeps_its_state_for_the_rest(
    missing_: tuple[int, int], held_: tuple[int, int]
) -> None:
    """The rows together are the gap; what is held is repaired, each id in one row."""
    whole = gap(missing_[0], last_missing=sum(missing_), state="unprovable", detail="too long")
    held = range(held_[0], sum(held_))
    assume(held.start <= whole.last_missing and whole.first_missing < held.stop)
    states = {
        id_: row.state
        for row in without(whole, held, NOON)
        for id_ in range(row.first_missing, row.last_missing + 1)
    }
    assert states == {
        id_: "repaired" if id_ in held else "unprovable"
        for id_ in range(whole.first_missing, whole.last_missing + 1)
    }


def test_a_verdict_that_says_no_more_is_not_written_again() -> None:
    """What was looked into with the same in hand keeps the words of who looked."""
    looked = certificate_row(state="unprovable", detail="trades 5: …")
    differs = certificate_row(state="differs", detail="volume …")
    assert not is_news(differs, looked)
    assert not is_news(certificate_row(), certificate_row(detail="changed trades 5"))
    assert is_news(differs, None)
    assert is_news(differs, certificate_row())
    assert is_news(certificate_row(), differs)
    assert is_news(differs, certificate_row(state="incomplete"))
    assert is_news(msgspec.structs.replace(differs, trade_count=9), looked)
    revised = msgspec.structs.replace(differs, as_of=differs.as_of + MINUTE)
    assert is_news(revised, looked)


def test_a_certificate_has_room_for_what_the_table_has() -> None:
    """The rest of a long story is cut off."""
    row = certificate(minute(3, 1, 3), "differs", "x" * 1000)
    assert (len(row.detail), row.detail[-1], row.first_trade_id) == (400, "…", 1)
    assert row.as_of == kline(0).as_of


def test_a_minute_is_asked_about_later_and_later() -> None:
    """Never less often than each hour; from the beginning once it was settled."""
    one, first = "a minute", Backoff(AGAIN, SELDOM)
    assert first.is_due(one, NOON)
    assert not first.is_due(one, NOON + AGAIN - MS)
    assert first.is_due(one, NOON + AGAIN)
    assert not first.is_due(one, NOON + 2 * AGAIN)
    when = NOON + 3 * AGAIN
    for _ in range(20):
        assert first.is_due(one, when)
        when += SELDOM
    first.over(one)
    assert first.is_due(one, NOON)


def test_the_walk_takes_the_newest_hour_of_each_day_first() -> None:
    """And ends where trades may still be on their way."""
    days = [NOON.date() + timedelta(days=1), NOON.date(), NOON.date() - timedelta(days=1)]
    end = NOON.replace(hour=1, minute=30)
    found = list(hours(days, end))
    assert len(found) == 2 + 24
    assert [(since.hour, until.hour, until.minute) for since, until in found[:3]] == [
        (1, 1, 30), (0, 1, 0), (23, 0, 0),
    ]  # fmt: skip


def test_candles_that_stand_in_a_row_are_not_recorded_again() -> None:
    """The others are, as runs; months included."""
    times = [NOON + n * MINUTE for n in range(6)]
    known = [gap(in_ms(times[2]), last_missing=in_ms(times[3]), stream="klines_1m")]
    assert unrecorded_candles("1m", (times[0], times[5]), known) == [
        Span(in_ms(times[0]), in_ms(times[2])),
        Span(in_ms(times[4]), in_ms(times[5] + MINUTE)),
    ]
    january, march = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    february = gap(in_ms(january + timedelta(days=31)), last_missing=in_ms(march) - 1)
    assert [span.start for span in unrecorded_candles("1M", (january, march), [february])] == [
        in_ms(january), in_ms(march),
    ]  # fmt: skip


def test_a_gap_of_candles_ends_as_repaired_or_as_the_exchange_s_own() -> None:
    """What is still missing is a row for each run; what was unreadable proves nothing."""
    whole = gap(60_000, last_missing=300_000, stream="klines_1m")
    assert interval_of(whole) == "1m"
    assert interval_of(gap()) is None
    (all_found,) = settled(whole, [], Found())
    assert (all_found.state, all_found.last_missing) == ("repaired", 300_000)
    rows = settled(whole, [(120_000, 180_000)], Found())
    assert [(row.first_missing, row.last_missing, row.state) for row in rows] == [
        (120_000, 180_000, "exchange-confirmed"),
        (60_000, 300_000, "repaired"),
    ]
    (all_gone,) = settled(whole, [(60_000, 300_000)], Found())
    assert all_gone.state == "exchange-confirmed"
