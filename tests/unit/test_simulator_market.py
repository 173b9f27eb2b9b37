"""The simulated market agrees with itself, whatever is asked and in whichever order."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator import book, candles, fills, trades
from simulator.aggregates import AggregateTape
from simulator.candles import DAY, Candles
from simulator.catalogue import MAX_TRADES_PER_SECOND, Listing, catalogue
from simulator.intervals import INTERVALS, opening
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.rolling import RollingWindow
from simulator.trades import MINUTE_US

SEED = 7
NOW = datetime(2026, 7, 1, 12, 34, 56, 789_000, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
MARKET = Market(SEED, 20.0)
TAPE = AggregateTape(MARKET)
SYMBOLS = [
    "BTCUSDT",
    "DOGEUSDT",
    "ETHBTC",
    "DUSTUSDT",
    "GIANTUSDT",
    "币安人生USDT",
    "LUNCUSDT",
    "LTCUSDT",
]

symbols = st.sampled_from(SYMBOLS)
seconds_ago = st.integers(0, 3 * 365 * 86_400)


def listing(symbol: str) -> Listing:
    return MARKET.listings[symbol]


def lived(symbol: str, ago_s: int) -> int:
    """A time at which the symbol trades, in µs: `ago_s` before now or before its end."""
    end_us = min(NOW_US, listing(symbol).closed * MINUTE_US - 1)
    return max(end_us - ago_s * 1_000_000, (listing(symbol).listed + 1) * MINUTE_US)


def same(left: Candles, right: Candles) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left.columns(), right.columns(), strict=True))


@settings(max_examples=60)
@given(symbol=symbols, ago_s=seconds_ago, width=st.integers(1, 90))
def test_trades_sum_exactly_to_the_candles_of_their_minutes(
    symbol: str, ago_s: int, width: int
) -> None:
    """Count, all volumes, open, high, low and close of each minute come out of its trades."""
    start = lived(symbol, ago_s) // MINUTE_US
    minutes = candles.minute_candles(SEED, listing(symbol), start, start + width)
    run = trades.trades_between(SEED, listing(symbol), start, start + width)
    if run is None:
        assert minutes.trades.sum() == 0
        return
    row = run.at_us // MINUTE_US - start
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    busy = Candles(*(column[row[starts]] for column in minutes.columns()))
    assert same(trades.summed(run, starts), busy)
    assert minutes.trades.sum() == len(run)
    assert run.price.min() >= 1
    assert run.lots.min() >= 1
    assert (np.diff(run.at_us) >= 0).all()


@settings(max_examples=60)
@given(symbol=symbols, ago_s=seconds_ago, width=st.integers(2, 3000))
def test_a_candle_does_not_depend_on_the_range_it_was_asked_with(
    symbol: str, ago_s: int, width: int
) -> None:
    """One minute alone equals the same minute drawn among its neighbours, busy or not."""
    start = lived(symbol, ago_s) // MINUTE_US
    together = candles.minute_candles(SEED, listing(symbol), start, start + width)
    for row in {0, width // 2, width - 1}:
        alone = candles.minute_candles(SEED, listing(symbol), start + row, start + row + 1)
        assert same(alone, together.part(row, row + 1))


@settings(max_examples=100)
@given(symbol=symbols, ago_s=seconds_ago)
def test_ids_are_contiguous_and_found_again_by_time(symbol: str, ago_s: int) -> None:
    """The id before a minute ends, the next one begins it, and minute_of finds both."""
    at = listing(symbol)
    minute = lived(symbol, ago_s) // MINUTE_US
    ids = fills.ids_before(at, np.arange(minute - 50, minute + 50))
    assert (np.diff(ids) >= 0).all()
    wanted = np.arange(ids[0], ids[-1])
    if len(wanted):
        found = fills.minute_of(at, wanted)
        inside = np.searchsorted(ids, wanted, side="right") - 1 + minute - 50
        assert np.array_equal(found, inside)


@settings(max_examples=40)
@given(symbol=symbols, ago_s=seconds_ago, length=st.integers(1, 700), cut=st.integers(0, 700))
def test_a_range_of_trades_is_the_same_in_one_piece_or_two(
    symbol: str, ago_s: int, length: int, cut: int
) -> None:
    """Asking by id across minutes and days gives the same trades however the range is cut."""
    at = listing(symbol)
    end = MARKET.trade_count(at, lived(symbol, ago_s))
    start = max(0, end - length)
    middle = max(start, end - cut)
    whole = MARKET.trades(at, start, end)
    pieces = [MARKET.trades(at, *ids) for ids in ((start, middle), (middle, end))]
    assert whole is not None
    joined = trades.joined([piece for piece in pieces if piece is not None])
    assert whole.first_id == joined.first_id == start
    for name in ("at_us", "price", "lots", "taker_buys", "leads"):
        assert np.array_equal(getattr(whole, name), getattr(joined, name))


@settings(max_examples=30)
@given(
    symbol=symbols,
    name=st.sampled_from([name for name in INTERVALS if name not in {"1s", "1M"}]),
    ago_s=st.integers(0, 200 * 86_400),
    shift=st.sampled_from([0, 0, 345, -300]),
)
def test_longer_intervals_add_up_from_minutes(
    symbol: str, name: str, ago_s: int, shift: int
) -> None:
    """A kline of any interval and time zone is the merge of the minutes in it."""
    at, now_us = listing(symbol), lived(symbol, ago_s)
    found = klines(MARKET, at, Query(INTERVALS[name], 3, shift=shift), now_us)
    assert found is not None
    for row in range(len(found.opened_us)):
        start = max(int(found.opened_us[row]) // MINUTE_US, at.listed)
        end = min((int(found.closed_us[row]) + 1) // MINUTE_US, now_us // MINUTE_US + 1)
        minutes = MARKET.minutes(at, start, end, now_us)
        assert same(candles.merged(minutes, np.array([0])), found.candles.part(row, row + 1))


@settings(max_examples=30)
@given(symbol=symbols, ago_s=seconds_ago)
def test_seconds_add_up_to_the_minute(symbol: str, ago_s: int) -> None:
    """Sixty klines of a second merge into the kline of their minute."""
    at = listing(symbol)
    minute = lived(symbol, ago_s) // MINUTE_US - 1
    now_us = (minute + 1) * MINUTE_US
    query = Query(INTERVALS["1s"], 60, start_us=minute * MINUTE_US, end_us=now_us - 1)
    found = klines(MARKET, at, query, now_us)
    assert found is not None
    assert len(found.opened_us) == 60
    merged = candles.merged(found.candles, np.array([0]))
    assert same(merged, MARKET.minutes(at, minute, minute + 1, now_us))


@settings(max_examples=40)
@given(symbol=symbols, ago_s=seconds_ago)
def test_24h_statistics_equal_the_trades_between_open_and_close_time(
    symbol: str, ago_s: int
) -> None:
    """Statistics are those of the trades from openTime to closeTime, whose ids they name."""
    at, now_us = listing(symbol), lived(symbol, ago_s)
    numbers = RollingWindow(MARKET).statistics(at, now_us)
    first, end = (MARKET.first_id_at(at, numbers.opened_us), MARKET.trade_count(at, now_us))
    if first == end:
        assert (numbers.count, numbers.first_id, numbers.open) == (0, -1, 0)
        return
    assert (numbers.first_id, numbers.last_id, numbers.count) == (first, end - 1, end - first)
    run = MARKET.trades(at, first, end)
    assert run is not None
    assert (numbers.open, numbers.last) == (run.price[0], run.price[-1])
    assert (numbers.high, numbers.low) == (run.price.max(), run.price.min())
    assert numbers.lots == run.lots.sum()
    assert numbers.quote == (run.price * run.lots).sum()
    assert numbers.previous_close == (run.before or numbers.previous_close)


@settings(max_examples=40)
@given(symbol=symbols, ago_s=seconds_ago, later_s=st.integers(0, 300))
def test_what_happened_does_not_change_later(symbol: str, ago_s: int, later_s: int) -> None:
    """A fresh market asked later says the same of the past, and nothing shows before its time."""
    at, now_us = listing(symbol), lived(symbol, ago_s)
    count = MARKET.trade_count(at, now_us)
    ids = (max(0, count - 50), count)
    other = Market(SEED, 20.0)
    other.last(at, now_us + later_s * 1_000_000)
    mine, theirs = MARKET.trades(at, *ids), other.trades(at, *ids)
    assert mine is not None
    assert theirs is not None
    assert np.array_equal(mine.at_us, theirs.at_us)
    assert np.array_equal(mine.price, theirs.price)
    assert np.array_equal(mine.lots, theirs.lots)
    assert mine.at_us[-1] <= min(now_us, at.closed * MINUTE_US)
    last = MARKET.last(at, now_us)
    assert (last.trade_id, last.price, last.at_us) == (count - 1, mine.price[-1], mine.at_us[-1])


@settings(max_examples=40)
@given(symbol=symbols, ago_s=seconds_ago, limit=st.integers(1, 1500))
def test_the_book_is_never_crossed_and_stands_at_the_last_trade(
    symbol: str, ago_s: int, limit: int
) -> None:
    """Bids fall, asks rise, they do not meet, and the first levels are those of bookTicker."""
    at = listing(symbol)
    update_id = book.update_id_at(at, lived(symbol, ago_s)) - 1
    found = book.book(MARKET, at, update_id, limit)
    top = book.top(MARKET, at, update_id)
    assert (np.diff(found.bids.price) < 0).all()
    assert (np.diff(found.asks.price) > 0).all()
    assert found.bids.price[0] < found.asks.price[0]
    assert found.bids.price.min() >= 1
    assert min(found.bids.lots.min(), found.asks.lots.min()) >= 1
    assert len(found.asks.price) == min(limit, len(found.asks.price))
    assert (top.bid, top.bid_lots) == (found.bids.price[0], found.bids.lots[0])
    assert (top.ask, top.ask_lots) == (found.asks.price[0], found.asks.lots[0])


@settings(max_examples=200)
@given(symbol=symbols, ago_s=seconds_ago, steps=st.integers(1, 3000), share=st.floats(0, 1))
@example(symbol="BTCUSDT", ago_s=268_567, steps=653, share=0.75)  # the far end went and came
@example(symbol="DOGEUSDT", ago_s=1_721_601, steps=618, share=0.25)
def test_a_diff_leads_to_the_later_book_from_any_moment_between(
    symbol: str, ago_s: int, steps: int, share: float
) -> None:
    """A snapshot falls anywhere: what came and went between the ends of a diff is in it, too.

    At both ends of the book, the best price and the last place, to the last level.
    """
    at = listing(symbol)
    newer_id = book.update_id_at(at, lived(symbol, ago_s))
    older_id = newer_id - steps
    older, between, newer = (
        book.book(MARKET, at, each) for each in (older_id, older_id + int(share * steps), newer_id)
    )
    bids, asks = book.touched(MARKET, at, older, newer)
    assert applied(between.bids, bids) == levels_of(newer.bids)
    assert applied(between.asks, asks) == levels_of(newer.asks)


def levels_of(side: book.Side) -> dict[int, int]:
    return dict(zip(side.price.tolist(), side.lots.tolist(), strict=True))


def applied(side: book.Side, changed: book.Side) -> dict[int, int]:
    levels = levels_of(side) | levels_of(changed)
    return {price: lots for price, lots in levels.items() if lots}


@settings(max_examples=25)
@given(symbol=symbols, ago_s=seconds_ago, steps=st.integers(1, 2000))
def test_a_book_and_its_changes_give_the_later_book(symbol: str, ago_s: int, steps: int) -> None:
    """Applying the differences to an older snapshot gives the newer one."""
    at = listing(symbol)
    newer_id = book.update_id_at(at, lived(symbol, ago_s)) - 1
    older, newer = (book.book(MARKET, at, each) for each in (newer_id - steps, newer_id))
    for before, after in ((older.bids, newer.bids), (older.asks, newer.asks)):
        assert applied(before, book.changes(before, after)) == levels_of(after)


@settings(max_examples=25)
@given(symbol=symbols, ago_s=seconds_ago, limit=st.integers(1, 400))
def test_aggregates_are_contiguous_and_cover_their_trades(
    symbol: str, ago_s: int, limit: int
) -> None:
    """Aggregate ids have no holes, share their trades' price and time, and lose no trade."""
    at, now_us = listing(symbol), lived(symbol, ago_s)
    found = TAPE.recent(at, limit, now_us)
    assert found is not None
    first, end = int(found.first_trade[0]), int(found.last_trade[-1]) + 1
    assert end == MARKET.trade_count(at, now_us)
    assert (found.first_trade[1:] == found.last_trade[:-1] + 1).all()
    run = MARKET.trades(at, first, end)
    assert run is not None
    owner = np.searchsorted(found.first_trade, np.arange(first, end), side="right") - 1
    assert np.array_equal(run.price, found.price[owner])
    assert np.array_equal(run.at_us, found.at_us[owner])
    assert np.array_equal(run.taker_buys, found.taker_buys[owner])
    assert np.array_equal(np.bincount(owner, run.lots).astype(np.int64), found.lots)
    again = TAPE.from_id(at, found.first_id, limit, now_us)
    assert again is not None
    assert np.array_equal(again.first_trade, found.first_trade)


