"""A change event: what Debezium writes to `market.g<generation>.public.<table>` for one row.

The value is JSON without a schema. Debezium 3.7.0 names its fields:

    {"before": {…}|null, "after": {…}|null, "source": {…}, "op": "c", "ts_us": 1795132800000000, …}

The key is the primary key as JSON; a null value is a tombstone for Kafka's compaction and says
nothing. In a delete's `before` the columns outside the key are not to be trusted (zeros), unless
the table has REPLICA IDENTITY FULL.
"""

from __future__ import annotations

from typing import Final

import msgspec

CREATE: Final = "c"
UPDATE: Final = "u"
DELETE: Final = "d"
READ: Final = "r"  # a snapshot's row
TRUNCATE: Final = "t"

STREAMED: Final = "false"  # Origin.snapshot of a change that was read from the WAL
INCREMENTAL: Final = "incremental"  # … of a row that an incremental snapshot read


class Origin(msgspec.Struct, frozen=True, gc=False, rename={"tx_id": "txId"}):
    """Where a change comes from: the `source` block.

    `lsn` is the change's own position in the WAL, a multiple of 8; `sequence` is JSON in a string:
    [LSN of the previous commit seen | null, LSN of this change], both as strings. Rows of an
    incremental snapshot have neither `lsn` nor `tx_id`, but a `sequence`. `ts_us` is the commit's
    time, of snapshot rows the time they were read.
    """

    table: str
    ts_us: int
    lsn: int | None = None
    sequence: str | None = None
    tx_id: int | None = None
    snapshot: str | bool | None = STREAMED

    @property
    def streamed(self) -> bool:
        """Whether the change was read from the WAL."""
        return self.snapshot in (STREAMED, False, None)

    @property
    def initial(self) -> bool:
        """Whether it is a row of the initial snapshot (flags true, first, last, …)."""
        return not self.streamed and self.snapshot != INCREMENTAL
