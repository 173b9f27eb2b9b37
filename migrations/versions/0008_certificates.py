"""Certificates: per symbol and minute, whether its trades make the exchange's candle.

Revision 0008, after 0007. Frozen: it never imports `ingest.tables`, which changes.

Beside the table, the one way in which a stored trade is ever changed: `correct_trades` puts the
trades of one minute right, with the owner's rights, since ingestion may only append. It cannot be
used to lose or to invent any: unless the minute then holds as many trades as its closed candle
says, nothing happens. Deletes and updates reach the copies like every other change.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CERTIFICATES = """
CREATE TABLE certificates (
    venue text NOT NULL, symbol text NOT NULL,
    open_time timestamptz NOT NULL,
    state text NOT NULL,
    trade_count bigint NOT NULL, first_trade_id bigint NOT NULL, last_trade_id bigint NOT NULL,
    detail text NOT NULL,
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_certificates PRIMARY KEY (venue, symbol, open_time),
    CONSTRAINT ck_certificates_open_time_ms
        CHECK (date_trunc('milliseconds', open_time) = open_time),
    CONSTRAINT ck_certificates_state
        CHECK (state IN ('certified', 'incomplete', 'differs', 'unprovable')),
    -- short enough never to be stored out of line, so that a touched row carries it whole
    CONSTRAINT ck_certificates_detail CHECK (char_length(detail) <= 400)
) PARTITION BY RANGE (open_time);
-- what of a venue is looked at again, oldest first
CREATE INDEX ix_certificates_unsettled ON certificates (venue, open_time, symbol)
    WHERE state IN ('incomplete', 'differs');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON certificates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
ALTER PUBLICATION tidemark ADD TABLE certificates;

REVOKE ALL ON certificates FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON certificates TO tidemark_ingest;
GRANT SELECT, UPDATE ON certificates TO tidemark_repair;
GRANT SELECT ON certificates TO tidemark_cdc, tidemark_watch, tidemark_reader;
"""

PARTITIONED_TABLES = """
CREATE OR REPLACE FUNCTION partitioned_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['prices', 'depth', 'trades', 'ticker_24h_history', 'movers_24h', 'heartbeat',
                 'outbox'{more}]
$$
"""

FIRST_DAYS = """
SELECT ensure_partition('certificates', (now() AT TIME ZONE 'UTC')::date + ahead)
FROM generate_series(-1, 7) AS ahead
"""

CORRECT_TRADES = """
CREATE FUNCTION correct_trades(
    of_venue text, of_symbol text, minute timestamptz, wrong json, told json
) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    next_minute timestamptz := minute + interval '1 minute';
    removed int;
    changed int;
    due bigint;
    held bigint;
BEGIN
    IF date_trunc('minute', minute) <> minute THEN
        RAISE EXCEPTION '% is no whole minute', minute USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM public.trades AS t
    USING json_to_recordset(wrong) AS w (trade_id bigint, traded_at timestamptz)
    WHERE t.venue = of_venue AND t.symbol = of_symbol
      AND t.traded_at >= minute AND t.traded_at < next_minute
      AND t.traded_at = w.traded_at AND t.trade_id = w.trade_id;
    GET DIAGNOSTICS removed = ROW_COUNT;
    INSERT INTO public.trades AS t (venue, symbol, trade_id, traded_at, traded_at_us, price,
        quantity, quote_quantity, notional_usd, is_buyer_maker, is_best_match)
    SELECT of_venue, of_symbol, r.trade_id, r.traded_at, r.traded_at_us, r.price,
        r.quantity, r.quote_quantity, r.notional_usd, r.is_buyer_maker, r.is_best_match
    FROM json_to_recordset(told) AS r (trade_id bigint, traded_at timestamptz,
        traded_at_us bigint, price numeric(38,18), quantity numeric(38,18),
        quote_quantity numeric(38,18), notional_usd numeric(38,18), is_buyer_maker boolean,
        is_best_match boolean)
    WHERE r.traded_at >= minute AND r.traded_at < next_minute
    ORDER BY r.traded_at, r.trade_id
    ON CONFLICT (venue, symbol, traded_at, trade_id) DO UPDATE
    SET traded_at_us = excluded.traded_at_us, price = excluded.price,
        quantity = excluded.quantity, quote_quantity = excluded.quote_quantity,
        notional_usd = excluded.notional_usd, is_buyer_maker = excluded.is_buyer_maker,
        is_best_match = excluded.is_best_match, ingested_at = excluded.ingested_at
    WHERE (t.traded_at_us, t.price, t.quantity, t.quote_quantity, t.is_buyer_maker,
           t.is_best_match)
        IS DISTINCT FROM (excluded.traded_at_us, excluded.price, excluded.quantity,
           excluded.quote_quantity, excluded.is_buyer_maker, excluded.is_best_match);
    GET DIAGNOSTICS changed = ROW_COUNT;
    SELECT trade_count INTO due FROM public.klines AS k
    WHERE k.venue = of_venue AND k.symbol = of_symbol AND k.interval = '1m'
      AND k.open_time = minute AND k.is_closed;
    SELECT count(*) INTO held FROM public.trades AS t
    WHERE t.venue = of_venue AND t.symbol = of_symbol
      AND t.traded_at >= minute AND t.traded_at < next_minute;
    IF held IS DISTINCT FROM due THEN
        RAISE EXCEPTION 'the minute would hold % trades, its closed candle says %',
                held, coalesce(due::text, 'nothing')
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN removed + changed;
END
$$;
COMMENT ON FUNCTION correct_trades(text, text, timestamptz, json, json) IS
    'Remove the wrong trades of a minute and put in those told, if its candle then has its count';
REVOKE ALL ON FUNCTION correct_trades(text, text, timestamptz, json, json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION correct_trades(text, text, timestamptz, json, json) TO tidemark_ingest;
"""


def upgrade() -> None:
    """Make the table with its first days, publish it, and the function."""
    op.execute(CERTIFICATES)
    op.execute(PARTITIONED_TABLES.replace("{more}", ", 'certificates'"))
    op.execute(FIRST_DAYS)
    op.execute(CORRECT_TRADES)


def downgrade() -> None:
    """Drop both; the publication loses the table with it."""
    op.execute("DROP FUNCTION correct_trades(text, text, timestamptz, json, json)")
    op.execute(PARTITIONED_TABLES.replace("{more}", ""))
    op.execute("DROP TABLE certificates")
