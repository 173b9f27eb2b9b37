"""Where recorded payloads lie: beside the repository, or where TIDEMARK_RECORDED says.

They are other people's and no part of this repository; without them their tests are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.settings import PROJECT_ROOT

RECORDED = Path(
    os.environ.get("TIDEMARK_RECORDED", PROJECT_ROOT.parent / "shared" / "recorded")
).resolve()


def recorded(name: str) -> Path:
    """One recording; the test is skipped where it is not there."""
    return recordings(name)[0]


def recordings(pattern: str) -> list[Path]:
    """All recordings of these names; the test is skipped where there is none."""
    found = sorted(RECORDED.glob(pattern))
    if not found:
        pytest.skip(f"no recorded payloads: {RECORDED / pattern} (TIDEMARK_RECORDED names them)")
    return found
