"""Polls that are to be made at once, whatever the schedule says. Pure, with given times."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from ingest.schedule import Poll

ASK_AGAIN_S: Final = 1.0  # between two tries of one poll: a hole may be the exchange's own
WINDOW_S: Final = 60.0


class OwedPolls:
    """Which polls are owed, and which are under way."""

    def __init__(self) -> None:
        self._owed: dict[Poll, None] = {}  # in the order in which they became so
        self._under_way: set[Poll] = set()
        self._asked_s: dict[Poll, float] = {}
        self._spent: deque[tuple[float, int]] = deque()  # (when, weight) within WINDOW_S

    def __contains__(self, poll: Poll) -> bool:
        return poll in self._owed

    def owe(self, poll: Poll) -> None:
        """It is owed, also if it is under way: that one may have been answered too early."""
        self._owed[poll] = None

    def missed(self, poll: Poll) -> None:
        """Something is missing that it has; if it is under way, it is waited for."""
        if poll not in self._under_way:
            self._owed[poll] = None

    def forget(self, poll: Poll) -> None:
        """It is owed no more."""
        self._owed.pop(poll, None)

    def due(self, now_s: float, weight: float = math.inf) -> list[Poll]:
        """Those that are to be tried now; one is tried each ASK_AGAIN_S, until it is asked.

        At most `weight` in any WINDOW_S: when hundreds of streams begin at once, the schedule
        goes on beside what they owe. The rest stays owed.
        """
        while self._spent and self._spent[0][0] <= now_s - WINDOW_S:
            self._spent.popleft()
        room = weight - sum(spent for _, spent in self._spent)
        due = []
        for poll in self._owed:
            if poll.weight > room:
                break
            if now_s - self._asked_s.get(poll, -ASK_AGAIN_S) >= ASK_AGAIN_S:
                due.append(poll)
                room -= poll.weight
                self._spent.append((now_s, poll.weight))
        self._asked_s.update(dict.fromkeys(due, now_s))
        return due

    def asked(self, poll: Poll, now_s: float) -> None:
        """It is on its way."""
        self._owed.pop(poll, None)
        self._under_way.add(poll)
        self._asked_s[poll] = now_s

    def answered(self, poll: Poll) -> None:
        """It has ended, well or not."""
        self._under_way.discard(poll)
