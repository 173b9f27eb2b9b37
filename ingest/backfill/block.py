"""What is stored together, and how far that brings a backfill."""

from __future__ import annotations

import msgspec

from contracts.market import Rejected
from ingest.batch import Batch


class Block(msgspec.Struct, frozen=True):
    """Rows of one transaction. `next_ms`: with them, everything before it is stored.

    `count`: of the rows that the plan foresaw, those that are thereby settled, missing ones too.
    `proved`, in the last block of a piece: its places in `gaps` (ids; open times in ms), all of
    which were stored by now or found to be missing.
    """

    batch: Batch
    next_ms: int
    count: int
    proved: range | None = None


def once(rejected: list[Rejected], more: list[Rejected]) -> list[Rejected]:
    """Both, but for those of `more` whose bytes and reason say nothing new."""
    return rejected + [one for one in more if one not in rejected]
