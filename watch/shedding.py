"""How much load ingest shall shed, from what the replication slot retains. Pure.

While nobody reads the slot, every row that ingest writes stays in the WAL. At
`max_slot_wal_keep_size` PostgreSQL drops what Debezium has not read, and only a new snapshot heals
that. So load goes before, a stream at a time, in the order of `contracts/shedding.py`:

- raised at once: where a share of the limit is retained, or where the limit is near at the present
  rate; a step a round, so that each has shown its effect before the next, all where the next
  checkpoint takes the slot (`unreserved`);
- cleared slowly: a step once the slot has been well below that step's limit for a while. Between
  the two limits nothing changes;
- a slot that is lost, or was never made, has nothing left to save: nothing is shed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.shedding import ALL, NONE, shed

MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Step:
    """When one more stream goes, and when it comes back; shares of the limit."""

    raise_share: float
    clear_share: float
    time_left_s: float  # it goes earlier where the rest of the limit lasts no longer than this


STEPS: Final = (
    Step(raise_share=0.40, clear_share=0.20, time_left_s=900),
    Step(raise_share=0.60, clear_share=0.35, time_left_s=600),
    Step(raise_share=0.75, clear_share=0.50, time_left_s=300),
)
ALARMING_SHARE: Final = 0.25  # below it no rate is a reason: the slot of a busy minute is not ill
CLEAR_AFTER: Final = timedelta(seconds=60)
RATE_OVER: Final = timedelta(seconds=60)
RATE_FROM: Final = timedelta(seconds=10)  # of a shorter time it says nothing
STILL_FOR: Final = timedelta(seconds=30)
"""A slot that is read gives WAL free each few seconds, and what it retains is a saw-tooth: its rate
counts only once nothing was given free for so long."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The slot at one moment; bytes of WAL. `limit`: what it may retain before it is lost."""

    at: datetime
    retained: int
    limit: int
    wal_status: str  # reserved, extended, unreserved, lost

    @property
    def share(self) -> float:
        return self.retained / self.limit


@dataclass(frozen=True, kw_only=True)
class Level:
    """What is shed: the first `level` streams of ORDER, since when, and why.

    `confirmed_at`: when the watch last said so; None where it is not read back.
    """

    level: int
    since: datetime
    reason: str
    confirmed_at: datetime | None = None

    @property
    def message(self) -> str:
        """One line for people."""
        return f"{', '.join(shed(self.level)) or 'nothing is shed'}: {self.reason}"


class Rate:
    """Growth of what is retained, over the last minute, while nobody reads the slot."""

    def __init__(self) -> None:
        self._seen: deque[Reading] = deque()
        self._still_since: datetime | None = None

    def observe(self, reading: Reading) -> None:
        if self._still_since is None or reading.retained < self._seen[-1].retained:
            self._still_since = reading.at
            self._seen.clear()
        self._seen.append(reading)
        while reading.at - self._seen[0].at > RATE_OVER:
            self._seen.popleft()

    def forget(self) -> None:
        """Begin anew: the load has changed. The newest reading stays as the first."""
        while len(self._seen) > 1:
            self._seen.popleft()

    def time_left_s(self) -> float | None:
        """Seconds until the limit at this rate; None where it is unknown or nothing grows."""
        if self._still_since is None or self._seen[-1].at - self._still_since < STILL_FOR:
            return None
        first, last = self._seen[0], self._seen[-1]
        grown, took = last.retained - first.retained, last.at - first.at
        if grown <= 0 or took < RATE_FROM:
            return None
        return max(0, last.limit - last.retained) / (grown / took.total_seconds())


class Shedding:
    """The level, decided anew at each reading."""

    def __init__(self, level: Level, clear_after: timedelta = CLEAR_AFTER) -> None:
        """`level`: where an earlier process left off; `clear_after`: a step's calm before it."""
        self.level = level
        self._clear_after = clear_after
        self._rate = Rate()
        self._calm_since: datetime | None = None  # since when the present step could be cleared

    def decide(self, reading: Reading | None, now: datetime) -> Level:
        """The level from now on; `reading` is None where there is no slot."""
        if reading is None or reading.wal_status == "lost":
            return self._turn(NONE, now, "there is no slot that could be saved")
        self._rate.observe(reading)
        present, left_s = self.level.level, self._rate.time_left_s()
        wanted = _wanted(reading, left_s)
        if wanted > present:
            step = wanted if reading.wal_status == "unreserved" else present + 1
            return self._turn(step, now, _reason(reading, left_s))
        if self._is_calm(reading, now) and wanted < present:
            return self._turn(present - 1, now, _reason(reading, None))
        return self.level

    def time_left_s(self) -> float | None:
        """Seconds until the slot is lost at the present rate; None: nothing grows."""
        return self._rate.time_left_s()

    def _is_calm(self, reading: Reading, now: datetime) -> bool:
        """Whether the slot has been well below the present step's limit for long enough."""
        present = self.level.level
        if present == NONE or reading.share >= STEPS[present - 1].clear_share:
            self._calm_since = None
            return False
        self._calm_since = self._calm_since or now
        return now - self._calm_since >= self._clear_after

    def _turn(self, level: int, now: datetime, reason: str) -> Level:
        if level != self.level.level:
            self._rate.forget()
            self._calm_since = None
            self.level = Level(level=level, since=now, reason=reason)
        return self.level


def _wanted(reading: Reading, left_s: float | None) -> int:
    """The level that this reading asks for by itself."""
    if reading.wal_status == "unreserved":
        return ALL
    near = left_s is not None and reading.share >= ALARMING_SHARE
    steps = (
        number
        for number, step in enumerate(STEPS, start=1)
        if reading.share >= step.raise_share
        or (near and left_s is not None and left_s <= step.time_left_s)
    )
    return max(steps, default=NONE)


def _reason(reading: Reading, left_s: float | None) -> str:
    text = (
        f"the slot retains {reading.retained // MEGABYTE:,} of {reading.limit // MEGABYTE:,} MB "
        f"({reading.share:.0%})"
    )
    return text if left_s is None else f"{text}, the rest lasts {left_s / 60:.0f} min at this rate"
