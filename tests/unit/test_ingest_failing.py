"""Which polls count as failing."""

from __future__ import annotations

import pytest

from ingest.failing import Failing
from ingest.schedule import Poll

DEPTH = Poll(endpoint="depth", every_s=5, weight=5, symbol="BTCUSDT")
OTHER_DEPTH = Poll(endpoint="depth", every_s=5, weight=5, symbol="ETHUSDT")
PRICES = Poll(endpoint="ticker/price", every_s=5, weight=4)


@pytest.fixture
def failing() -> Failing:
    return Failing()


def test_a_hiccup_does_not_count(failing: Failing) -> None:
    """One failure, then an answer, again and again: never two in a row."""
    for _ in range(3):
        failing.failed(DEPTH)
        assert failing.count("depth") == 0
        failing.over(DEPTH)


def test_a_poll_counts_once_from_its_second_failure_until_it_succeeds(failing: Failing) -> None:
    """However long it fails, it is one poll."""
    counts = []
    for _ in range(4):
        failing.failed(DEPTH)
        counts.append(failing.count("depth"))
    failing.over(DEPTH)
    assert [*counts, failing.count("depth")] == [0, 1, 1, 1, 0]


def test_polls_count_apart_and_by_endpoint(failing: Failing) -> None:
    """One that recovers leaves the others failing."""
    for poll in (DEPTH, OTHER_DEPTH, PRICES) * 2:
        failing.failed(poll)
    assert (failing.count("depth"), failing.count("ticker/price")) == (2, 1)
    failing.over(DEPTH)
    assert (failing.count("depth"), failing.count("ticker/price")) == (1, 1)


def test_only_the_first_failure_in_a_row_begins(failing: Failing) -> None:
    """The log has one line for each outage."""
    assert [failing.failed(DEPTH) for _ in range(3)] == [True, False, False]
    failing.over(DEPTH)
    assert failing.failed(DEPTH)


def test_a_poll_that_never_failed_may_be_over(failing: Failing) -> None:
    """Each success says so, whatever came before."""
    failing.over(DEPTH)
    assert failing.count("depth") == 0
