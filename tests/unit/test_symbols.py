"""Which symbols are watched, how many the limits carry, and what a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Instrument, Rejected
from ingest import capacity, schedule
from ingest.binance.allotment import CONNECTIONS_LIMIT
from ingest.binance.exchange_info import ExchangeInfo
from ingest.capacity import SLOWEST_S, Fallback
from ingest.catalogue import Catalogue, Changes
from ingest.errors import ScheduleTooHeavy
from ingest.listings import Listings
from ingest.owed import WINDOW_S, OwedPolls
from ingest.schedule import Poll, Schedule
from ingest.selection import Selection, Watchlist, leaders
from ingest.settings import IngestSettings
from ingest.tape import Tape
from runtime.settings import SettingsError
from tests import market_rows

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)


def instrument(symbol: str, **changes: Any) -> Instrument:
    return market_rows.instrument(symbol, **{"as_of": NOW, **changes})


def info(at: datetime, *instruments: Instrument, broken: int = 0) -> ExchangeInfo:
    rejected = [Rejected(source="v", endpoint="e", reason="r", raw=b"")] * broken
    listed = [market_rows.instrument(one.symbol, **_fields(one, at)) for one in instruments]
    return ExchangeInfo(server_time=at, weight_limit=6000, instruments=listed, rejected=rejected)


def _fields(one: Instrument, at: datetime) -> dict[str, Any]:
    names = ("base_asset", "quote_asset", "status", "tick_size")
    return {**{name: getattr(one, name) for name in names}, "as_of": at}


# what is chosen


def test_names_and_patterns_choose_what_is_listed() -> None:
    """The named first, each symbol once; what is delisted or unknown is not watched."""
    known = [instrument(each) for each in ("ETHUSDT", "BTCUSDT", "BTCEUR", "ADAUSDT")]
    known += [instrument("GONEUSDT", status="DELISTED"), instrument("HALTUSDT", status="HALT")]
    catalogue, selection = (
        Catalogue("v", known),
        Selection(("BTCUSDT", "GONEUSDT", "*USDT", "B?CEUR")),
    )
    chosen = selection.choose(catalogue, {}, ())
    assert chosen[0] == "BTCUSDT"
    assert sorted(chosen[1:]) == ["ADAUSDT", "BTCEUR", "ETHUSDT"]
    halted_while_watched = selection.choose(catalogue, {}, (*chosen, "HALTUSDT", "GONEUSDT"))
    assert sorted(halted_while_watched[1:]) == ["ADAUSDT", "BTCEUR", "ETHUSDT", "HALTUSDT"]
    assert Selection(("HALTUSDT",)).choose(catalogue, {}, ()) == ("HALTUSDT",)


def test_the_most_traded_of_a_pattern_are_chosen_beside_the_named() -> None:
    """By turnover in dollars; a halted symbol has no place."""
    turnover = {"AUSDT": Decimal(5), "BUSDT": Decimal(9), "CUSDT": Decimal(7), "HUSDT": Decimal(99)}
    known = [instrument(each) for each in ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "XEUR")]
    known.append(instrument("HUSDT", status="HALT"))
    selection = Selection(("XEUR", "*USDT"), top=2)
    assert selection.choose(Catalogue("v", known), turnover, ()) == ("XEUR", "BUSDT", "CUSDT")
    assert len(selection.foreseen()) == 3
    assert selection.changes
    assert not Selection(("XEUR",)).changes


def test_a_symbol_at_the_border_stays_on_its_side() -> None:
    """Ten places: who is in stays down to rank 12, who is out comes in from rank 8 up."""
    names = [f"S{number:02}" for number in range(20)]
    inside = leaders(names, [], 10)
    assert inside == names[:10]
    for rank in (11, 12, 9, 10, 12):
        ranked = [name for name in names if name != "S09"]
        ranked.insert(rank - 1, "S09")
        assert sorted(leaders(ranked, inside, 10)) == sorted(inside)
    fallen = [*names[:9], *names[10:13], "S09", *names[13:]]
    assert sorted(leaders(fallen, inside, 10)) == sorted([*names[:9], "S10"])
    risen = [*names[:7], "S15", *names[7:15], *names[16:]]
    assert set(leaders(risen, inside, 10)) == {*names[:9], "S15"}


@given(st.permutations(range(15)), st.sets(st.integers(0, 20)), st.integers(1, 12))
def test_all_places_are_held_by_the_best_that_may(
    ranked: Sequence[int], members: set[int], top: int
) -> None:
    """Never too many, never a place left; far above the border in, far below it out."""
    names = [str(each) for each in ranked]
    inside = [str(each) for each in members]
    chosen = leaders(names, inside, top)
    margin = max(1, top // 5)
    assert len(chosen) == len(set(chosen)) == min(top, len(names))
    assert set(names[: max(top - margin, 0)]) <= set(chosen)
    assert not set(names[top + margin :]) & set(chosen)
    assert leaders(names, chosen, top) == chosen, "nothing moves while the ranking stands"


def test_a_list_of_what_is_watched_changes_for_all_who_look() -> None:
    watched = Watchlist(["A"])
    assert ("A" in watched, "B" in watched, len(watched)) == (True, False, 1)
    watched.replace(("B", "C"))
    assert ("A" in watched, list(watched)) == (False, ["B", "C"])


@pytest.mark.parametrize("wanted", ["BTCUSDT", ""])
def test_a_ranking_needs_a_pattern(wanted: str) -> None:
    with pytest.raises(SettingsError, match="TIDEMARK_SYMBOLS"):
        IngestSettings(symbols=wanted, symbols_top=5)


# what the limits carry


def names(count: int) -> list[str]:
    return [f"S{number}USDT" for number in range(count)]


def test_without_streams_symbols_are_refused_or_left_out_by_their_weight() -> None:
    """The default schedule: 4,064 of 4,800 for ten; each costs 372."""
    settings = IngestSettings()
    assert capacity.check(settings, names(10), 6000) == 1
    with pytest.raises(ScheduleTooHeavy, match="trades: 12 × weight 25"):
        capacity.check(settings, names(12), 6000)
    assert capacity.carried(settings, names(40), 6000) == tuple(names(11))
    assert capacity.carried(settings, names(5), 6000) == tuple(names(5))
    assert capacity.carried(settings, names(5), 100) == ()


def test_with_streams_polls_that_only_stand_in_are_slower_instead() -> None:
    """Hundreds of symbols fit: their polls share what the whole market's leave over."""
    settings = IngestSettings(streams="on")
    slower = capacity.check(settings, names(200), 6000)
    polls = schedule.plan(settings, names(200))
    fixed = sum(schedule.weight_per_minute([each for each in polls if not each.symbol]).values())
    ours = sum(schedule.weight_per_minute([each for each in polls if each.symbol]).values())
    assert fixed + ours / slower == pytest.approx(4800)
    assert capacity.check(settings, names(10), 6000) == 1


