"""A program whose wall clock is wrong: a small library that answers in the place of libc's.

libfaketime does the same for more than clocks, and with it a JVM takes minutes to start.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.rig import Rig
from tests.faults.trial import Trial

SOURCE = Path(__file__).with_name("false_clock.c")
LIBRARY = "false-clock.so"


@contextmanager
def false_clock(rig: Rig, trial: Trial, name: str, seconds: int) -> Iterator[None]:
    """A program with its clock ahead by that much (or behind), for the length of the block."""
    with rig.restarted_as(name, variables(rig, trial, seconds)):
        wait_false(rig, name)
        trial.happened(f"{name} ran with its clock at {seconds:+,} s")
        yield


def variables(rig: Rig, trial: Trial, seconds: int) -> dict[str, str]:
    """What makes a program's clock wrong."""
    compiler = shutil.which("cc")
    if compiler is None:
        trial.not_injectable("there is no C compiler (apt-get install gcc)")
    library = rig.stack.run / LIBRARY
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]
    subprocess.run([*command, library, SOURCE], check=True)
    return {"LD_PRELOAD": str(library), "FALSE_CLOCK_S": str(seconds)}


def wait_false(rig: Rig, name: str) -> None:
    """Wait until a program that has just started has the library loaded."""

    def loaded() -> bool | None:
        return LIBRARY in Path(f"/proc/{rig.pid(name)}/maps").read_text() or None

    rig.until(f"{name} has a false clock", loaded, 10)
