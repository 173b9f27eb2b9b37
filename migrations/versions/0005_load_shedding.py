"""`load_shedding`: what ingest shall leave out while the replication slot nears its limit.

Revision 0005, after 0004. Frozen: it never imports `ingest.tables`, which changes.

One row. The watch writes it every few seconds, ingest reads it as often; it is not published,
because it is a message between two of our processes and its changes would be events of no use.
What a level means stands in `contracts/shedding.py`; here it is only a number.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOAD_SHEDDING = """
CREATE TABLE load_shedding (
    only_row boolean NOT NULL DEFAULT true,
    level smallint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_load_shedding PRIMARY KEY (only_row),
    CONSTRAINT ck_load_shedding_one_row CHECK (only_row),
    CONSTRAINT ck_load_shedding_level CHECK (level >= 0)
) WITH (fillfactor = 20);  -- updated for ever: room for HOT updates
INSERT INTO load_shedding (level, reason) VALUES (0, 'nothing is shed');

REVOKE ALL ON load_shedding FROM PUBLIC;
GRANT SELECT, UPDATE ON load_shedding TO tidemark_watch;
GRANT SELECT ON load_shedding TO tidemark_ingest, tidemark_reader;
"""


def upgrade() -> None:
    """Make the table with its row, and grant."""
    op.execute(LOAD_SHEDDING)


def downgrade() -> None:
    """Drop it; ingest and watch of this version then say that the schema is too old."""
    op.execute("DROP TABLE load_shedding")
