"""Polls that are to be made at once, whatever the schedule says. Pure, with given times."""

from __future__ import annotations

from typing import Final

from ingest.schedule import Poll

ASK_AGAIN_S: Final = 1.0  # between two tries of one poll: a hole may be the exchange's own


class OwedPolls:
    """Which polls are owed, and which are under way."""

    def __init__(self) -> None:
        self._owed: set[Poll] = set()
        self._under_way: set[Poll] = set()
        self._asked_s: dict[Poll, float] = {}

    def __contains__(self, poll: Poll) -> bool:
        return poll in self._owed

    def owe(self, poll: Poll) -> None:
        """It is owed, also if it is under way: that one may have been answered too early."""
        self._owed.add(poll)

    def missed(self, poll: Poll) -> None:
        """Something is missing that it has; if it is under way, it is waited for."""
        if poll not in self._under_way:
            self._owed.add(poll)

    def forget(self, poll: Poll) -> None:
        """It is owed no more."""
        self._owed.discard(poll)

    def due(self, now_s: float) -> list[Poll]:
        """Those that are to be tried now; one is tried each ASK_AGAIN_S, until it is asked."""
        due = [
            poll
            for poll in self._owed
            if now_s - self._asked_s.get(poll, -ASK_AGAIN_S) >= ASK_AGAIN_S
        ]
        self._asked_s.update(dict.fromkeys(due, now_s))
        return due

    def asked(self, poll: Poll, now_s: float) -> None:
        """It is on its way."""
        self._owed.discard(poll)
        self._under_way.add(poll)
        self._asked_s[poll] = now_s

    def answered(self, poll: Poll) -> None:
        """It has ended, well or not."""
        self._under_way.discard(poll)
