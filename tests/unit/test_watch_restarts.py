"""Restarts: at once, then ever more slowly, never in a storm."""

from __future__ import annotations

from watch.restarts import Backoff


def backoff() -> Backoff:
    return Backoff(first_s=2, limit_s=60, forget_after_s=120)


def restarts_of_a_task_that_stays_failed(seconds: int) -> list[int]:
    """Seconds at which a task that is looked at each second is restarted."""
    policy, done = backoff(), []
    for now in range(seconds):
        if policy.due("task", now):
            policy.restarted("task", now)
            done.append(now)
    return done


def test_first_failure_is_restarted_at_once_and_waits_double() -> None:
    """0, then 2, 4, 8 … seconds between restarts, 60 at most."""
    assert restarts_of_a_task_that_stays_failed(250) == [0, 2, 6, 14, 30, 62, 122, 182, 242]


def test_lasting_failure_costs_one_restart_a_minute() -> None:
    """A wrong password over a day makes no storm."""
    assert len(restarts_of_a_task_that_stays_failed(24 * 3600)) <= 24 * 60 + 10


def test_task_that_ran_long_is_restarted_at_once_again() -> None:
    """Two good minutes forget the past; less do not."""
    policy = backoff()
    for now in (0, 2, 6):
        policy.restarted("task", now)
    policy.well("task", 20)
    policy.well("task", 139)
    assert policy.wait_s("task") == 8
    policy.well("task", 140)
    assert policy.due("task", 141)
    assert policy.restarted("task", 141) == 1


def test_failure_between_good_moments_starts_the_good_time_anew() -> None:
    """Being well counts only without a break."""
    policy = backoff()
    policy.restarted("task", 0)
    policy.well("task", 10)
    policy.due("task", 100)
    policy.well("task", 131)
    assert policy.wait_s("task") == 2


def test_keys_do_not_touch_each_other() -> None:
    """The stuck connector's memory is not the failed task's."""
    policy = backoff()
    policy.restarted("task", 0)
    assert not policy.due("task", 1)
    assert policy.due("stuck", 1)
