"""Contestants take turns: whose round it is, how long it may still take, and what a failure costs.

A round that fails is lost, and told; its contestant is asked again in the next round, and leaves
only where two in a row are lost, or where it cannot take part at all. Windows that were held stay.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, TypeVar

ENOUGH = 2  # lost rounds in a row


class Contestant(Protocol):
    """Who takes part: known by its name."""

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Contestant)
W = TypeVar("W")


class CannotTakePart(Exception):
    """A contestant leaves at once; the message says why."""


@dataclass(frozen=True)
class Lost:
    """A round of a contestant that came to nothing; `leaves`: it is not asked again."""

    round: int
    reason: str
    leaves: bool


def turn(contestants: Sequence[C], number: int) -> list[C]:
    """The order of a round (0, 1, …): each begins with another contestant."""
    first = number % max(1, len(contestants))
    return [*contestants[first:], *contestants[:first]]


def take_turns(
    contestants: Sequence[C],
    rounds: int,
    hold: Callable[[C, int], Iterable[W]],
    say: Callable[[str], object],
    what: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, W | Lost]]:
    """Each one's windows, as `hold` holds them in a round (1, 2, …), or its lost rounds.

    Before each it is said whose turn it is, and how long all may still take; `what`: of what part.
    """
    left, lost = list(contestants), Counter[str]()
    took: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        waiting = turn(left, number - 1)
        while waiting:
            contestant = waiting[0]
            rest = [each.name for each in waiting]
            rest += [each.name for each in left] * (rounds - number)
            where = f"round {number} of {rounds}, {what}{', ' if what else ''}{contestant.name}"
            say(f"{where}: {remaining(rest, took)}")
            began = clock()
            try:
                for window in hold(contestant, number):
                    yield contestant.name, window
                lost[contestant.name] = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                lost[contestant.name] += 1
                hopeless = isinstance(error, CannotTakePart)
                leaves = hopeless or lost[contestant.name] >= ENOUGH
                if leaves:
                    left.remove(contestant)
                yield contestant.name, Lost(number, reason(error), leaves)
            took.setdefault(contestant.name, []).append(clock() - began)
            waiting = waiting[1:]


def reason(error: Exception) -> str:
    """Why, in a line."""
    words = " ".join(str(error).split())
    return words if isinstance(error, CannotTakePart) else f"{type(error).__name__}: {words}"


def remaining(names: Sequence[str], took: dict[str, list[float]]) -> str:
    """How many turns are left, and how long they may take, by the turns that are over."""
    turns = f"{len(names)} turn{'s' if len(names) > 1 else ''} left"
    if not took:
        return turns
    usual = fmean(seconds for each in took.values() for seconds in each)
    seconds = sum(fmean(took[name]) if name in took else usual for name in names)
    return f"{turns}, about {in_words(seconds)}"


class Headway:
    """How far a long piece of work is, said now and then; called with what is done of `total`."""

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], object],
        each_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._say = what, total, say
        self._each_s, self._clock = each_s, clock
        self._began = self._said = clock()

    def __call__(self, done: int) -> None:
        now = self._clock()
        if now - self._said < self._each_s:
            return
        self._said = now
        line = f"{self._what}: {done:,} of {self._total:,}"
        if 0 < done <= self._total:
            seconds = (now - self._began) * (self._total - done) / done
            line += f", about {in_words(seconds)} left"
        self._say(line)


def in_words(seconds: float) -> str:
    """Seconds up to two minutes, then minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
