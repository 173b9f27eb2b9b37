"""Stacks to measure on, and a word to who waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import launcher
from tests.conftest import Stack, discard, fresh_environment, fresh_folder, kept_stack, settings_of

TRIES = 3


@contextmanager
def stack_of(folder: Path | None, services: Sequence[str]) -> Iterator[Stack]:
    """A stack with these services: of its own, or below a folder where it stays."""
    if folder is not None:
        stack = kept_stack(folder.resolve())
    else:
        environment = fresh_environment(fresh_folder())
        stack = Stack(settings_of(environment), environment)
    try:
        launcher.start_services(stack.settings, say, services)
        yield stack
    finally:
        if folder is None:
            discard(stack, keep_logs=False)


def done(stack: Stack, *arguments: str) -> None:
    """Run a command of `tidemark` that has to succeed, and is harmless when it is run again.

    Services that have just begun may be slow on a busy machine, so it has more than one try.
    """
    words = f"tidemark {' '.join(arguments)}"
    for left in reversed(range(TRIES)):
        say(words)
        ended = stack.tidemark(*arguments)
        if ended.returncode == 0:
            return
        assert left, f"{words}: {ended.stdout}{ended.stderr}"
        say(f"{words}: again, for {(ended.stderr or ended.stdout).strip()[-300:]}")


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
