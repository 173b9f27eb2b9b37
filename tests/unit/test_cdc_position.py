"""The write timestamp: which of two changes wins, whatever order they arrive in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import Undecodable
from cdc.position import (
    MAX_LSN,
    MAX_RANK,
    PartitionOrder,
    Phase,
    event_timestamp,
    sequence_of,
    write_timestamp,
)
from contracts.change import Origin
from contracts.naming import MAX_GENERATION

lsns = st.integers(1, MAX_LSN // 8 - 1).map(lambda number: number * 8)
generations = st.integers(1, MAX_GENERATION)
places = st.tuples(generations, st.sampled_from([0, 1]), lsns, st.integers(0, MAX_RANK))


def streamed(lsn: int, previous: int | None = None, tx: int = 1) -> Origin:
    """A change from the WAL."""
    first = "null" if previous is None else f'"{previous}"'
    return Origin(
        table="t", ts_us=1, lsn=lsn, sequence=f'[{first},"{lsn}"]', tx_id=tx, snapshot="false"
    )


@given(places, places)
def test_order_is_generation_then_phase_then_position_then_rank(
    first: tuple[int, int, int, int], second: tuple[int, int, int, int]
) -> None:
    """The timestamp orders as the tuple does, and fits 63 bits."""
    stamps = [
        write_timestamp(generation, Phase(phase), lsn, rank)
        for generation, phase, lsn, rank in (first, second)
    ]
    assert (stamps[0] < stamps[1]) == (first < second)
    assert all(0 < stamp < 2**63 for stamp in stamps)


@given(generations, st.integers(0, 2**56 - 1), st.integers(0, 2**56 - 1))
def test_event_time_orders_inside_a_generation(generation: int, a: int, b: int) -> None:
    """latest_*: the market's own time decides."""
    assert (event_timestamp(generation, a) < event_timestamp(generation, b)) == (a < b)
    assert event_timestamp(generation, a) < (generation + 1) << 56


@pytest.mark.parametrize(
    ("generation", "lsn", "rank"), [(0, 8, 0), (127, 8, 0), (1, 7, 0), (1, MAX_LSN, 0), (1, 8, -1)]
)
def test_what_does_not_fit_is_refused(generation: int, lsn: int, rank: int) -> None:
    """A wrong bit would shadow rows for ever."""
    with pytest.raises(ValueError, match=r"generation|LSN|rank"):
        write_timestamp(generation, Phase.STREAM, lsn, rank)


def test_a_later_commit_with_lower_lsns_wins() -> None:
    """A transaction that was open while another committed is lifted to that commit."""
    order = PartitionOrder(1)
    early, _ = order.place(streamed(1000, previous=800, tx=2), b"k")
    late, _ = order.place(streamed(904, previous=1200, tx=1), b"k")
    assert late > early


def test_lifted_changes_of_one_key_are_ranked() -> None:
    """They share a position after the lift; the rank tells them apart, up to 511."""
    order = PartitionOrder(1)
    stamps = [order.place(streamed(8 * n, previous=8000), b"k")[0] for n in range(1, MAX_RANK + 1)]
    assert stamps == sorted(set(stamps))
    assert stamps[0] & 511 == 1
    assert order.oddities.rank_overflows == 0
    assert order.place(streamed(8 * MAX_RANK + 8, previous=8000), b"k")[0] == stamps[-1]
    assert order.take_oddities().rank_overflows == 1
    assert order.oddities.rank_overflows == 0


def test_changes_that_are_not_lifted_need_no_rank() -> None:
    """Their own LSNs tell them apart, however many they are, and nothing is held of them."""
    order = PartitionOrder(1)
    stamps = [order.place(streamed(8000 + 8 * n, previous=8000), b"k")[0] for n in range(1, 2000)]
    assert stamps == sorted(set(stamps))
    assert order.oddities.rank_overflows == 0
    assert order._lifted == {}


def test_a_change_that_begins_where_the_previous_commit_ends_comes_after_the_lifted() -> None:
    """A commit's LSN is its record's end: the next record may stand exactly there."""
    order = PartitionOrder(1)
    stamps = [order.place(streamed(lsn, previous=1200), b"k")[0] for lsn in (904, 912, 1200, 1208)]
    assert stamps == sorted(set(stamps))


def test_ranks_are_counted_by_key_and_begin_anew_with_a_transaction() -> None:
    """Another key, another transaction: rank 1."""
    order = PartitionOrder(1)
    changes = [(8, 80, b"a"), (16, 80, b"b"), (24, 80, b"a"), (32, 160, b"a")]
    ranks = [order.place(streamed(lsn, previous), key)[0] & 511 for lsn, previous, key in changes]
    assert ranks == [1, 1, 2, 1]


def test_a_reader_may_begin_where_a_newer_transaction_begins() -> None:
    """Not in the middle of one, and not where Connect sends an earlier one again."""
    order = PartitionOrder(1)
    changes = [(8, 80), (16, 80), (24, 88), (16, 80), (24, 88), (32, 88), (40, 96)]
    begins = [order.place(streamed(lsn, previous), b"k")[1] for lsn, previous in changes]
    assert begins == [True, False, True, False, False, False, True]


