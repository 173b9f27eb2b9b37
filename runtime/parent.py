"""For a process that works for another one: it ends when that one does, however that ended."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # Linux: prctl(2)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM as soon as the parent's thread that started us is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
