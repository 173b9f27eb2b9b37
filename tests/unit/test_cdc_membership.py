"""A member gives up only where Kafka answers and its group does not know it."""

from __future__ import annotations

import time

import pytest

from cdc.dead_letters.filing import Filing
from cdc.errors import Adrift
from cdc.membership import Membership
from cdc.settings import CdcSettings
from tests.conftest import free_ports

US = "tidemark-sink-1"


@pytest.fixture
def settings() -> CdcSettings:
    """Of a Kafka that is not there; a group has 18 s to take a member in."""
    (port,) = free_ports(1)
    return CdcSettings(kafka_bootstrap=f"127.0.0.1:{port}", session_timeout_ms=6000)


@pytest.fixture
def membership(settings: CdcSettings) -> Membership:
    return Membership(settings, settings.sink_group, lambda: US)


class Clock:
    """The clock, which a test may put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead_s, now = 0.0, time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + self._ahead_s)

    def passes(self, seconds: float) -> None:
        self._ahead_s += seconds


def test_only_a_group_that_answers_can_have_forgotten_us(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client that asks is a real one while Kafka is away; then its answers are given."""
    clock = Clock(monkeypatch)
    membership.ended()
    clock.passes(18.1)
    membership.check()  # Kafka is away
    monkeypatch.setattr(membership, "members", lambda: {"another", US})
    clock.passes(18.1)
    membership.check()  # a member, though nothing is there for it
    monkeypatch.setattr(membership, "members", lambda: {"another"})
    clock.passes(17.9)
    membership.check()  # it may be joining
    clock.passes(0.2)
    with pytest.raises(Adrift, match="begins anew"):
        membership.check()


def test_who_has_partitions_is_not_asked_for(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(membership, "members", set[str])
    membership.began()
    clock.passes(1000)
    membership.check()
    membership.ended()
    membership.check()
    clock.passes(18.1)
    with pytest.raises(Adrift):
        membership.check()


def test_who_files_dead_letters_says_that_its_group_forgot_it(
    settings: CdcSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real consumer that never gets a partition; the thread ends, and the sink is to hear it."""
    monkeypatch.setattr(Membership, "members", lambda _: set[str]())
    filing = Filing(settings.model_copy(update={"session_timeout_ms": 100}), lambda: None)
    filing.check()
    filing._thread.join(20)
    assert not filing._thread.is_alive()
    with pytest.raises(Adrift, match=f"{settings.sink_group}-dead-letters"):
        filing.check()
