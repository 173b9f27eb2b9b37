"""The watch's own life: what its last looks told is told, although it ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.shutdown import Shutdown
from watch import service
from watch.alarms import Transition
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
