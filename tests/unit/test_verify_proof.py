"""How far a table is proved: over contiguous hours only, back where a difference is found."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cdc.routes import routes_of
from cdc.verification.proof import LATE, NOTHING, Pass, Proof, ms_of, proved
from cdc.verification.retention import not_droppable
from cdc.verification.span import END, FIRST, Span

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    at: datetime = NOON + timedelta(minutes=30),
    first_bad: datetime | None = None,
) -> Pass:
    return Pass(
        fence_at=at,
        span=Span(FIRST if since is None else ms_of(since), END if until is None else ms_of(until)),
        hourly=True,
        differences=0 if first_bad is None else 1,
        first_bad_ms=None if first_bad is None else ms_of(first_bad),
    )


def test_a_pass_over_everything_proves_the_hours_that_are_over() -> None:
    assert proved(NOTHING, hourly()) == Proof(
        through=NOON, at=NOON + timedelta(minutes=30), full_pass_at=NOON + timedelta(minutes=30)
    )


def test_an_hour_counts_once_its_last_rows_had_time_to_come() -> None:
    assert proved(NOTHING, hourly(at=NOON + LATE - timedelta(seconds=1))).through == NOON - HOUR
    assert proved(NOTHING, hourly(at=NOON + LATE)).through == NOON


def test_a_pass_that_begins_behind_the_proof_leaves_a_hole_and_proves_nothing() -> None:
    known = Proof(through=NOON - 3 * HOUR)
    assert proved(known, hourly(NOON - 2 * HOUR)).through == known.through
    assert proved(known, hourly(NOON - 3 * HOUR)).through == NOON
    assert proved(NOTHING, hourly(NOON - 3 * HOUR)).through is None


def test_a_pass_over_a_part_proves_up_to_its_end() -> None:
    known = Proof(through=NOON - 5 * HOUR)
    found = proved(known, hourly(NOON - 6 * HOUR, NOON - 2 * HOUR))
    assert (found.through, found.full_pass_at) == (NOON - 2 * HOUR, None)


def test_a_difference_stops_the_proof_at_its_hour() -> None:
    found = proved(NOTHING, hourly(first_bad=NOON - 2 * HOUR + timedelta(minutes=7)))
    assert (found.through, found.differences) == (NOON - 2 * HOUR, 1)


def test_a_difference_before_the_proof_takes_it_back() -> None:
    """Also where the pass itself proves nothing."""
    known = Proof(through=NOON)
    bad = NOON - 20 * HOUR + timedelta(minutes=59)
    assert proved(known, hourly(first_bad=bad)).through == NOON - 20 * HOUR
    assert proved(known, hourly(NOON - 24 * HOUR, NOON, first_bad=bad)).through == NOON - 20 * HOUR


def test_tables_without_hours_are_proved_as_of_the_fence() -> None:
    clean = Pass(fence_at=NOON, span=Span(), hourly=False, differences=0)
    assert proved(NOTHING, clean) == Proof(through=NOON, at=NOON, full_pass_at=NOON)
    bad = Pass(fence_at=NOON + HOUR, span=Span(), hourly=False, differences=2)
    later = proved(proved(NOTHING, clean), bad)
    assert (later.through, later.at, later.differences) == (NOON, NOON + HOUR, 2)


def test_a_long_pass_that_was_overtaken_takes_back_but_advances_nothing() -> None:
    """A later fence found a difference in an hour that the long pass had found equal before."""
    long_ago = NOON - 4 * HOUR
    known = Proof(through=NOON - 9 * HOUR, at=NOON, differences=3)
    overtaken = proved(known, hourly(at=long_ago))
    assert (overtaken.through, overtaken.at, overtaken.differences) == (known.through, NOON, 3)
    bad = proved(known, hourly(at=long_ago, first_bad=NOON - 20 * HOUR))
    assert (bad.through, bad.differences) == (NOON - 20 * HOUR, 3)


def test_what_differs_is_forgotten_only_by_a_pass_that_looked_there() -> None:
    known = Proof(through=NOON - 9 * HOUR, at=NOON - HOUR, differences=3)
    assert proved(known, hourly(NOON - 2 * HOUR)).differences == 3
    assert proved(known, hourly(None, NOON - 10 * HOUR)).differences == 3
    assert proved(known, hourly(NOON - 9 * HOUR)).differences == 0
    assert proved(known, hourly()).differences == 0


PASSES = st.lists(
    st.tuples(st.integers(-1, 30), st.integers(1, 30), st.integers(-1, 30)), max_size=12
)


@given(PASSES)
def test_every_hour_before_the_proof_was_equal_when_last_looked_at(
    passes: list[tuple[int, int, int]],
) -> None:
    """Against a record of each hour: passes of any range in any order, differences anywhere."""
    start, known, state = NOON - 30 * HOUR, NOTHING, dict.fromkeys(range(30), "unknown")
    for since, width, bad in passes:
        first = max(since, 0)
        last = min(first + width, 30)
        found_bad = bad if first <= bad < last else None
        for hour in range(first, last):
            if found_bad is None or hour < found_bad:
                state[hour] = "equal"
            elif hour == found_bad:
                state[hour] = "bad"  # hours after it may have been equal: nothing is claimed
        known = proved(
            known,
            hourly(
                None if since < 0 else start + first * HOUR,
                start + last * HOUR,
                first_bad=None if found_bad is None else start + found_bad * HOUR,
            ),
        )
        through = 0 if known.through is None else (known.through - start) // HOUR
        assert all(state[hour] == "equal" for hour in range(through)), (through, state)


DAY = date(2026, 1, 14)


def test_a_day_is_dropped_only_when_every_table_it_feeds_is_proved_through_it() -> None:
    tables = [each.table for each in routes_of("trades")]
    proofs = dict.fromkeys(tables, Proof(through=datetime(2026, 1, 15, tzinfo=UTC)))
    assert not_droppable(proofs, "trades", DAY) is None
    late = proofs | {"large_trades_by_day": Proof(through=datetime(2026, 1, 14, 23, tzinfo=UTC))}
    assert "large_trades_by_day is proved through 2026-01-14 23:00" in str(
        not_droppable(late, "trades", DAY)
    )
    bad = proofs | {"trades_by_hour": Proof(through=NOON, differences=2)}
    assert "2 rows that differ" in str(not_droppable(bad, "trades", DAY))
    assert "through nothing" in str(not_droppable({}, "trades", DAY))


def test_what_goes_nowhere_needs_no_proof_and_what_is_unknown_is_never_dropped() -> None:
    assert not_droppable({}, "outbox", DAY) is None
    assert not_droppable({}, "nosuch", DAY) is not None