def test_a_fallback_that_is_no_fallback_any_more_is_refused() -> None:
    """None is slower than ten minutes, none needs more connections than there may be."""
    settings = IngestSettings(streams="on", klines_every_s=60)
    with pytest.raises(ScheduleTooHeavy, match="weight a minute"):
        capacity.check(settings, names(2000), 6000)
    most = len(capacity.carried(settings, names(2000), 6000))
    slower = capacity.check(settings, names(most), 6000)
    assert 0.9 * SLOWEST_S < 60 * slower <= SLOWEST_S
    narrow = IngestSettings(streams="on", streams_a_connection=4)
    carried = capacity.carried(narrow, names(2000), 60_000)
    assert len(carried) == (CONNECTIONS_LIMIT * 4 - 1) // 4
    with pytest.raises(ScheduleTooHeavy, match="connections"):
        capacity.check(narrow, names(len(carried) + 1), 60_000)


def poll(symbol: str, endpoint: str = "trades", every_s: float = 10) -> Poll:
    return Poll(endpoint=endpoint, every_s=every_s, weight=25, symbol=symbol)


def test_slower_polls_begin_spread_and_keep_their_distance() -> None:
    """Forty polls of ten seconds, ten times slower: each once in a hundred, never a crowd."""
    polls, fallback = [poll(name) for name in names(40)], Fallback()
    fallback.follow(polls, 10.0, 0.0)
    made: list[tuple[int, Poll]] = []
    for now_s in range(0, 300, 10):
        for each in polls:
            if fallback.may(each, now_s):
                fallback.asked(each, now_s)
                made.append((now_s, each))
    by_time = [sum(at == now_s for at, _ in made) for now_s in range(0, 300, 10)]
    assert max(by_time) <= 4
    assert all(sum(each is one for _, one in made) in {2, 3} for each in polls)
    assert fallback.may(poll("other"), 0)


