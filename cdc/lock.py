"""One at a time: who begins a generation or sweeps one keeps all others out, by PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc.errors import ResyncRefused
from cdc.source import SourceDatabase

TRY = "SELECT pg_try_advisory_lock(hashtext('tidemark resync'))"
ANNOUNCE = "SELECT pg_advisory_lock_shared(hashtext('tidemark resync at work'))"
LOOK = "SELECT pg_try_advisory_xact_lock(hashtext('tidemark resync at work'))"
POLL_S = 0.25


def take(
    source: SourceDatabase, patience_s: float = 0, waiting: Callable[[], None] = lambda: None
) -> None:
    """Keep others out until `source` is closed; ResyncRefused where somebody is at it for longer.

    `waiting` is called as long as somebody is.
    """
    deadline = time.monotonic() + patience_s
    while not source.query(TRY)[0][0]:
        if time.monotonic() >= deadline:
            raise ResyncRefused("another `tidemark resync` is at work")
        waiting()
        time.sleep(POLL_S)


def announce_resync(source: SourceDatabase) -> None:
    """Let others see that a resync is at work, or waits for its turn, until `source` is closed."""
    source.query(ANNOUNCE)


def resync_is_at_work(source: SourceDatabase) -> bool:
    """Whether a resync is: not so the watch's own sweep, which keeps it out, too."""
    return not source.query(LOOK)[0][0]
