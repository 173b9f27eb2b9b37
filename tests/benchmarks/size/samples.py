"""What is looked at all the while: memory of each program, and WAL that PostgreSQL keeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from statistics import fmean, linear_regression
from typing import Any, Self

import psycopg2

from contracts.naming import Role
from stack.settings import StackSettings
from tests.benchmarks import trees
from tests.benchmarks.trees import Memory
from tests.integration import scratch

EACH_S = 5.0
MB = 2**20
GROWTH = 0.05  # of its mean, over the second half: less is flat,
SMALL_MB = 16  # and so is less than this
WAL = """
SELECT (SELECT sum(size) FROM pg_ls_waldir()),
       (SELECT coalesce(max(pg_current_wal_lsn() - restart_lsn), 0) FROM pg_replication_slots)
"""


@dataclass(frozen=True)
class Sample:
    """One look, at seconds from the first: bytes of each program, of all WAL, and of the slot's."""

    at_s: float
    memory: dict[str, Memory]
    wal: int
    slot: int


@dataclass(frozen=True, kw_only=True)
class Course:
    """A program's memory over the run, MB of proportional set size.

    `anonymous`, what no file stands behind: at first, at last, and its slope over the second half
    (by then heaps and caches have filled), MB a minute. `flat`: that half adds next to nothing.
    """

    program: str
    least_mb: float
    most_mb: float
    anonymous_first_mb: float
    anonymous_last_mb: float
    slope_mb_a_minute: float
    flat: bool


def course(program: str, samples: Sequence[Sample]) -> Course:
    """What a program's samples come to; ValueError where there are none."""
    known = [each for each in samples if program in each.memory]
    if not known:
        raise ValueError(f"nobody has looked at {program}")
    whole = [each.memory[program].proportional / MB for each in known]
    alone = [each.memory[program].anonymous / MB for each in known]
    half = len(known) // 2
    minutes = [each.at_s / 60 for each in known[half:]]
    lasted = minutes[-1] - minutes[0]
    slope = linear_regression(minutes, alone[half:]).slope if lasted else 0.0
    return Course(
        program=program,
        least_mb=round(min(whole), 1),
        most_mb=round(max(whole), 1),
        anonymous_first_mb=round(alone[0], 1),
        anonymous_last_mb=round(alone[-1], 1),
        slope_mb_a_minute=round(slope, 2),
        flat=slope * lasted < max(SMALL_MB, GROWTH * fmean(alone[half:])),
    )


class Sampler:
    """Looks each few seconds while a block runs."""

    def __init__(self, settings: StackSettings) -> None:
        self.samples: list[Sample] = []
        self._settings = settings
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        with closing(scratch.connect(self._settings, Role.POSTGRES_ADMIN)) as connection:
            ended = False
            while not ended:  # at the beginning and at the end, too
                with suppress(psycopg2.Error):  # PostgreSQL may be busy; the next look tells
                    self.samples.append(self._look(connection, time.monotonic() - began))
                ended = self._ended.wait(EACH_S)

    def _look(self, connection: Any, at_s: float) -> Sample:
        programs = trees.programs(self._settings)
        memory = {name: trees.memory(pid) for name, pid in programs.items()}
        ((wal, slot),) = scratch.fetch(connection, WAL)
        return Sample(round(at_s, 1), memory, int(wal), int(slot))
