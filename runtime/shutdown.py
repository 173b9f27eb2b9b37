"""A clean end: SIGTERM and SIGINT set one flag that loops look at."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import structlog

log = structlog.get_logger(__name__)


class Shutdown:
    """The flag. Threads wait on it instead of sleeping, so that an end is immediate."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> Shutdown:
        """Ask for a clean end on SIGTERM and SIGINT (main thread only)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("ending cleanly", signal=signal.Signals(number).name)
        self.request()

    def request(self) -> None:
        """Ask for the end."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to timeout_s; True as soon as the end is asked for."""
        return self._event.wait(timeout_s)
