"""The dashboard Pipeline: is everything here, is it here in time, and what is wrong.

The first half asks Cassandra alone and stands without Prometheus.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, statetimeline
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

from grafana import findings, looks, variables
from grafana import transformations as then
from grafana.board import Board
from grafana.freshness import heartbeat_age
from grafana.metrics import metrics
from grafana.query import Query, buckets, cql, last, texts, within_range
from grafana.targets import CASSANDRA, PROMETHEUS

VERIFIED_TABLES = [
    "certificates_by_day",
    "coin_markets",
    "depth_by_hour",
    "events_by_day",
    "gaps",
    "heartbeats_by_day",
    "instruments",
    "klines",
    "large_trades_by_day",
    "latest_depth",
    "latest_prices",
    "listings",
    "movers_24h",
    "prices_by_day",
    "ticker_24h",
    "ticker_24h_by_day",
    "trades_by_hour",
]


def stages(duration: str, step: str) -> Query:
    """The mean time of each stage, in µs; a beat that is not visible yet is left out by avg."""
    return Query(
        cql(
            f"SELECT source, floor(beat_at, {step}) AS time,",
            "avg(committed_us - toUnixTimestamp(beat_at) * 1000) AS ingest,",
            "avg(captured_us - committed_us) AS debezium,",
            "avg(produced_ms * 1000 - captured_us) AS kafka,",
            "avg(received_us - produced_ms * 1000) AS fetch,",
            "avg(visible_us - received_us) AS cassandra",
            f"FROM heartbeats_by_day WHERE source = 'ingest' AND {buckets('day', '1d')}",
            f"AND {last(duration, 'beat_at')} GROUP BY source, day, floor(beat_at, {step})",
        ),
        series="source",
    )


WATERFALL_NOW = stages("5m", "5m")
WATERFALL = stages("1h", "1m")
VERIFIED = Query(
    cql(
        "SELECT (text)'verified' AS id, table_name, verified_through, at, differences",
        f"FROM verified_through WHERE table_name IN ({texts(VERIFIED_TABLES)})",
    ),
    series="id",
    shape="table",
    nulls=frozenset({"verified_through", "differences"}),  # shown as never, and as no difference
)
CERTIFICATES = Query(
    cql(
        "SELECT symbol, open_time, state FROM certificates_by_day",
        "WHERE venue = ${venue:sqlstring} AND symbol = ${symbol:sqlstring}",
        f"AND {buckets('day', '1d')} AND {within_range('open_time')}",
    ),
    series="symbol",
    days=1,
)


def build() -> Board:
    """The whole dashboard."""
    board = Board(
        "tidemark-pipeline",
        "Pipeline",
        "Is everything here, is it here in time, and what is wrong.",
        since="now-1h",
        refresh="10s",
    )
    board.sources(CASSANDRA, PROMETHEUS)
    variables.venue(board)
    variables.watched_symbol(board)
    variables.alarms(board)
    variables.market_events(board)
    variables.gaps(board)
    heartbeat_age(board)
    _waterfall(board)
    board.row("What is proved, what is missing")
    _verified(board)
    findings.gaps(board)
    _certificates(board)
    findings.alarms(board)
    findings.dead_letters(board)
    metrics(board)
    return board


def _waterfall(board: Board) -> None:
    now = (
        bargauge.Panel()
        .unit("µs")
        .no_value("no heartbeat in five minutes")
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .thresholds(looks.thresholds((None, looks.BLUE)))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields(""))
    )
    about = (
        "Mean time of each stage, by ingest's heartbeats: ingest, until PostgreSQL has committed; "
        "debezium, until it is read from the WAL; kafka, until it is in the log; fetch, until the "
        "sink has it; cassandra, until it is acknowledged and visible."
    )
    board.panel(now, "Latency, now", f"{about} Of five minutes.", WATERFALL_NOW, size=(6, 8))
    over_time = looks.lines("µs").fill_opacity(40)
    over_time.stacking(StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    board.panel(
        over_time,
        "From commit to visible",
        f"{about} Stacked, a minute a step, over the hour before the end of the range.",
        WATERFALL,
        size=(14, 8),
    )


def _verified(board: Board) -> None:
    differences = looks.thresholds((None, looks.GREEN), (1, looks.RED)).build()
    panel = looks.rows(
        {
            "table_name": looks.named("table", looks.wide(168)),
            "verified_through": looks.named("proved through", *looks.age()),
            "at": looks.named("last pass", *looks.age()),
            "differences": [
                looks.wide(92),
                Setting("thresholds", differences),
                Setting("custom.cellOptions", {"type": "color-text"}),
            ],
        },
        empty="nothing has been verified yet",
    )
    panel.with_transformation(then.sort("table_name"))
    panel.with_transformation(then.columns(without=["id"]))
    board.panel(
        panel,
        "Verified through",
        "Up to when each table of Cassandra was proved equal to PostgreSQL, without a hole, and "
        "what the last pass found and did not heal. As it is now, whatever the range.",
        VERIFIED,
        size=(10, 12),
    )


def _certificates(board: Board) -> None:
    states = looks.words(
        {
            "certified": ("certified", looks.GREEN),
            "incomplete": ("incomplete", looks.AMBER),
            "differs": ("differs", looks.RED),
            "unprovable": ("unprovable", looks.GREY),
        }
    )
    panel = (
        statetimeline.Panel()
        .mappings(states)
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .no_value("no minute of this symbol was judged in this range")
    )
    panel.with_transformation(then.columns(without=["symbol"]))
    board.panel(
        panel,
        "Certificates of ${symbol}",
        "Minutes whose trades make the exchange's candle. Of the range's last day at least.",
        CERTIFICATES,
        size=(24, 4),
    )
