"""Which connections there should be: a state machine without I/O, in seconds of its caller's clock.

CoinCap takes the assets in the address, so another list needs another connection. The old one goes
on meanwhile and is hung up once the new one has spoken: no asset misses a price for it.

    dialled ──spoke──► serving ──a newer line spoke──► hung up
       └──lost──► wait, longer each time ◄──lost or silent──┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

SILENT_S = 120.0  # ten coins never keep still for so long; pings find a dead line sooner
STEADY_S = 60.0  # a line that served for so long shows that the trouble before it is over
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_REFUSED_WAIT_S = 300.0  # a key that is refused now will hardly be good in a second


class Dial(msgspec.Struct, frozen=True):
    """Open connection number `line` for these assets."""

    line: int
    assets: tuple[str, ...]


class HangUp(msgspec.Struct, frozen=True):
    """Close connection number `line`."""

    line: int


@dataclass(slots=True)
class _Line:
    number: int
    assets: tuple[str, ...]
    since_s: float
    heard_s: float


class Lines:
    """At most one line serves, and at most one is being made."""

    def __init__(self, assets: tuple[str, ...], chance: Callable[[], float]) -> None:
        """`chance` gives numbers in [0, 1), by which waits differ between clients."""
        self._wanted = assets
        self._chance = chance
        self._serving: _Line | None = None
        self._coming: _Line | None = None
        self._numbers = 0
        self._due_s = 0.0
        self.failures = 0  # since the last steady line

    @property
    def up(self) -> bool:
        """Whether a line serves."""
        return self._serving is not None

    def want(self, assets: tuple[str, ...]) -> None:
        """From now on these; the next tick acts on it."""
        self._wanted = assets

    def tick(self, now_s: float) -> list[Dial | HangUp]:
        """What is to be done now."""
        hang_ups = [
            HangUp(line.number)
            for line in (self._serving, self._coming)
            if line is not None and now_s - line.heard_s > SILENT_S
        ]
        for silent in hang_ups:
            self.lost(silent.line, now_s)
        served = self._serving is not None and self._serving.assets == self._wanted
        if served or self._coming is not None or now_s < self._due_s:
            return [*hang_ups]
        self._numbers += 1
        self._coming = _Line(self._numbers, self._wanted, now_s, now_s)
        return [*hang_ups, Dial(self._numbers, self._wanted)]

    def heard(self, line: int, now_s: float) -> None:
        """Something came on a line, which is not silent then, however late we get to read it."""
        for each in (self._serving, self._coming):
            if each is not None and each.number == line:
                each.heard_s = now_s

    def spoke(self, line: int, now_s: float) -> tuple[bool, list[HangUp]]:
        """A frame came on a line: whether it counts, and what is to be done.

        While two lines speak, only one counts, so that no price stands twice.
        """
        if self._coming is not None and self._coming.number == line:
            old, self._serving, self._coming = self._serving, self._coming, None
            self._serving.since_s = now_s
            return True, [] if old is None else [HangUp(old.number)]
        return self._serving is not None and self._serving.number == line, []

    def lost(self, line: int, now_s: float, *, refused: bool = False) -> bool:
        """A line ended or could not be made; whether it was in use. `refused`: our key is."""
        if self._coming is not None and self._coming.number == line:
            self._coming = None
        elif self._serving is not None and self._serving.number == line:
            if now_s - self._serving.since_s >= STEADY_S:
                self.failures = 0
            self._serving = None
        else:
            return False
        self.failures += 1
        longest_s = (
            _REFUSED_WAIT_S
            if refused
            else min(_FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 10), _LONGEST_WAIT_S)
        )
        self._due_s = now_s + longest_s * (0.5 + self._chance() / 2)
        return True
