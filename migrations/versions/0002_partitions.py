"""Partitions by UTC day: made and dropped by functions, the first ones at once.

Revision 0002, after 0001. Frozen: it never imports `ingest.tables`, which changes.

The functions run with the owner's rights (SECURITY DEFINER, fixed search_path and time zone), so
that ingestion and the watch need none on the tables' structure; the table must be one that
`partitioned_tables()` lists. They lock the table first and look then, so concurrent calls for the
same day are harmless: the second finds the partition there. Call them in a short transaction.

A partition is made apart and then attached: that needs only SHARE UPDATE EXCLUSIVE on its table,
so neither writers nor a long verification wait, whereas CREATE … PARTITION OF stops them all.
Dropping needs ACCESS EXCLUSIVE for a moment and gives up after 3 s (SQLSTATE 55P03) rather than
make every writer queue behind a long reader: call it again later. Neither emits any change event.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Levels of a book and free text are stored out of line when they are large; a row that is touched
# to send it again must carry them whole. A partition takes its parent's identity when it is made.
REPLICA_IDENTITY = """
ALTER TABLE depth REPLICA IDENTITY FULL;
ALTER TABLE gaps REPLICA IDENTITY FULL;
ALTER TABLE events REPLICA IDENTITY FULL;
"""

PARTITIONED_TABLES = """
CREATE FUNCTION partitioned_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['prices', 'depth', 'trades', 'ticker_24h_history', 'movers_24h', 'heartbeat',
                 'outbox']
$$;
COMMENT ON FUNCTION partitioned_tables() IS 'The tables that are partitioned by UTC day';

CREATE FUNCTION partition_name(table_name text, day date) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF table_name IS NULL OR table_name <> ALL (public.partitioned_tables()) THEN
        RAISE EXCEPTION 'table % is not partitioned by day', quote_nullable(table_name)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'One of: ' || array_to_string(public.partitioned_tables(), ', ');
    END IF;
    IF day IS NULL OR day NOT BETWEEN date '2009-01-01' AND current_date + 40 THEN
        RAISE EXCEPTION 'no partition for day %', quote_nullable(day)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A day from 2009-01-01 to 40 days from now';
    END IF;
    RETURN format('%s_p%s', table_name, to_char(day, 'YYYYMMDD'));
END
$$;
COMMENT ON FUNCTION partition_name(text, date) IS
    'Name of a partition; an error where the table has none or the day is implausible';
"""

ENSURE_PARTITION = """
CREATE FUNCTION ensure_partition(table_name text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    partition text := public.partition_name(table_name, day);
    parent regclass := format('public.%I', table_name);
BEGIN
    IF to_regclass(format('public.%I', partition)) IS NOT NULL THEN
        RETURN false;  -- the usual case takes no lock
    END IF;
    EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(format('public.%I', partition)) IS NOT NULL THEN
        RETURN false;  -- made while we waited; the lock refreshed what we know of the catalogue
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   partition, parent);
    IF (SELECT relreplident = 'f' FROM pg_class WHERE oid = parent) THEN
        EXECUTE format('ALTER TABLE public.%I REPLICA IDENTITY FULL', partition);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, partition, day::timestamptz, (day + 1)::timestamptz);
    RETURN true;
END
$$;
COMMENT ON FUNCTION ensure_partition(text, date) IS
    'Make the empty partition of a day; false if it was there. A dropped day stays recorded';

CREATE FUNCTION ensure_partitions(days_ahead int) RETURNS int
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT count(*) FILTER (WHERE public.ensure_partition(name, current_date + ahead))::int
    FROM unnest(public.partitioned_tables()) AS name, generate_series(0, days_ahead) AS ahead
$$;
COMMENT ON FUNCTION ensure_partitions(int) IS
    'Make the partitions of today and the given number of days to come; how many were new';
"""

DROP_PARTITION = """
CREATE FUNCTION drop_partition(table_name text, day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    partition text := public.partition_name(table_name, day);
BEGIN
    IF day >= current_date THEN
        RAISE EXCEPTION 'day % of table % is not over', day, table_name
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Only a past day can be dropped';
    END IF;
    IF to_regclass(format('public.%I', partition)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', table_name);
    IF to_regclass(format('public.%I', partition)) IS NULL THEN
        RETURN false;  -- dropped while we waited
    END IF;
    EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', table_name, partition);
    EXECUTE format('DROP TABLE public.%I', partition);
    INSERT INTO public.dropped_days AS d (table_name, day)
        VALUES (drop_partition.table_name, drop_partition.day)
        ON CONFLICT ON CONSTRAINT pk_dropped_days DO UPDATE SET dropped_at = excluded.dropped_at;
    RETURN true;
END
$$;
COMMENT ON FUNCTION drop_partition(text, date) IS
    'Drop a past day with its rows, and record it in dropped_days; false if it was not there';
"""

YESTERDAY = """
SELECT ensure_partition(name, (now() AT TIME ZONE 'UTC')::date - 1)
FROM unnest(partitioned_tables()) AS name
"""

FUNCTIONS = (
    "drop_partition(text, date), ensure_partitions(int), ensure_partition(text, date), "
    "partition_name(text, date), partitioned_tables()"
)


def upgrade() -> None:
    """Make the functions, and the partitions from yesterday to a week ahead."""
    for statements in (REPLICA_IDENTITY, PARTITIONED_TABLES, ENSURE_PARTITION, DROP_PARTITION):
        op.execute(statements)
    op.execute(YESTERDAY)
    op.execute("SELECT ensure_partitions(7)")


def downgrade() -> None:
    """Drop the functions; partitions go with their tables, in 0001."""
    op.execute(f"DROP FUNCTION {FUNCTIONS}")
    for table in ("depth", "gaps", "events"):
        op.execute(f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT")
