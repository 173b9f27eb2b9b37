"""The exchange's limits on us, as pure state: weight a minute, and silence when it is demanded.

Weight is counted by IP address over windows that begin on the minute. The answer's header says what
was used by everybody behind this address, so several processes share the budget by obeying it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from ingest.errors import ScheduleTooHeavy, WeightExhausted

WEIGHT_HEADER = "x-mbx-used-weight-1m"
DEFAULT_WEIGHT_LIMIT = 6000  # until exchangeInfo has been read

_WINDOW_S = 60.0
_PAUSE_S = {429: 60.0, 418: 120.0}  # where Retry-After is missing; 2 minutes is the shortest ban
_LONGEST_BAN_S = 3 * 86_400.0
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")


class Budget:
    """Weight that may still be used in the current minute.

    `share` of the limit is ours. A `paced` budget is released evenly over the minute, so that a
    backfill takes only what the live schedule of another process leaves over; so is what one
    `patient` request may take, beside a schedule of the same process.
    """

    def __init__(
        self,
        limit: int,
        share: float,
        clock: Callable[[], float],
        *,
        paced: bool = False,
    ) -> None:
        """`clock` gives seconds since the epoch."""
        self.limit = limit
        self._share = share
        self._clock = clock
        self._paced = paced
        self._window = 0
        self._used = 0  # as the last answer's header said, or as we counted
        self._in_flight = 0  # sent, not answered: not yet in that header

    @property
    def used(self) -> int:
        """Weight used in the current minute, as far as we know."""
        self._roll()
        return self._used + self._in_flight

    @property
    def allowance(self) -> int:
        """Weight of a whole minute that is ours."""
        return int(self.limit * self._share)

    def take(self, weight: int, *, patient: bool = False) -> None:
        """Book weight for a request that is sent at once; WeightExhausted says when to return."""
        if weight > self.allowance:
            raise ScheduleTooHeavy(
                f"one request weighs {weight}, all that may be used in a minute is "
                f"{self.allowance} ({self._share:.0%} of {self.limit})"
            )
        now = self._clock()
        if self.used + weight > self.allowance:
            raise WeightExhausted(_WINDOW_S - now % _WINDOW_S)
        if self._paced or patient:
            due_s = _WINDOW_S * (self.used + weight) / self.allowance
            if due_s > now % _WINDOW_S + 1:  # a second's worth of burst
                raise WeightExhausted(due_s - now % _WINDOW_S - 1)
        self._in_flight += weight

    def answered(self, weight: int, used: int | None) -> None:
        """A booked request was answered (or given up); `used` is its header, None without."""
        self._roll()
        self._in_flight -= weight
        self._used = self._used + weight if used is None else used

    def _roll(self) -> None:
        window = int(self._clock() // _WINDOW_S)
        if window != self._window:
            self._window = window
            self._used = 0


def silence_until(
    status: int, headers: Mapping[str, str], body: bytes, now: datetime, firewall_pause_s: float
) -> datetime:
    """End of the silence that a 429, 418 or 403 demands (UTC).

    `headers` have lower-case names. Retry-After rules; a 418 without it may name the time in its
    text; a firewall (403) names nothing. What it says is kept within 1 second and 3 days, the
    longest ban that the exchange documents.
    """
    if status == 403:
        return now + timedelta(seconds=firewall_pause_s)
    stated = headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit():
        seconds = float(stated)
    elif named := _BANNED_UNTIL.search(body):
        seconds = int(named[1]) / 1000 - now.timestamp()
    else:
        seconds = _PAUSE_S.get(status, 60.0)
    return now + timedelta(seconds=min(max(seconds, 1.0), _LONGEST_BAN_S))


def used_weight(headers: Mapping[str, str]) -> int | None:
    """Weight used in this minute, as the answer's headers say."""
    stated = headers.get(WEIGHT_HEADER, "")
    return int(stated) if stated.isascii() and stated.isdigit() else None


def utc_now() -> datetime:
    """This machine's clock, aware."""
    return datetime.now(UTC)
