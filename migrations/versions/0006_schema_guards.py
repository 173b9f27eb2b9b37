"""Guards of what is published: nobody truncates it by mistake, and the sink may ask who altered it.

Revision 0006, after 0005. Frozen: it never imports `ingest.tables`, which changes.

No role but the owner has TRUNCATE (0004), and the owner is who makes mistakes: a TRUNCATE halts the
table's replication, and of a leaf partition it emits nothing at all, so that the copies would
differ silently. A statement trigger refuses it, also to a superuser, on every published table and
on each partition, those that `ensure_partition` makes later included. Who means it says so first:

    SET tidemark.allow_truncate = 'on'

The revision is what the sink names when it finds a column changed (docs/schema-changes.md).
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

REFUSE_TRUNCATE = """
CREATE FUNCTION refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('tidemark.allow_truncate', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'TRUNCATE % is refused: it would halt replication, or go unseen',
                TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'DELETE the rows, or drop_partition(table, day) for whole days; '
                         'docs/runbook.md, chapter table_halted, says what follows if you '
                         'SET tidemark.allow_truncate = ''on''';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION refuse_truncate() IS 'Refuses TRUNCATE unless tidemark.allow_truncate is on';
REVOKE ALL ON FUNCTION refuse_truncate() FROM PUBLIC;

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN
        SELECT r.prrelid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE p.pubname = 'tidemark'
        UNION
        SELECT t.relid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid,
            pg_partition_tree(r.prrelid) t
        WHERE p.pubname = 'tidemark'
    LOOP
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s '
                       'FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()', guarded);
    END LOOP;
END
$$;
"""

GUARD = """
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_truncate()', partition);"""


# As 0002 made it, but for {guard}.
ENSURE_PARTITION = """
CREATE OR REPLACE FUNCTION ensure_partition(table_name text, day date) RETURNS boolean
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
                   partition, parent);{guard}
    IF (SELECT relreplident = 'f' FROM pg_class WHERE oid = parent) THEN
        EXECUTE format('ALTER TABLE public.%I REPLICA IDENTITY FULL', partition);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, partition, day::timestamptz, (day + 1)::timestamptz);
    RETURN true;
END
$$
"""


def upgrade() -> None:
    """Guard what is there and what will be."""
    op.execute(REFUSE_TRUNCATE)
    op.execute(ENSURE_PARTITION.replace("{guard}", GUARD))
    op.execute("GRANT SELECT ON alembic_version TO tidemark_repair")


def downgrade() -> None:
    """Take the guards away."""
    op.execute("REVOKE SELECT ON alembic_version FROM tidemark_repair")
    op.execute(ENSURE_PARTITION.replace("{guard}", ""))
    op.execute("DROP FUNCTION refuse_truncate() CASCADE")  # and its triggers
