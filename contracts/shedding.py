"""What ingest gives up, in which order, while WAL cannot leave PostgreSQL.

The watch decides on a level, table `load_shedding` carries it, ingest obeys. A level is how many
streams of ORDER are shed. Candles, 24 h statistics, rankings and heartbeats never are: candles are
the history that everybody asks for, the others are few, and heartbeats say that we are alive.
"""

from __future__ import annotations

from typing import Final

ORDER: Final = ("depth", "trades", "prices")
"""Tables of PostgreSQL, the first to go first: a book is the largest row and is soon out of date,
trades can be read back by their ids, prices are small."""

NONE: Final = 0
ALL: Final = len(ORDER)


def shed(level: int) -> tuple[str, ...]:
    """The streams that are shed at a level."""
    return ORDER[: max(level, NONE)]
