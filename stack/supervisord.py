"""Supervisor's daemon with one change: the wait between attempts to start has an upper limit.

Supervisor waits one second longer after each failed start. A service whose disk was full for a day
would be tried each seven minutes; ours is tried each MAX_BACKOFF_S.
"""

from __future__ import annotations

import sys
import time

import supervisor.process
import supervisor.supervisord

MAX_BACKOFF_S = 15.0


class PatientProcess(supervisor.process.Subprocess):  # type: ignore[misc]  # supervisor is untyped
    """A supervised process that is tried again at least each MAX_BACKOFF_S."""

    delay: float

    def change_state(self, new_state: int, expected: bool = True) -> bool:
        changed = bool(super().change_state(new_state, expected))
        if new_state == supervisor.process.ProcessStates.BACKOFF:
            self.delay = min(self.delay, time.time() + MAX_BACKOFF_S)
        return changed


def main() -> None:
    supervisor.process.Subprocess = PatientProcess
    supervisor.supervisord.main(sys.argv[1:])


if __name__ == "__main__":
    main()
