"""How many symbols the exchange's limits carry: weight a minute, and streams of a connection. Pure.

Polls are counted as if there were no streams. Where streams are on, polls of symbols only stand in
for them, so they may be slower than the schedule says: all by the same factor, and none slower than
`SLOWEST_S`, which a page of 1,000 trades outlasts but for the busiest symbols.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Final

from ingest import schedule
from ingest.binance.allotment import allot, streams_of
from ingest.errors import ScheduleTooHeavy
from ingest.schedule import Poll
from ingest.settings import IngestSettings

SLOWEST_S: Final = 600.0


def check(settings: IngestSettings, symbols: Sequence[str], limit: int) -> float:
    """How much slower polls of these symbols have to be, 1 where they need not.

    `limit`: the exchange's, weight a minute. ScheduleTooHeavy with the arithmetic where it cannot
    carry them.
    """
    polls = schedule.plan(settings, symbols)
    if settings.streams == "off":
        schedule.check(polls, limit, settings.weight_share)
        return 1.0
    allot([stream for poll in polls for stream in streams_of(poll)], settings.streams_a_connection)
    ours = [poll for poll in polls if poll.symbol]
    fixed = sum(schedule.weight_per_minute([poll for poll in polls if not poll.symbol]).values())
    room = limit * settings.weight_share - fixed
    needed = sum(schedule.weight_per_minute(ours).values())
    if needed <= room:
        return 1.0
    slowest_s = max(poll.every_s for poll in ours)
    if room <= 0 or slowest_s * needed / room > max(SLOWEST_S, slowest_s):
        schedule.check(polls, limit, settings.weight_share)
    return needed / room


def carried(settings: IngestSettings, symbols: Sequence[str], limit: int) -> tuple[str, ...]:
    """The first of the symbols, as many as the limits carry."""

    def too_many(count: int) -> bool:
        try:
            check(settings, symbols[:count], limit)
        except ScheduleTooHeavy:
            return True
        return False

    return tuple(symbols[: bisect.bisect_left(range(1, len(symbols) + 1), True, key=too_many)])


class Fallback:
    """Keeps polls that stand in for streams as slow as `check` said."""

    def __init__(self) -> None:
        self.slower = 1.0
        self._asked_s: dict[Poll, float] = {}

    def follow(self, polls: Sequence[Poll], slower: float, now_s: float) -> None:
        """From now on these polls stand in; new ones begin spread over their time."""
        known, self.slower = self._asked_s, slower
        new = [poll for poll in polls if poll not in known]
        self._asked_s = {poll: known[poll] for poll in polls if poll in known}
        for place, poll in enumerate(new):
            self._asked_s[poll] = now_s - poll.every_s * slower * place / len(new)

    def may(self, poll: Poll, now_s: float) -> bool:
        """Whether the poll may be made again."""
        if self.slower <= 1 or poll not in self._asked_s:
            return True
        return now_s - self._asked_s[poll] >= poll.every_s * self.slower

    def asked(self, poll: Poll, now_s: float) -> None:
        """It is made now."""
        if poll in self._asked_s:
            self._asked_s[poll] = now_s
