"""Who may do what: the least that each role needs, and nothing for PUBLIC.

Revision 0004, after 0003. Frozen: it never imports `ingest.tables`, which changes.

DELETE and TRUNCATE are nobody's but the owner's: rows leave by whole days, through
`drop_partition`. A right on a partitioned table covers its partitions when they are reached through
it, and nobody gets one on a partition itself. The roles are the cluster's, made by `tidemark up`.
tests/integration/test_migrations_roles.py tries every verb of every role on every table.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLES = "tidemark_ingest, tidemark_cdc, tidemark_repair, tidemark_watch, tidemark_reader"

PUBLISHED = (
    "instruments, prices, depth, trades, klines, ticker_24h, ticker_24h_history, movers_24h, "
    "coin_markets, gaps, events, heartbeat, outbox"
)
OURS = "quarantine, dropped_days, backfills"
UPSERTED = "instruments, klines, ticker_24h, coin_markets, gaps, backfills"
APPENDED = (
    "prices, depth, trades, ticker_24h_history, movers_24h, events, heartbeat, outbox, quarantine"
)

ROLES_EXIST = """
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(name, ', ') INTO missing
    FROM unnest(ARRAY['tidemark_ingest', 'tidemark_cdc', 'tidemark_repair', 'tidemark_watch',
                      'tidemark_reader']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'roles are missing: %', missing
            USING HINT = '`tidemark up` makes them; elsewhere: CREATE ROLE … LOGIN PASSWORD …';
    END IF;
END
$$
"""

# PUBLIC could otherwise connect to the database and make temporary tables in it.
DATABASE = f"""
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {ROLES}', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO tidemark_ingest', current_database());
END
$$
"""

GRANTS = f"""
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {ROLES};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {ROLES};

-- ingest: append, upsert, read back; TEMPORARY above is for bulk loads by COPY
GRANT SELECT, INSERT ON {APPENDED} TO tidemark_ingest;
GRANT SELECT, INSERT, UPDATE ON {UPSERTED} TO tidemark_ingest;
GRANT EXECUTE ON FUNCTION ensure_partition(text, date) TO tidemark_ingest;

-- Debezium: snapshot and stream what is published, beat (heartbeat.action.query)
GRANT SELECT ON {PUBLISHED} TO tidemark_cdc;
GRANT INSERT ON heartbeat TO tidemark_cdc;

-- verification and repair: read, touch a row to send it again, beat for the fence
GRANT SELECT ON {PUBLISHED}, dropped_days TO tidemark_repair;
GRANT UPDATE ON {PUBLISHED} TO tidemark_repair;
GRANT INSERT ON heartbeat TO tidemark_repair;

-- the watch: read all, say what happened, make and drop days
GRANT SELECT ON {PUBLISHED}, {OURS} TO tidemark_watch;
GRANT INSERT ON events TO tidemark_watch;
GRANT EXECUTE ON FUNCTION ensure_partition(text, date), ensure_partitions(int),
    drop_partition(text, date) TO tidemark_watch;

-- people and dashboards; raw bodies in quarantine are nobody's reading but the watch's
GRANT SELECT ON {PUBLISHED}, dropped_days, backfills TO tidemark_reader;
"""

BACK_TO_PUBLIC = f"""
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLES};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {ROLES};
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM {ROLES}', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
END
$$
"""


def upgrade() -> None:
    """Grant; an error that names them where roles are missing."""
    for statements in (ROLES_EXIST, DATABASE, GRANTS):
        op.execute(statements)


def downgrade() -> None:
    """Take the grants back; the database's own defaults return."""
    op.execute(BACK_TO_PUBLIC)
