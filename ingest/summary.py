"""What a run of the ingester did."""

from __future__ import annotations

import msgspec


class Summary(msgspec.Struct, frozen=True):
    """Rows by table, rows set aside, polls that failed."""

    venue: str
    rows: dict[str, int]
    quarantined: int
    failed: list[str]
