"""At most so many in so many seconds, in any window of that length. Pure, with given times."""

from __future__ import annotations

from collections import deque


class Pace:
    """A sliding window. Its times may never go back."""

    def __init__(self, count: int, per_s: float) -> None:
        self._taken: deque[float] = deque(maxlen=count)
        self._count = count
        self._per_s = per_s

    def free_at_s(self, now_s: float) -> float:
        """When the next one may be; now_s where that is at once."""
        if len(self._taken) < self._count:
            return now_s
        return max(now_s, self._taken[0] + self._per_s)

    def take(self, now_s: float) -> None:
        """Note one."""
        self._taken.append(now_s)