def test_transactions_before_the_first_commit_are_told_apart_by_their_id() -> None:
    """None of them knows a previous commit."""
    order = PartitionOrder(1)
    assert [order.place(streamed(lsn, tx=lsn), b"k")[1] for lsn in (8, 8, 16)] == [
        True,
        False,
        True,
    ]


def test_changes_that_are_sent_again_get_their_timestamps_again() -> None:
    """Connect restarted in the middle of a lifted transaction; then the rest of it follows."""
    order = PartitionOrder(1)
    changes = [streamed(lsn, previous=1200) for lsn in (800, 808, 816)]
    first = [order.place(each, b"k")[0] for each in changes]
    again = [order.place(each, b"k")[0] for each in (*changes, streamed(824, previous=1200))]
    assert again[:3] == first
    assert again[3] > first[2]


def test_a_second_worker_in_between_does_not_disturb_the_ranks() -> None:
    """Frozen, replaced and woken, it sends what the new one has sent long ago."""
    order = PartitionOrder(1)
    first = [order.place(streamed(lsn, previous=1200, tx=5), b"k")[0] for lsn in (800, 808)]
    old = order.place(streamed(640, previous=720, tx=4), b"k")
    assert old[0] < first[0]
    assert old[1] is False
    last = order.place(streamed(816, previous=1200, tx=5), b"k")[0]
    assert last > first[1]
    assert order.take_oddities().commits_backwards == 1


def test_reading_again_from_a_boundary_gives_the_same_timestamps() -> None:
    """A restarted sink writes exactly what it wrote."""
    events = [
        (streamed(8 * (n + 1), previous=80 * (n // 4) or None, tx=n // 4), bytes([n % 3]))
        for n in range(40)
    ]
    whole = [PartitionOrder.place(order, *each) for order in [PartitionOrder(3)] for each in events]
    for start in (4, 12, 36):
        assert whole[start][1]
        again = PartitionOrder(3)
        assert [again.place(*each)[0] for each in events[start:]] == [
            stamp for stamp, _ in whole[start:]
        ]


@pytest.mark.parametrize("flag", ["true", "first", "last", "first_in_data_collection"])
def test_the_stream_beats_the_initial_snapshot(flag: str) -> None:
    """Even with a lower LSN: such changes were open when the snapshot was taken."""
    order = PartitionOrder(1)
    row = Origin(table="t", ts_us=1, lsn=5000, sequence='[null,"5000"]', tx_id=9, snapshot=flag)
    snapshot, boundary = order.place(row, b"k")
    change, _ = order.place(streamed(4000), b"k")
    assert change > snapshot
    assert snapshot == write_timestamp(1, Phase.SNAPSHOT, 5000, 0)
    assert boundary


def test_rows_of_an_incremental_snapshot_take_their_place_in_the_stream() -> None:
    """They have no lsn and no transaction, but a sequence; a change at that position beats them."""
    order = PartitionOrder(1)
    row = Origin(table="t", ts_us=1, sequence='["4992","5000"]', snapshot="incremental")
    stamp, boundary = order.place(row, b"k")
    assert stamp == write_timestamp(1, Phase.STREAM, 5000, 0)
    assert boundary
    assert order.place(streamed(5000), b"k")[0] > stamp


def test_events_that_are_sent_again_are_counted() -> None:
    """Connect restarted: they know an earlier commit than what came before them."""
    order = PartitionOrder(1)
    for previous in (None, 80, 160, 80, 80, 160):
        order.place(streamed(240, previous=previous), b"k")
    assert order.take_oddities().commits_backwards == 2


UNSOUND = [
    Origin(table="t", ts_us=1),
    Origin(table="t", ts_us=1, lsn=12, sequence='[null,"12"]'),
    Origin(table="t", ts_us=1, lsn=-8),
    Origin(table="t", ts_us=1, lsn=8, sequence="junk"),
    Origin(table="t", ts_us=1, lsn=8, sequence='["a","b"]'),
    Origin(table="t", ts_us=1, lsn=8, sequence='["12","16"]'),
    Origin(table="t", ts_us=1, lsn=2**49),
]


@pytest.mark.parametrize("origin", UNSOUND)
def test_an_event_without_a_sound_position_is_undecodable(origin: Origin) -> None:
    """No LSN, one out of range, or one that is no multiple of 8."""
    with pytest.raises(Undecodable):
        sequence_of(origin)


@pytest.mark.parametrize("previous", ["8", None])
@pytest.mark.parametrize("origin", UNSOUND)
def test_an_order_that_knows_a_commit_refuses_it_too(origin: Origin, previous: str | None) -> None:
    """It reads the previous commit of a run of events once."""
    order = PartitionOrder(1)
    sequence = json.dumps([previous, "16"], separators=(",", ":"))
    order.place(Origin(table="t", ts_us=1, lsn=16, sequence=sequence, tx_id=1), b"k")
    with pytest.raises(Undecodable):
        order.place(origin, b"k")


def test_a_previous_commit_is_read_anew_where_it_changes() -> None:
    """Also where one begins as the other does, or its place is null."""
    order = PartitionOrder(1)
    for previous in ("80", "800", "8", None, "8000", None, "80"):
        sequence = json.dumps([previous, "16"], separators=(",", ":"))
        origin = Origin(table="t", ts_us=1, lsn=16, sequence=sequence, tx_id=1)
        assert order.place(origin, b"k")[0] >> 6 == PartitionOrder(1).place(origin, b"k")[0] >> 6