def test_what_hundreds_of_streams_owe_is_asked_for_in_portions() -> None:
    """At most the given weight in a minute; nothing is forgotten."""
    owed, polls = OwedPolls(), [poll(name) for name in names(100)]
    for each in polls:
        owed.owe(each)
    asked: list[Poll] = []
    for now_s in range(0, 500, 5):
        portion = owed.due(now_s, weight=1000)
        assert sum(each.weight for each in portion) <= 1000
        for each in portion:
            owed.asked(each, now_s)
            asked.append(each)
        if now_s == WINDOW_S - 5:
            assert len(asked) == 40
    assert asked == polls


def test_a_schedule_follows_other_polls_without_disturbing_those_that_stay() -> None:
    """What stays keeps its times, what comes is spread, what goes is due no more."""
    old, new = [poll(name) for name in names(4)], [poll(name) for name in names(8)[3:]]
    driven = Schedule(old, start_s=0)
    before = [(now_s, each) for now_s in range(10) for each in driven.due(now_s) if each is old[3]]
    driven.follow(new, 10)
    seen = [(now_s, each) for now_s in range(10, 20) for each in driven.due(now_s)]
    assert {each for _, each in seen} == set(new)
    assert [(at - 10, each) for at, each in seen if each == old[3]] == before
    assert max([at for at, _ in seen].count(at) for at in range(10, 20)) <= 2


# what a name stands for


def learned(catalogue: Catalogue, at: datetime, *instruments: Instrument) -> Changes:
    return catalogue.learn(info(at, *instruments))


def kinds(changes: Changes) -> list[tuple[str, str]]:
    return [(event.kind, event.symbol) for event in changes.events]


A, B, C = instrument("AUSDT"), instrument("BUSDT"), instrument("CUSDT", tick_size=Decimal(7))


def test_every_symbol_has_a_listing_and_only_one_while_nothing_changes() -> None:
    catalogue = Catalogue("v", [])
    first = learned(catalogue, NOW, A, B)
    assert [(one.symbol, one.listed_at, one.delisted_at) for one in first.listings] == [
        ("AUSDT", NOW, None), ("BUSDT", NOW, None),
    ]  # fmt: skip
    halted = instrument("AUSDT", status="HALT")
    assert learned(catalogue, NOW + HOUR, halted, B).listings == []
    assert first.anew == set()


def test_a_symbol_that_comes_back_begins_a_listing_where_the_old_one_was_last_traded() -> None:
    """It was gone for hours, and nobody traded it; its new trades may be older than our look."""
    catalogue, last = Catalogue("v", []), NOW + timedelta(minutes=55)
    learned(catalogue, NOW, A, B, C)
    gone = learned(catalogue, NOW + HOUR, B, C)
    assert [(one.symbol, one.delisted_at) for one in gone.listings] == [("AUSDT", NOW + HOUR)]
    other = instrument("AUSDT", base_asset="OTHER")
    back = catalogue.learn(info(NOW + 9 * HOUR, other, B, C), {"AUSDT": last}.get)
    assert [(one.base_asset, one.listed_at, one.delisted_at) for one in back.listings] == [
        ("A", NOW, last + MS), ("OTHER", last + MS, None),
    ]  # fmt: skip
    assert (kinds(back), back.anew) == ([("relisting", "AUSDT")], {"AUSDT"})
    assert catalogue.listings.anew_since("AUSDT") == NOW + 9 * HOUR
    assert catalogue.listings.anew_since("BUSDT") is None


