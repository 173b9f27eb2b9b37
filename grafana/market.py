"""The dashboard Market: who moves, what everything costs, where the large trades are."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizTextDisplayOptions
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

from grafana import looks, transformations, variables
from grafana.board import Board
from grafana.freshness import heartbeat_age
from grafana.query import Query, buckets, cql, last
from grafana.targets import CASSANDRA

RULE = (
    "Ranked are pairs of the chosen quote asset that are TRADING, were traded within the 24 h, "
    "turned over at least `TIDEMARK_MOVERS_MIN_QUOTE_VOLUME` of the quote asset (1,000,000 by "
    "default) and have statistics younger than an hour. Which quote assets are ranked is "
    "`TIDEMARK_MOVERS_QUOTES`. At the end of the dashboard's range: choose an older one and see "
    "the past."
)
HEAT = (
    (None, "#b71c1c"),
    (-5.0, looks.RED),
    (-1.0, "#616161"),
    (1.0, looks.GREEN),
    (5.0, "#00796b"),
)
STALE = looks.stale_after(amber_ms=60_000, red_ms=600_000)
RANKINGS = {"gainers": "Top 5 gainers", "losers": "Top 5 losers", "volume": "Top 5 by volume"}


def movers(ranking: str) -> Query:
    """The newest snapshot of a ranking; of two days, for just after midnight one is empty."""
    return Query(
        cql(
            "SELECT quote_asset, rank, symbol, CAST(last AS double) AS last,",
            "CAST(price_change_percent AS double) AS change,",
            "CAST(quote_volume AS double) AS turnover, snapshot_at,",
            "(bigint)$__timeTo - toUnixTimestamp(snapshot_at) AS age_ms FROM movers_24h",
            "WHERE venue = ${venue:sqlstring} AND quote_asset = ${quote:sqlstring}",
            f"AND ranking = '{ranking}' AND {buckets('day', '1d')}",
            "AND snapshot_at <= $__timeTo PER PARTITION LIMIT 5",
        ),
        series="quote_asset",
        shape="table",
    )


def ranked_in_the_last_hour(ranking: str) -> Query:
    """Each symbol's change over the last hour, as far as it was ranked."""
    return Query(
        cql(
            "SELECT symbol, snapshot_at, CAST(price_change_percent AS double) AS change",
            "FROM movers_24h WHERE venue = ${venue:sqlstring}",
            f"AND quote_asset = ${{quote:sqlstring}} AND ranking = '{ranking}'",
            f"AND {buckets('day', '1d')} AND {last('1h', 'snapshot_at')}",
        ),
        series="symbol",
    )


PRICES = Query(
    cql(
        "SELECT venue AS prices, symbol, CAST(price AS double) AS price, observed_at",
        "FROM latest_prices WHERE venue = ${venue:sqlstring}",
    ),
    series="prices",
    shape="table",
)
STATISTICS = Query(
    cql(
        "SELECT venue AS statistics, symbol, CAST(price_change_percent AS double) AS change,",
        "CAST(low AS double) AS low, CAST(high AS double) AS high,",
        "CAST(quote_volume AS double) AS turnover, trade_count AS trades",
        "FROM ticker_24h WHERE venue = ${venue:sqlstring}",
    ),
    series="statistics",
    shape="table",
)
CHANGES = Query(
    cql(
        "SELECT venue AS statistics, symbol, CAST(price_change_percent AS double) AS change,",
        "CAST(quote_volume AS double) AS turnover FROM ticker_24h WHERE venue = ${venue:sqlstring}",
    ),
    series="statistics",
    shape="table",
)
INSTRUMENTS = Query(
    cql(
        "SELECT venue AS listing, symbol, quote_asset, status",
        "FROM instruments WHERE venue = ${venue:sqlstring}",
    ),
    series="listing",
    shape="table",
)
LARGE_TRADES = Query(
    cql(
        "SELECT venue, traded_at, symbol, is_buyer_maker AS side, CAST(price AS double) AS price,",
        "CAST(quantity AS double) AS quantity, CAST(notional_usd AS double) AS usd",
        "FROM large_trades_by_day WHERE venue = ${venue:sqlstring}",
        f"AND {buckets('day', '1d')} AND traded_at <= $__timeTo PER PARTITION LIMIT 50",
    ),
    series="venue",
    shape="table",
)

HIDDEN = ("quote_asset", "status")  # by which pairs are chosen
OF_THE_QUOTE = (
    transformations.merge(),
    transformations.keep("quote_asset", "equal", "${quote}"),
    transformations.keep("status", "equal", "TRADING"),
    transformations.sort("turnover", descending=True),
)


def build() -> Board:
    """The whole dashboard."""
    board = Board(
        "tidemark-market",
        "Market",
        "Who moves, what everything costs, where the large trades are.",
        since="now-6h",
        refresh="10s",
    )
    board.sources(CASSANDRA)
    variables.venue(board)
    variables.quote(board)
    variables.market_events(board)
    heartbeat_age(board)
    _heat(board)
    board.row("Movers of 24 hours")
    for ranking, title in RANKINGS.items():
        _ranking(board, ranking, title)
    for ranking, title in RANKINGS.items():
        _sparklines(board, ranking, title)
    board.row("Now")
    _current_prices(board)
    _large_trades(board)
    return board