def test_a_trade_is_the_same_in_a_long_run_and_alone() -> None:
    """Sizes do not depend on what was drawn along with them, not by one lot in 10¹⁰."""
    at = listing("DUSTUSDT")
    start = NOW_US // MINUTE_US - 600
    together = trades.trades_between(SEED, at, start, start + 600)
    assert together is not None
    for minute in range(start, start + 600, 7):
        alone = trades.trades_between(SEED, at, minute, minute + 1)
        assert alone is not None
        row = alone.first_id - together.first_id
        same_rows = together.part(row, row + len(alone))
        assert np.array_equal(alone.lots, same_rows.lots)
        assert np.array_equal(alone.price, same_rows.price)
        assert np.array_equal(alone.at_us, same_rows.at_us)


def test_another_seed_is_another_market() -> None:
    """The seed is what makes two markets the same."""
    other = Market(SEED + 1, 20.0)
    at = listing("BTCUSDT")
    assert MARKET.last(at, NOW_US).price != other.last(other.listings["BTCUSDT"], NOW_US).price


def test_watched_pairs_reach_the_wanted_intensity() -> None:
    """The ten watched pairs together trade about as often as the setting says."""
    market = Market(SEED, 1000.0)
    ten = list(market.listings.values())[:10]
    hour_us = 3_600_000_000
    count = sum(
        market.trade_count(each, NOW_US) - market.trade_count(each, NOW_US - hour_us)
        for each in ten
    )
    assert count / 3600 == pytest.approx(1000, rel=0.02)
    assert [each.symbol for each in ten][:2] == ["BTCUSDT", "ETHUSDT"]


