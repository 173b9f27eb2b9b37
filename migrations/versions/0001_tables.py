"""The tables, their keys, checks and indexes.

Revision 0001, after nothing. Frozen: it never imports `ingest.tables`, which changes.

The primary keys are the indexes of the hot queries (tests/integration/test_migrations_plans.py
reads each plan):

    prices, depth        the newest of a symbol; a symbol between two times (verification)
    trades               the tape of a symbol between two times; its last trade id, the newest row's
    klines               candles of a symbol and interval between two times; holes in a backfill
    ticker_24h           one symbol; ranking reads the whole venue, a few thousand rows
    ticker_24h_history   a symbol between two times
    movers_24h           the newest snapshot of a ranking; a ranking between two times
    coin_markets         a coin between two times
    gaps                 a symbol's holes in a stream
    events               a venue's annotations between two times
    heartbeat            a source's newest beat
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MARKET = """
CREATE TABLE instruments (
    venue text NOT NULL, symbol text NOT NULL,
    base_asset text NOT NULL, quote_asset text NOT NULL, status text NOT NULL,
    tick_size numeric(38,18) NOT NULL, lot_size numeric(38,18) NOT NULL,
    min_notional numeric(38,18) NOT NULL,
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_instruments PRIMARY KEY (venue, symbol)
);

CREATE TABLE prices (
    venue text NOT NULL, symbol text NOT NULL,
    observed_at timestamptz NOT NULL,
    price numeric(38,18) NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_prices PRIMARY KEY (venue, symbol, observed_at),
    CONSTRAINT ck_prices_observed_at_ms
        CHECK (date_trunc('milliseconds', observed_at) = observed_at)
) PARTITION BY RANGE (observed_at);

CREATE TABLE depth (
    venue text NOT NULL, symbol text NOT NULL,
    observed_at timestamptz NOT NULL,
    last_update_id bigint NOT NULL,
    bids jsonb NOT NULL, asks jsonb NOT NULL,
    best_bid numeric(38,18) NOT NULL, best_bid_quantity numeric(38,18) NOT NULL,
    best_ask numeric(38,18) NOT NULL, best_ask_quantity numeric(38,18) NOT NULL,
    spread numeric(38,18) NOT NULL, imbalance numeric(38,18) NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_depth PRIMARY KEY (venue, symbol, observed_at),
    CONSTRAINT ck_depth_observed_at_ms
        CHECK (date_trunc('milliseconds', observed_at) = observed_at)
) PARTITION BY RANGE (observed_at);

CREATE TABLE trades (
    venue text NOT NULL, symbol text NOT NULL,
    trade_id bigint NOT NULL,
    traded_at timestamptz NOT NULL, traded_at_us bigint NOT NULL,
    price numeric(38,18) NOT NULL, quantity numeric(38,18) NOT NULL,
    quote_quantity numeric(38,18) NOT NULL, notional_usd numeric(38,18) NOT NULL,
    is_buyer_maker boolean NOT NULL, is_best_match boolean NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_trades PRIMARY KEY (venue, symbol, traded_at, trade_id),
    CONSTRAINT ck_trades_traded_at_ms
        CHECK (date_trunc('milliseconds', traded_at) = traded_at)
) PARTITION BY RANGE (traded_at);

CREATE TABLE klines (
    venue text NOT NULL, symbol text NOT NULL, interval text NOT NULL,
    open_time timestamptz NOT NULL, close_time timestamptz NOT NULL,
    open numeric(38,18) NOT NULL, high numeric(38,18) NOT NULL,
    low numeric(38,18) NOT NULL, close numeric(38,18) NOT NULL,
    volume numeric(38,18) NOT NULL, quote_volume numeric(38,18) NOT NULL,
    trade_count bigint NOT NULL,
    taker_buy_volume numeric(38,18) NOT NULL, taker_buy_quote_volume numeric(38,18) NOT NULL,
    is_closed boolean NOT NULL,
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_klines PRIMARY KEY (venue, symbol, interval, open_time),
    CONSTRAINT ck_klines_open_time_ms
        CHECK (date_trunc('milliseconds', open_time) = open_time)
);

CREATE TABLE coin_markets (
    venue text NOT NULL, coin_id text NOT NULL, vs_currency text NOT NULL,
    ts_event timestamptz NOT NULL,
    symbol text NOT NULL, name text NOT NULL,
    price numeric(38,18) NOT NULL,
    market_cap numeric(38,18), market_cap_rank integer, total_volume numeric(38,18),
    high_24h numeric(38,18), low_24h numeric(38,18), price_change_percent_24h numeric(38,18),
    circulating_supply numeric(38,18), total_supply numeric(38,18), max_supply numeric(38,18),
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_coin_markets PRIMARY KEY (venue, coin_id, vs_currency, ts_event),
    CONSTRAINT ck_coin_markets_ts_event_ms
        CHECK (date_trunc('milliseconds', ts_event) = ts_event)
);
"""

STATISTICS = """
CREATE TABLE ticker_24h (
    venue text NOT NULL, symbol text NOT NULL,
    as_of timestamptz NOT NULL, open_time timestamptz NOT NULL,
    open numeric(38,18) NOT NULL, high numeric(38,18) NOT NULL, low numeric(38,18) NOT NULL,
    last numeric(38,18) NOT NULL, last_quantity numeric(38,18) NOT NULL,
    weighted_average numeric(38,18) NOT NULL, previous_close numeric(38,18) NOT NULL,
    price_change numeric(38,18) NOT NULL, price_change_percent numeric(38,18) NOT NULL,
    bid numeric(38,18) NOT NULL, bid_quantity numeric(38,18) NOT NULL,
    ask numeric(38,18) NOT NULL, ask_quantity numeric(38,18) NOT NULL,
    volume numeric(38,18) NOT NULL, quote_volume numeric(38,18) NOT NULL,
    first_trade_id bigint NOT NULL, last_trade_id bigint NOT NULL, trade_count bigint NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_ticker_24h PRIMARY KEY (venue, symbol)
);