def _ranking(board: Board, ranking: str, title: str) -> None:
    nobody = Setting("mappings", looks.words({"": ("–", looks.GREY)}))
    panel = looks.rows(
        {
            "symbol": [looks.symbol_link(), nobody],
            "last": looks.price(),
            "change": looks.named("24 h", *looks.signed(), looks.wide(68)),
            "turnover": [*looks.unit(looks.AMOUNT), looks.wide(74)],
            "age_ms": looks.named("age", *looks.unit("ms", 0), *STALE, looks.wide(56)),
        },
        empty="no ranking in the two days before the end of the range",
    )
    panel.with_transformation(transformations.sort("snapshot_at", descending=True))
    panel.with_transformation(transformations.limit(5))
    # from first to last; the number says no more than the row's place
    hidden = ["quote_asset", "rank", "snapshot_at"]
    panel.with_transformation(transformations.columns(without=hidden))
    board.panel(panel, title, RULE, movers(ranking), size=(8, 8))


def _sparklines(board: Board, ranking: str, title: str) -> None:
    panel = looks.lines(looks.PERCENT, 2).fill_opacity(0).legend(looks.legend_beside())
    # the question bounds itself, also in the past, where Grafana ignores this: it is for the axis
    panel.display_name("${__series.name}").time_from("1h")
    panel.with_transformation(transformations.sort("snapshot_at"))
    board.panel(
        panel,
        f"{title}, over time",
        "The 24 h change of each pair over the hour before the end of the range, as long as it was "
        "ranked: the line of a pair that dropped out ends there.",
        ranked_in_the_last_hour(ranking),
        size=(8, 7),
    )


def _heat(board: Board) -> None:
    panel = (
        stat.Panel()
        .unit(looks.PERCENT)
        .decimals(1)
        .display_name("${__data.fields.symbol}")
        .thresholds(looks.thresholds(*HEAT))
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .text(VizTextDisplayOptions().title_size(9).value_size(13))
        .reduce_options(ReduceDataOptions().values(True).limit(60))
        .no_value("no statistics of this quote asset")
    )
    # the change alone is a number: a field is found by the name that is shown, here the pair's
    shown = transformations.columns(without=["statistics", "turnover", "listing", *HIDDEN])
    for each in (*OF_THE_QUOTE, transformations.limit(60), shown):
        panel.with_transformation(each)
    board.panel(
        panel,
        "Heat of the market, now",
        "The 24 h change of the sixty most traded pairs of the quote asset, the largest first. Of "
        "now, whatever the dashboard's range: of the whole market only the newest statistics are "
        "kept.",
        CHANGES,
        INSTRUMENTS,
        size=(20, 8),
    )


def _current_prices(board: Board) -> None:
    panel = looks.rows(
        {
            "symbol": [looks.symbol_link()],
            "price": looks.price(),
            "change": looks.named("24 h", *looks.signed(), looks.wide(72)),
            "low": looks.price(),
            "high": looks.price(),
            "turnover": [*looks.unit(looks.AMOUNT), looks.wide(80)],
            "trades": [*looks.unit(looks.AMOUNT), looks.wide(70)],
            "observed_at": looks.named("seen", *looks.age(), looks.wide(136)),
        },
        empty="no prices of this quote asset",
    )
    hidden = ["prices", "statistics", "listing", *HIDDEN]
    order = ["symbol", "price", "change", "low", "high", "turnover", "trades", "observed_at"]
    for each in (*OF_THE_QUOTE, transformations.columns(order, without=hidden)):
        panel.with_transformation(each)
    board.panel(
        panel,
        "Current prices",
        "Every pair of the quote asset that is TRADING, the most traded first. Of now, whatever "
        "the dashboard's range; the last column says how old a price is.",
        PRICES,
        STATISTICS,
        INSTRUMENTS,
        size=(14, 14),
    )


def _large_trades(board: Board) -> None:
    panel = looks.rows(
        {
            "traded_at": looks.named("when", *looks.age()),
            "symbol": [looks.symbol_link()],
            "side": looks.side_of_taker(),
            "price": looks.price(),
            "quantity": looks.price(),
            "usd": looks.named("USD", *looks.unit(looks.MONEY)),
        },
        empty="no trade above 100,000 USD in two days",
    )
    panel.with_transformation(transformations.sort("traded_at", descending=True))
    panel.with_transformation(transformations.limit(50))
    panel.with_transformation(transformations.columns(without=["venue"]))
    board.panel(
        panel,
        "Large trades",
        "Trades worth more than 100,000 USD, the newest 50 up to the end of the range. A pair "
        "whose quote asset cannot be priced in USD has none.",
        LARGE_TRADES,
        size=(10, 14),
    )
