"""The watch's own life: what its last looks told is told, although it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.shutdown import Shutdown
from watch import service
from watch.alarms import Alarms, Transition
from watch.announcer import Announcer
from watch.errors import StoreUnavailable
from watch.settings import WatchSettings


class AwayOnce:
    """A store that does not answer the first time."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = 0

    def open_alarms(self) -> Sequence[Any]:
        return []

    def tell(self, transitions: Sequence[Transition]) -> None:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("it restarts")
        self.told += [each.alarm for each in transitions]


class Slow(AwayOnce):
    """A store that takes its time the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.wait: Callable[[], object] = lambda: None

    def tell(self, transitions: Sequence[Transition]) -> None:
        self.entered.set()
        self.wait()
        self.told += [each.alarm for each in transitions]


class LastLook:
    """A check that finds an alarm just as the end is asked for."""

    name, part, period_s = "last", None, 60.0

    def __init__(self, announcer: Any, shutdown: Shutdown) -> None:
        self._announcer, self._shutdown = announcer, shutdown

    def look(self, now: datetime) -> None:
        self._announcer.look("retention", "a day is overdue", now)
        self._shutdown.request()


def test_an_alarm_of_the_last_look_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store, shutdown = AwayOnce(), Shutdown()
    idle = SimpleNamespace(name="idle", part=None, period_s=60.0, look=lambda _now: None)
    monkeypatch.setattr(service, "Store", lambda _settings: store)
    monkeypatch.setattr(service, "ReplicationCheck", lambda *_, **__: idle)
    monkeypatch.setattr(
        service, "checks", lambda _settings, _store, told, _: [LastLook(told, shutdown)]
    )
    webhook: Any = SimpleNamespace(tell=lambda *_: None)
    service._watch(WatchSettings(), webhook, shutdown)
    assert store.told == ["retention"]


def test_no_check_waits_while_another_writes_its_alarm() -> None:
    """PostgreSQL may be slow just when there is much to tell of."""
    store: Any = Slow()
    frozen, written = threading.Event(), threading.Event()
    store.wait = frozen.wait
    announcer = Announcer(Alarms(), store)
    now = datetime.now(UTC)
    first = threading.Thread(target=announcer.look, args=("retention", "overdue", now))
    first.start()
    assert store.entered.wait(5)

    def tell() -> None:
        announcer.look("partitions", "none", now)
        written.set()

    threading.Thread(target=tell).start()
    assert written.wait(5)
    frozen.set()
    first.join(5)
    announcer.flush()
    assert store.told == ["retention", "partitions"]
