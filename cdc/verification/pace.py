"""Work for a share of the time, so that whoever shares the machine hardly notices."""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_WORK_S = 0.05  # shorter turns would cost more in switching than they spare
MAX_REST_S = 20.0


class Pace:
    """`share` 1: never rest. Else work for so large a share of the time: 0.2 rests 4 s after 1."""

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest_of_work = 1 / share - 1
        self._clock = clock
        self._sleep = sleep
        self._since = clock()

    def rest(self) -> None:
        """Call it often between pieces of work; it rests when enough was done."""
        worked = self._clock() - self._since
        if worked < MIN_WORK_S or self._rest_of_work <= 0:
            return
        self._sleep(min(worked * self._rest_of_work, MAX_REST_S))
        self._since = self._clock()
