"""Which polls fail, and for how many rounds in a row. Pure."""

from __future__ import annotations

from collections import Counter

from ingest.schedule import Poll

TOLD_FROM = 2  # a hiccup that the next round overcomes is nobody's trouble


class Failing:
    """Rounds in a row that each poll has failed."""

    def __init__(self) -> None:
        self._rounds: Counter[Poll] = Counter()

    def failed(self, poll: Poll) -> bool:
        """Count a failed round; whether the poll begins to fail with it."""
        self._rounds[poll] += 1
        return self._rounds[poll] == 1

    def over(self, poll: Poll) -> None:
        """The poll succeeded, or is asked no more."""
        del self._rounds[poll]  # a Counter does not mind one that it does not hold

    def count(self, endpoint: str) -> int:
        """Polls of the endpoint that have failed at least twice in a row."""
        return sum(
            rounds >= TOLD_FROM
            for poll, rounds in self._rounds.items()
            if poll.endpoint == endpoint
        )
