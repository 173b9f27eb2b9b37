"""`backfills`: of any stream, from any source, with the checksum of the file that it came from.

Revision 0007, after 0006. Frozen: it never imports `ingest.tables`, which changes.

A row says that everything in [start_time, next_time) of a stream is stored, and where it came from:
`rest`, or a file of the exchange's public archive. A file that is published again has another
checksum; its rows then count no longer as loaded. What end was once asked for is of no use any more
and goes. Not published: it is a memory of one program of ours.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

GRANTS = """
REVOKE ALL ON backfills FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON backfills TO tidemark_ingest;
GRANT SELECT ON backfills TO tidemark_watch, tidemark_reader;
"""

# of several backfills from one moment on, the one that came furthest knows all that the others do
BY_SOURCE = """
ALTER TABLE backfills RENAME TO backfills_by_interval;
ALTER TABLE backfills_by_interval RENAME CONSTRAINT pk_backfills TO pk_backfills_by_interval;
CREATE TABLE backfills (
    venue text NOT NULL, symbol text NOT NULL, stream text NOT NULL,
    start_time timestamptz NOT NULL, next_time timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source text NOT NULL, checksum text NOT NULL,
    CONSTRAINT pk_backfills PRIMARY KEY (venue, symbol, stream, start_time)
);
INSERT INTO backfills (venue, symbol, stream, start_time, next_time, source, checksum)
SELECT venue, symbol, 'klines_' || interval, start_time, max(next_time), 'rest', ''
FROM backfills_by_interval GROUP BY venue, symbol, interval, start_time;
DROP TABLE backfills_by_interval;
"""

BY_INTERVAL = """
ALTER TABLE backfills RENAME TO backfills_by_source;
ALTER TABLE backfills_by_source RENAME CONSTRAINT pk_backfills TO pk_backfills_by_source;
CREATE TABLE backfills (
    venue text NOT NULL, symbol text NOT NULL, interval text NOT NULL,
    start_time timestamptz NOT NULL, end_time timestamptz NOT NULL,
    next_time timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_backfills PRIMARY KEY (venue, symbol, interval, start_time, end_time)
);
INSERT INTO backfills (venue, symbol, interval, start_time, end_time, next_time)
SELECT venue, symbol, substr(stream, 8), start_time, next_time, next_time
FROM backfills_by_source WHERE stream LIKE 'klines\\_%';
DROP TABLE backfills_by_source;
"""


def upgrade() -> None:
    """Keep what is known of candles, as loaded by REST."""
    op.execute(BY_SOURCE)
    op.execute(GRANTS)


def downgrade() -> None:
    """Keep what is known of candles; what is known of trades goes."""
    op.execute(BY_INTERVAL)
    op.execute(GRANTS)
