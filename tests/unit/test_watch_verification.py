"""When the watch verifies, and what it says about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cdc.verification.proof import Proof
from watch.verification import Schedule, complaint_of, left_of

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def schedule(period_s: float = 3600) -> Schedule:
    return Schedule(period_s=period_s, full_period_s=86400, settle_s=30)


def known(made: Schedule, at: datetime = NOW) -> Schedule:
    """A schedule whose passes over everything are young."""
    made.remember({"prices_by_day": Proof(full_pass_at=at)})
    return made


def test_nothing_is_verified_before_the_connector_reads_for_a_while() -> None:
    made = schedule()
    assert made.due(NOW) is None
    made.reads(4711, NOW)
    assert made.due(NOW + 29 * SECOND) is None
    assert made.due(NOW + 30 * SECOND) == "full"


def test_a_restart_is_followed_by_a_pass_from_where_tables_are_proved_on() -> None:
    made = known(schedule())
    made.reads(1, NOW)
    assert made.due(NOW + 30 * SECOND) == "incremental"  # the watch itself was away
    made.started()
    made.ended(NOW + 40 * SECOND, well=True)
    made.reads(1, NOW + 60 * SECOND)
    assert made.due(NOW + 60 * SECOND) is None
    made.reads(None, NOW + 70 * SECOND)  # the connector is away
    made.reads(2, NOW + 80 * SECOND)
    assert made.due(NOW + 100 * SECOND) is None
    assert made.due(NOW + 110 * SECOND) == "incremental"


def test_a_restart_during_a_pass_is_followed_by_another() -> None:
    made = known(schedule())
    made.reads(1, NOW)
    made.started()
    made.reads(2, NOW + SECOND)
    made.ended(NOW + 40 * SECOND, well=True)
    assert made.due(NOW + 41 * SECOND) == "incremental"


def test_passes_come_on_schedule_and_now_and_then_over_everything() -> None:
    made = known(schedule())
    made.reads(1, NOW)
    made.started()
    made.ended(NOW, well=True)
    assert made.due(NOW + 3599 * SECOND) is None
    assert made.due(NOW + 3600 * SECOND) == "incremental"
    assert made.due(NOW + 86400 * SECOND) == "full"


def test_a_table_that_was_never_compared_whole_asks_for_everything() -> None:
    made = schedule()
    made.remember({"a": Proof(full_pass_at=NOW), "b": Proof()})
    made.reads(1, NOW)
    assert made.due(NOW + 30 * SECOND) == "full"


def test_a_pass_that_cannot_be_made_is_tried_again_after_a_minute() -> None:
    made = known(schedule())
    made.reads(1, NOW)
    made.started()
    assert made.ended(NOW, well=False) == 1
    assert made.due(NOW + 59 * SECOND) is None
    assert made.due(NOW + 60 * SECOND) == "incremental"
    assert made.ended(NOW + 70 * SECOND, well=False) == 2
    assert made.ended(NOW + 200 * SECOND, well=True) == 0


def test_a_period_of_zero_means_never() -> None:
    made = schedule(period_s=0)
    made.reads(1, NOW)
    assert made.due(NOW + timedelta(days=30)) is None


def _table(name: str, **counts: int) -> dict[str, object]:
    zero = dict.fromkeys(("missing", "extra", "different", "unsettled", "healed"), 0)
    row: dict[str, object] = {"table": name, **zero, **counts}
    return row | {"clean": left_of(row) == 0}


def test_the_complaint_names_tables_and_counts_what_is_not_healed() -> None:
    tables = [
        _table("prices_by_day"),
        _table("trades_by_hour", missing=3, unsettled=1, healed=2),
        _table("klines", different=2, healed=2),
    ]
    assert complaint_of({"tables": tables}) == (
        "Cassandra differs from PostgreSQL in 2 rows of trades_by_hour; "
        "`tidemark verify trades_by_hour --repair` heals it"
    )
    assert complaint_of({"tables": tables[:1]}) is None
