"""Stacks to measure on, and a word to who waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import launcher
from tests.conftest import Stack, discard, fresh_environment, fresh_folder, kept_stack, settings_of


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
    """Run a command of `tidemark` that has to succeed."""
    ended = stack.tidemark(*arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
