"""`drop_quarantine`: rows that were set aside long ago go.

Revision 0010, after 0009. Frozen: it never imports `ingest.tables`, which changes.

Nobody looks at what failed validation a month ago, and a source that is broken for days sets a lot
aside. The table is not published, so its DELETEs are no events. Some thousand rows a call: whoever
calls it goes on until there are none.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DROP_QUARANTINE = """
CREATE FUNCTION drop_quarantine(older_than timestamptz, at_most int) RETURNS int
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM public.quarantine WHERE id IN (
            SELECT id FROM public.quarantine WHERE received_at < older_than
             ORDER BY received_at LIMIT at_most
        ) RETURNING id
    )
    SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION drop_quarantine(timestamptz, int) IS
    'Delete the oldest rows of quarantine that came before a time; how many there were';
REVOKE ALL ON FUNCTION drop_quarantine(timestamptz, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_quarantine(timestamptz, int) TO tidemark_watch;
"""


def upgrade() -> None:
    """Make the function; `tidemark retention apply` calls it."""
    op.execute(DROP_QUARANTINE)


def downgrade() -> None:
    """Drop it; rows of quarantine stay for ever then."""
    op.execute("DROP FUNCTION drop_quarantine(timestamptz, int)")
