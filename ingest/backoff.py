"""When something may be asked again that did not help: later and later. Pure, with given times."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime, timedelta


class Backoff:
    """For each thing the next time; what is not remembered is due at once."""

    def __init__(self, first: timedelta, longest: timedelta) -> None:
        """`first`: until something is asked again; then twice as long, up to `longest`."""
        self._first = first
        self._longest = longest
        self._due: dict[Hashable, tuple[datetime, timedelta]] = {}

    def is_due(self, thing: Hashable, now: datetime) -> bool:
        """Whether it is time; if so, the next time is later still."""
        due, wait = self._due.get(thing, (now, self._first))
        if due > now:
            return False
        self._due[thing] = now + wait, min(2 * wait, self._longest)
        return True

    def over(self, thing: Hashable) -> None:
        """It is settled."""
        self._due.pop(thing, None)
