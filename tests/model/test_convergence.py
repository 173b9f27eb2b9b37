"""Cassandra ends with PostgreSQL's rows, whatever happened on the way (`make test-model`: 10⁵)."""

from __future__ import annotations

import os

from tests.model.search import converge

HISTORIES = 1000
KINDS = (
    "inversions",
    "repeated events",
    "late events of a frozen worker",
    "restarts",
    "crashes",
    "aborted snapshots",
    "snapshot rows",
    "restored",
    "ghosts",
    "letters",
    "replayed",
)


def test_every_history_converges() -> None:
    """And each kind of trouble was in some of them."""
    seen = converge(int(os.environ.get("SEED") or 1), HISTORIES)
    assert seen["histories"] >= HISTORIES
    assert {kind: seen[kind] for kind in KINDS if seen[kind] < HISTORIES // 100} == {}