def test_a_symbol_that_is_of_another_asset_overnight_is_told_apart() -> None:
    """We were away when it was delisted; the last sign of the old one is in the database."""
    known = [instrument("AUSDT", as_of=NOW - 90 * HOUR)]
    first = Catalogue("v", []).learn(info(NOW - 99 * HOUR, A)).listings
    catalogue = Catalogue("v", known, Listings(first))
    other = instrument("AUSDT", base_asset="OTHER")
    changes = catalogue.learn(info(NOW + HOUR, other), {"AUSDT": NOW}.get)
    assert [(one.base_asset, one.listed_at, one.delisted_at) for one in changes.listings] == [
        ("A", NOW - 99 * HOUR, NOW + MS), ("OTHER", NOW + MS, None),
    ]  # fmt: skip
    assert (kinds(changes), changes.anew) == ([("relisting", "AUSDT")], {"AUSDT"})


def test_listings_of_a_symbol_of_which_nothing_was_ever_seen_do_not_collide() -> None:
    """Without any sign the new one begins right after the old one did."""
    catalogue = Catalogue("v", [])
    learned(catalogue, NOW, A, B)
    learned(catalogue, NOW + HOUR, B)
    back = learned(catalogue, NOW + 2 * HOUR, A, B)
    assert [one.listed_at for one in back.listings] == [NOW, NOW + MS]


def test_what_the_database_holds_of_listings_is_taken_up() -> None:
    """After a restart nothing is listed anew that was not, and what was is known to be so."""
    catalogue = Catalogue("v", [])
    rows = [*learned(catalogue, NOW, A, B).listings, *learned(catalogue, NOW + HOUR, B).listings]
    rows += learned(catalogue, NOW + 2 * HOUR, A, B).listings
    again = Listings(rows)
    assert again.begun_anew() == {"AUSDT"}
    restarted = Catalogue("v", [A, B], again)
    assert learned(restarted, NOW + 3 * HOUR, A, B).listings == []


def test_a_symbol_that_goes_where_one_like_it_comes_was_probably_renamed() -> None:
    """The exchange does not say so; where more than one could be it, nothing is said."""
    catalogue = Catalogue("v", [A, B, C])
    renamed = learned(catalogue, NOW + HOUR, B, C, instrument("NEWUSDT"))
    assert ("rename", "NEWUSDT") in kinds(renamed)
    unlike = learned(Catalogue("v", [A, B, C]), NOW + HOUR, A, B, instrument("NEWUSDT"))
    assert kinds(unlike) == [("listing", "NEWUSDT"), ("delisting", "CUSDT")]
    two = learned(Catalogue("v", [A, B, C]), NOW, B, C, instrument("NUSDT"), instrument("MUSDT"))
    assert "rename" not in [kind for kind, _ in kinds(two)]


def trades(*ids: int) -> list[Any]:
    return [market_rows.trade(number, symbol="S") for number in ids]


def test_ids_that_begin_anew_with_a_listing_are_taken_and_no_hole_is_seen_between() -> None:
    """Those of the old asset stood far above; without the doubt all of the new would be old."""
    tape = Tape({"S": 5000})
    assert tape.fresh("S", trades(1, 2, 3)) == []
    tape.doubt(["S", "T"])
    fresh = tape.fresh("S", trades(1, 2, 3))
    assert [one.trade_id for one in fresh] == [1, 2, 3]
    assert tape.holes("S", fresh) == []
    tape.take("S", fresh)
    assert tape.fresh("S", trades(2, 3)) == []


def test_ids_that_go_on_after_a_listing_keep_their_holes() -> None:
    """The same asset came back, or was renamed: what is missing between is named."""
    tape = Tape({"S": 5000})
    tape.doubt(["S"])
    fresh = tape.fresh("S", trades(5003, 5004))
    assert tape.holes("S", fresh) == [range(5001, 5003)]
    tape.take("S", fresh)
    assert tape.fresh("S", trades(4)) == [], "the doubt is over"