def test_several_trades_share_a_millisecond() -> None:
    """Time never identifies a trade: at busy times many come in one ms."""
    run = MARKET.trades(listing("BTCUSDT"), 1_000_000, 1_001_000)
    assert run is not None
    assert len(np.unique(run.at_us // 1000)) < 800


def test_the_catalogue_is_as_wide_as_promised() -> None:
    """At least 400 symbols, 300 in USDT, with halted and delisted ones and a name in Han."""
    listed = MARKET.listed(NOW_US)
    statuses = [each.status(NOW_US // MINUTE_US) for each in listed]
    assert len(listed) >= 400
    assert sum(each.quote.name == "USDT" for each in listed) >= 300
    assert {each.quote.name for each in listed} >= {"USDT", "BTC", "ETH", "USDC", "EUR", "TRY"}
    assert statuses.count("BREAK") >= 10
    assert statuses.count("HALT") >= 1
    assert any(not each.symbol.isascii() for each in listed)
    assert len({each.symbol for each in listed}) == len(listed)
    week_ago = NOW_US // MINUTE_US - 12 * DAY
    assert any(each.listed > week_ago for each in listed)


def test_a_month_of_any_symbol_fits_64_bits() -> None:
    """Prices and sizes are exact in 8 decimals, and the largest sum does not overflow."""
    for each in catalogue(SEED, MAX_TRADES_PER_SECOND).values():
        assert each.price_decimals + each.lot_decimals <= 8, each
        mean_trade = 1.1 * each.mean_lots + 1
        highest = (1 + each.base.swing) * each.base_price * 10.0**each.price_decimals + 1
        assert each.trades_per_minute * 31 * DAY * mean_trade * highest < 2**63, each


def test_no_kline_stands_before_the_listing_or_after_the_end() -> None:
    """A young symbol begins with its listing, a delisted one ends with a cut close time."""
    young = next(each for each in reversed(MARKET.listed(NOW_US)))
    first = klines(MARKET, young, Query(INTERVALS["1m"], 5, start_us=0), NOW_US)
    assert first is not None
    assert first.opened_us[0] == young.listed * MINUTE_US
    assert first.candles.trades[0] >= 1
    dead = listing("BCCUSDT")
    last = klines(MARKET, dead, Query(INTERVALS["1d"], 2), NOW_US)
    assert last is not None
    assert last.closed_us[-1] == dead.closed * MINUTE_US - 1
    assert last.closed_us[-1] < (opening(INTERVALS["1d"], dead.closed) + DAY) * MINUTE_US - 1


def test_a_quiet_minute_is_flat_at_the_last_price() -> None:
    """A minute without trades repeats the close before it, with volume 0."""
    quiet = min(MARKET.listed(NOW_US), key=lambda each: each.trades_per_minute)
    end = NOW_US // MINUTE_US
    minutes = MARKET.minutes(quiet, end - 600, end, NOW_US)
    empty = np.flatnonzero(minutes.trades[1:] == 0) + 1
    assert len(empty) > 0
    for column in (minutes.open, minutes.high, minutes.low, minutes.close):
        assert np.array_equal(column[empty], minutes.close[empty - 1])
    assert minutes.lots[empty].sum() == 0


def opened(query: Query, symbol: str = "BTCUSDT") -> list[int]:
    """Opening minutes of the klines that a query gives."""
    found = klines(MARKET, listing(symbol), query, NOW_US)
    return [] if found is None else (found.opened_us // MINUTE_US).tolist()


def test_start_gives_the_oldest_end_the_newest_and_neither_the_latest() -> None:
    """As on the exchange: what `limit` cuts away depends on which ends are given."""
    minute, now = INTERVALS["1m"], NOW_US // MINUTE_US
    start_us, end_us = (now - 100) * MINUTE_US, (now - 50) * MINUTE_US
    assert opened(Query(minute, 3)) == [now - 2, now - 1, now]
    assert opened(Query(minute, 3, start_us=start_us)) == [now - 100, now - 99, now - 98]
    assert opened(Query(minute, 3, end_us=end_us)) == [now - 52, now - 51, now - 50]
    assert opened(Query(minute, 3, start_us=start_us, end_us=end_us))[0] == now - 100
    assert len(opened(Query(minute, 1000, start_us=start_us, end_us=end_us))) == 51
    assert opened(Query(minute, 5, start_us=start_us + 1))[0] == now - 99
    assert opened(Query(minute, 5, start_us=end_us, end_us=start_us)) == []
    assert opened(Query(minute, 5, start_us=NOW_US + 1)) == []


def test_months_open_on_their_first_day_and_weeks_on_mondays() -> None:
    """The uneven intervals keep to the calendar."""
    for start in opened(Query(INTERVALS["1M"], 20)):
        assert datetime.fromtimestamp(start * 60, UTC).day == 1
    for start in opened(Query(INTERVALS["1w"], 20)):
        assert datetime.fromtimestamp(start * 60, UTC).weekday() == 0
