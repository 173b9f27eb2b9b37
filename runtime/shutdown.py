"""A clean end: SIGTERM and SIGINT set one flag that loops look at, and the end comes in time."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)


class Shutdown:
    """The flag. Threads wait on it instead of sleeping, so that an end is immediate."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._within_s: float | None = None

    def install(self, within_s: float | None = None) -> Shutdown:
        """Ask for a clean end on SIGTERM and SIGINT (main thread only).

        `within_s`: so many seconds after the first one the process ends, whatever it waits for.
        """
        self._within_s = within_s
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("ending cleanly", signal=signal.Signals(number).name)
        if self._within_s is not None and not self.requested:
            threading.Thread(target=_end_after, args=(self._within_s,), daemon=True).start()
            # a library that holds the interpreter's lock holds that thread up, too
            signal.alarm(math.ceil(self._within_s) + 1)
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


def leave() -> NoReturn:
    """End the process now, well: all is done, and no thread of a library is waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_after(seconds: float) -> None:
    time.sleep(seconds)
    log.warning("ending with work under way", after_s=seconds)
    leave()
