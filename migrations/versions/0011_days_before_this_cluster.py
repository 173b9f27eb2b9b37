"""`record_dropped_days`: what only Cassandra has stays history on a cluster that never had it.

Revision 0011, after 0010. Frozen: it never imports `ingest.tables`, which changes.

A new cluster has dropped nothing, so `dropped_days` is empty there, while Cassandra has years. A
day of them that is made again for a late row would look as if PostgreSQL answered for all of it,
and repair would delete the rest. So `tidemark resync` records the days of which Cassandra has rows
and for which there is no partition.

The function takes the lock under which `ensure_partition` makes a day, and looks then: a day is
either there, and not recorded, or is made later, and is recorded already.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Partitions are named as `partition_name` does, which refuses days that nobody could make anyway:
# here they are passed over, as one broken time in Cassandra must not hold up a resync.
RECORD_DROPPED_DAYS = """
CREATE FUNCTION record_dropped_days(table_name text, days date[]) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    recorded int;
BEGIN
    PERFORM public.partition_name(table_name, current_date);  -- an error where it has no days
    EXECUTE format('LOCK TABLE public.%I IN SHARE UPDATE EXCLUSIVE MODE', table_name);
    INSERT INTO public.dropped_days AS d (table_name, day)
        SELECT record_dropped_days.table_name, past FROM unnest(days) AS past
        WHERE past >= date '2009-01-01' AND past < current_date
          AND to_regclass(format('public.%I', format('%s_p%s', record_dropped_days.table_name,
                                                     to_char(past, 'YYYYMMDD')))) IS NULL
        ON CONFLICT ON CONSTRAINT pk_dropped_days DO NOTHING;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION record_dropped_days(text, date[]) IS
    'Record as dropped those past days that the table does not hold; how many were new';
REVOKE ALL ON FUNCTION record_dropped_days(text, date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_dropped_days(text, date[]) TO tidemark_repair;
"""


def upgrade() -> None:
    """Make the function; `tidemark resync` calls it, and so does each sweep."""
    op.execute(RECORD_DROPPED_DAYS)


def downgrade() -> None:
    """Drop it; what it has recorded stays."""
    op.execute("DROP FUNCTION record_dropped_days(text, date[])")
