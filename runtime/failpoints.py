"""Points of the code at which a fault test may end or freeze the process. Off unless armed.

Armed by environment alone, never by a setting:

    TIDEMARK_FAILPOINT=before_commit:kill:3,17  at the third passing of `before_commit`, SIGKILL;
                                                in the process that comes next at the 17th; no more
    TIDEMARK_FAILPOINT_HITS=<file>              each firing adds a line: the test's evidence

The file tells a process how often the point has fired before it, so that one which the supervisor
starts again with the same environment takes the next passing, and lives on after the last one.
Unarmed, `reach` is one lookup in an empty dict.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.settings import ENV_PREFIX, SettingsError

POINTS = (
    "after_poll",  # events are read, nothing is done with them
    "mid_batch",  # a batch is sent, nobody knows whether it was applied
    "after_write",  # Cassandra has acknowledged a batch, the watermark does not know
    "before_commit",  # the offsets that are due are about to be committed
    "in_dead_letter",  # a dead letter is handed to the producer, not yet stored
    "in_on_revoke",  # partitions go to another member
    "in_resync_begin",  # a resync has stopped what was before, nothing is there in its place
    "after_stage",  # a stage of a resync is done
    "at_shutdown",  # the end was asked for, nothing is drained yet
)
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_HITS_FILE = f"{ENV_PREFIX}FAILPOINT_HITS"


@dataclass(slots=True)
class _Armed:
    """What happens at one point, and how many passings are left until then."""

    action: signal.Signals
    left: int
    hits: Path | None

    def reach(self, name: str) -> None:
        self.left -= 1
        if self.left != 0:
            return
        if self.hits is not None:
            with self.hits.open("a", encoding="utf-8") as file:
                file.write(f"{name} {os.getpid()}\n")
                file.flush()
                os.fsync(file.fileno())
        os.kill(os.getpid(), self.action)


def read(environment: Mapping[str, str]) -> dict[str, _Armed]:
    """The point that an environment arms, by name; SettingsError where it is misspelt."""
    text = environment.get(f"{ENV_PREFIX}FAILPOINT", "")
    if not text:
        return {}
    name, _, rest = text.partition(":")
    action, _, passing = rest.partition(":")
    passings = (passing or "1").split(",")
    good = all(each.isdecimal() and int(each) > 0 for each in passings)
    if name not in POINTS or action not in _ACTIONS or not good:
        raise SettingsError(
            f"{ENV_PREFIX}FAILPOINT={text!r} is none: <point>:<kill|stop>[:<passing>,…], "
            f"points are {', '.join(POINTS)}"
        )
    hits = Path(environment[_HITS_FILE]) if environment.get(_HITS_FILE) else None
    fired = len(hits.read_text("utf-8").splitlines()) if hits and hits.exists() else 0
    if fired >= len(passings):
        return {}
    return {name: _Armed(_ACTIONS[action], int(passings[fired]), hits)}


_armed = read(os.environ)


def reach(name: str) -> None:
    """Pass a point; where it is armed and due, this does not come back (or not soon)."""
    armed = _armed.get(name)
    if armed is not None:
        armed.reach(name)
