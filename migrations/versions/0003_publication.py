"""What Debezium reads: the publication `tidemark`, which names its tables.

Revision 0003, after 0002. Frozen: it never imports `ingest.tables`, which changes.

`publish_via_partition_root`: a partition's changes carry its root's name, so one topic per table,
and new partitions flow at once. TRUNCATE is published too: the sink halts the table and says so,
because to swallow it would make the copies differ silently.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PUBLICATION = """
CREATE PUBLICATION tidemark FOR TABLE
    instruments, prices, depth, trades, klines, ticker_24h, ticker_24h_history, movers_24h,
    coin_markets, gaps, events, heartbeat, outbox
WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)
"""


def upgrade() -> None:
    """Publish; a replication slot that exists already starts to carry these tables."""
    op.execute(PUBLICATION)


def downgrade() -> None:
    """Stop publishing; a connector that runs then fails and says that it is missing."""
    op.execute("DROP PUBLICATION tidemark")