CREATE TABLE ticker_24h_history (
    venue text NOT NULL, symbol text NOT NULL,
    as_of timestamptz NOT NULL, open_time timestamptz NOT NULL,
    open numeric(38,18) NOT NULL, high numeric(38,18) NOT NULL, low numeric(38,18) NOT NULL,
    last numeric(38,18) NOT NULL, last_quantity numeric(38,18) NOT NULL,
    weighted_average numeric(38,18) NOT NULL, previous_close numeric(38,18) NOT NULL,
    price_change numeric(38,18) NOT NULL, price_change_percent numeric(38,18) NOT NULL,
    bid numeric(38,18) NOT NULL, bid_quantity numeric(38,18) NOT NULL,
    ask numeric(38,18) NOT NULL, ask_quantity numeric(38,18) NOT NULL,
    volume numeric(38,18) NOT NULL, quote_volume numeric(38,18) NOT NULL,
    first_trade_id bigint NOT NULL, last_trade_id bigint NOT NULL, trade_count bigint NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_ticker_24h_history PRIMARY KEY (venue, symbol, as_of),
    CONSTRAINT ck_ticker_24h_history_as_of_ms CHECK (date_trunc('milliseconds', as_of) = as_of)
) PARTITION BY RANGE (as_of);

CREATE TABLE movers_24h (
    venue text NOT NULL, quote_asset text NOT NULL, ranking text NOT NULL,
    snapshot_at timestamptz NOT NULL,
    rank integer NOT NULL,
    symbol text NOT NULL,
    last numeric(38,18) NOT NULL, price_change_percent numeric(38,18) NOT NULL,
    quote_volume numeric(38,18) NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_movers_24h PRIMARY KEY (venue, quote_asset, ranking, snapshot_at, rank),
    CONSTRAINT ck_movers_24h_snapshot_at_ms
        CHECK (date_trunc('milliseconds', snapshot_at) = snapshot_at)
) PARTITION BY RANGE (snapshot_at);
"""

WATCHING = """
CREATE TABLE gaps (
    venue text NOT NULL, symbol text NOT NULL, stream text NOT NULL,
    first_missing bigint NOT NULL, last_missing bigint NOT NULL,
    state text NOT NULL, cause text NOT NULL, detail text NOT NULL,
    detected_at timestamptz NOT NULL,
    as_of timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_gaps PRIMARY KEY (venue, symbol, stream, first_missing),
    CONSTRAINT ck_gaps_state
        CHECK (state IN ('open', 'repaired', 'exchange-confirmed', 'unprovable')),
    CONSTRAINT ck_gaps_range CHECK (last_missing >= first_missing)
);
-- what of a venue is to be repaired, oldest first: status, repair
CREATE INDEX ix_gaps_open ON gaps (venue, detected_at) WHERE state = 'open';

CREATE TABLE events (
    venue text NOT NULL,
    at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', now()),
    id bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    kind text NOT NULL,
    symbol text NOT NULL DEFAULT '', severity text NOT NULL DEFAULT 'info',
    message text NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_events PRIMARY KEY (venue, at, id),
    CONSTRAINT ck_events_at_ms CHECK (date_trunc('milliseconds', at) = at),
    CONSTRAINT ck_events_severity CHECK (severity IN ('info', 'warning', 'critical'))
);
-- what happened last, whatever the venue: status
CREATE INDEX ix_events_at ON events (at);

CREATE TABLE heartbeat (
    source text NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    CONSTRAINT pk_heartbeat PRIMARY KEY (source, beat_at),
    CONSTRAINT ck_heartbeat_beat_at_ms CHECK (date_trunc('milliseconds', beat_at) = beat_at)
) PARTITION BY RANGE (beat_at);

CREATE TABLE outbox (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL,
    payload jsonb NOT NULL,
    CONSTRAINT pk_outbox PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
"""

OURS = """
CREATE TABLE quarantine (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    source text NOT NULL, endpoint text NOT NULL, reason text NOT NULL,
    raw bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_quarantine PRIMARY KEY (id)
);
-- how many lately: status; what came last: a person
CREATE INDEX ix_quarantine_received_at ON quarantine (received_at);

CREATE TABLE dropped_days (
    table_name text NOT NULL, day date NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_dropped_days PRIMARY KEY (table_name, day)
);

CREATE TABLE backfills (
    venue text NOT NULL, symbol text NOT NULL, interval text NOT NULL,
    start_time timestamptz NOT NULL, end_time timestamptz NOT NULL,
    next_time timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_backfills PRIMARY KEY (venue, symbol, interval, start_time, end_time)
);
"""

TABLES = (
    "instruments, prices, depth, trades, klines, coin_markets, ticker_24h, ticker_24h_history, "
    "movers_24h, gaps, events, heartbeat, outbox, quarantine, dropped_days, backfills"
)


def upgrade() -> None:
    """Make the tables."""
    for statements in (MARKET, STATISTICS, WATCHING, OURS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the tables with all their partitions and rows."""
    op.execute(f"DROP TABLE {TABLES}")
