"""`listings`: which asset a symbol stood for, and when.

Revision 0009, after 0008. Frozen: it never imports `ingest.tables`, which changes.

A symbol's name may come back as another asset (decision 0024). Rows of trades, candles and prices
bear the name and a time; the newest listing that began by then says what they are of. One row when
a symbol is first seen and one each time that it comes back, so few that they are read whole.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LISTINGS = """
CREATE TABLE listings (
    venue text NOT NULL,
    symbol text NOT NULL,
    listed_at timestamptz NOT NULL,
    base_asset text NOT NULL,
    quote_asset text NOT NULL,
    delisted_at timestamptz,
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_listings PRIMARY KEY (venue, symbol, listed_at),
    CONSTRAINT ck_listings_listed_at_ms CHECK (date_trunc('milliseconds', listed_at) = listed_at)
);
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON listings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

REVOKE ALL ON listings FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON listings TO tidemark_ingest;
GRANT SELECT, UPDATE ON listings TO tidemark_repair;
GRANT SELECT ON listings TO tidemark_cdc, tidemark_watch, tidemark_reader;

ALTER PUBLICATION tidemark ADD TABLE listings;
"""


def upgrade() -> None:
    """Make the table, grant, publish; it fills with the next exchangeInfo."""
    op.execute(LISTINGS)


def downgrade() -> None:
    """Drop it; what symbols stood for in former times is then nobody's knowledge."""
    op.execute("DROP TABLE listings")
