"""When a failed thing may be restarted: at once, then ever more slowly. Pure.

A task that fails for a lasting reason (a password, a lost slot) would otherwise be restarted in
a storm, each time with a new connection and a new trace in the logs.
"""

from __future__ import annotations

from typing import Final


class Backoff:
    """Waits of first_s, 2 first_s, 4 first_s … at most limit_s between restarts of one key.

    A key that has been well for `forget_after_s` starts anew. Times are seconds of one clock.
    """

    def __init__(self, first_s: float, limit_s: float, forget_after_s: float) -> None:
        self._first_s: Final = first_s
        self._limit_s: Final = limit_s
        self._forget_after_s: Final = forget_after_s
        self._restarts: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._well_since: dict[str, float] = {}

    def due(self, key: str, now: float) -> bool:
        """Whether the key, which is failed now, may be restarted now."""
        self._well_since.pop(key, None)
        return key not in self._last or now - self._last[key] >= self.wait_s(key)

    def wait_s(self, key: str) -> float:
        """Seconds that must lie between the last restart of the key and the next."""
        restarts = self._restarts.get(key, 0)
        if restarts == 0:
            return 0
        return min(self._first_s * 2.0 ** min(restarts - 1, 30), self._limit_s)

    def restarted(self, key: str, now: float) -> int:
        """Note a restart; returns how many there were since the key was last well for long."""
        self._restarts[key] = self._restarts.get(key, 0) + 1
        self._last[key] = now
        return self._restarts[key]

    def well(self, key: str, now: float) -> None:
        """Note that the key is well."""
        since = self._well_since.setdefault(key, now)
        if now - since >= self._forget_after_s:
            self._restarts.pop(key, None)
            self._last.pop(key, None)
