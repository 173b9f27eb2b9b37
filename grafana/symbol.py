"""The dashboard Symbol: candles, price, book, tape and statistics of one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import bargauge
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizTextDisplayOptions
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

from grafana import looks, variables
from grafana import transformations as then
from grafana.board import Board
from grafana.candles import candlesticks
from grafana.freshness import heartbeat_age
from grafana.query import Query, bucket, buckets, cql, within_range
from grafana.targets import CASSANDRA

OF_THE_SYMBOL = "WHERE venue = ${venue:sqlstring} AND symbol = ${symbol:sqlstring}"
LEVELS = 10
NOT_WATCHED = "this symbol is not watched in full (TIDEMARK_SYMBOLS)"

PRICE = Query(
    cql(
        "SELECT symbol, observed_at, CAST(price AS double) AS price",
        f"FROM prices_by_day {OF_THE_SYMBOL}",
        f"AND {buckets('day', '1d')} AND {within_range('observed_at')}",
    ),
    series="symbol",
    days=1,
)


def _of_books(*columns: str) -> Query:
    return Query(
        cql(
            f"SELECT symbol, observed_at, {', '.join(columns)} FROM depth_by_hour {OF_THE_SYMBOL}",
            f"AND {buckets('hour', '1h', count=7)} AND {within_range('observed_at')}",
        ),
        series="symbol",
        days=0.25,
    )


SPREAD = _of_books(
    "CAST(spread AS double) AS spread",
    "CAST(spread AS double) / CAST(best_ask AS double) * 10000 AS basis_points",
)
IMBALANCE = _of_books("CAST(imbalance AS double) AS imbalance")
LARGE_TRADES = Query(
    cql(
        "SELECT venue, traded_at, symbol, is_buyer_maker AS side, CAST(price AS double) AS price,",
        "CAST(quantity AS double) AS quantity, CAST(notional_usd AS double) AS usd",
        "FROM large_trades_by_day WHERE venue = ${venue:sqlstring}",
        f"AND {buckets('day', '1d')} AND traded_at <= $__timeTo PER PARTITION LIMIT 2000",
    ),
    series="venue",
    shape="table",
)


def newest(selected: str, table: str, column: str, width: str, rows: int) -> tuple[Query, Query]:
    """The newest rows up to the range's end: of its bucket, and of the one before.

    That one, as the newest bucket may have just begun; two queries, as Cassandra orders one
    partition at a time. The panel merges them.
    """
    time = {"trades_by_hour": "traded_at", "ticker_24h_by_day": "as_of"}.get(table, "observed_at")
    this, before = (
        Query(
            cql(
                f"SELECT symbol, {time}, {selected} FROM {table} {OF_THE_SYMBOL}",
                f"AND {column} = {bucket(width, back)} AND {time} <= $__timeTo",
                f"ORDER BY {time} DESC LIMIT {rows}",
            ),
            series="symbol",
            shape="table",
            back=back,
        )
        for back in (0, 1)
    )
    return this, before


TAPE = newest(
    "trade_id, is_buyer_maker AS side, CAST(price AS double) AS price, "
    "CAST(quantity AS double) AS quantity, CAST(notional_usd AS double) AS usd",
    "trades_by_hour",
    "hour",
    "1h",
    100,
)
BOOK = newest("bids, asks", "depth_by_hour", "hour", "1h", 1)
STATISTICS = newest(
    "CAST(last AS double) AS last, CAST(price_change_percent AS double) AS change, "
    "CAST(low AS double) AS low, CAST(high AS double) AS high, "
    "CAST(weighted_average AS double) AS mean, CAST(volume AS double) AS volume, "
    "CAST(quote_volume AS double) AS turnover, trade_count AS trades",
    "ticker_24h_by_day",
    "day",
    "1d",
    1,
)


def build() -> Board:
    """The whole dashboard."""
    board = Board(
        "tidemark-symbol",
        "Symbol",
        "Candles, price, book, tape and statistics of one pair.",
        since="now-6h",
        refresh="5s",
    )
    board.sources(CASSANDRA)
    variables.venue(board)
    variables.symbol(board)
    variables.interval(board)
    variables.market_events(board)
    variables.gaps(board)
    heartbeat_age(board)
    _statistics(board)
    candlesticks(board)
    _tape(board)
    board.row("Price and book")
    _lines(board)
    _depth(board)
    _large_trades(board)
    return board


def _statistics(board: Board) -> None:
    panel = looks.number(looks.PRICE, (None, looks.BLUE), fields="/.*/").no_value(NOT_WATCHED)
    panel.decimals(looks.PRICE_DECIMALS).text(VizTextDisplayOptions().title_size(12).value_size(15))
    panel.override_by_name("change", [*looks.unit(looks.PERCENT, 2), *_sign()])
    for name in ("volume", "turnover", "trades"):
        panel.override_by_name(name, looks.unit(looks.AMOUNT, 1))
    for each in (*_newest_of_both("as_of", 1), then.columns(without=["symbol", "as_of"])):
        panel.with_transformation(each)
    board.panel(
        panel,
        "24 hours before the end of the range",
        "The newest statistics of the exchange, within two days.",
        *STATISTICS,
        size=(20, 4),
    )


def _sign() -> list[Setting]:
    return [Setting("thresholds", looks.thresholds(*looks.SIGN).build())]


def _newest_of_both(time: str, rows: int) -> list[DataTransformerConfig]:
    return [then.merge(), then.sort(time, descending=True), then.limit(rows)]


def _tape(board: Board) -> None:
    panel = looks.rows(_trade_columns(), empty=NOT_WATCHED)
    for each in (*_newest_of_both("traded_at", 100), then.columns(without=["symbol", "trade_id"])):
        panel.with_transformation(each)
    board.panel(
        panel,
        "Tape",
        "The hundred newest trades up to the end of the range, within its hour and the one before.",
        *TAPE,
        size=(8, 14),
    )


def _trade_columns() -> Mapping[str, Sequence[Setting]]:
    return {
        "traded_at": looks.named("when", *looks.unit("time:HH:mm:ss.SSS"), looks.wide(104)),
        "side": [*looks.side_of_taker(), looks.wide(50)],
        "price": looks.price(),
        "quantity": looks.price(),
        "usd": looks.named("USD", *looks.unit(looks.MONEY), looks.wide(84)),
    }


def _lines(board: Board) -> None:
    price = looks.lines(looks.PRICE, looks.PRICE_DECIMALS)
    price.with_transformation(then.moving_average("price", 30, "mean of five minutes", of="A"))
    board.panel(
        price,
        "Price",
        "Each price that was seen, and the mean of thirty of them (five minutes at one each 10 s). "
        "Of the range's last day at least; before the day before its end it stays empty.",
        PRICE,
        size=(8, 9),
    )
    spread = looks.lines(looks.PRICE, looks.PRICE_DECIMALS)
    right = [
        *looks.unit("suffix:bp", 4),
        Setting("custom.axisPlacement", "right"),
        Setting("custom.axisSoftMin", 0),
    ]
    spread.override_by_name("basis_points", looks.named("of the best ask", *right))
    about = "Of the range's last six hours at least."
    board.panel(spread, "Spread", f"Best ask less best bid. {about}", SPREAD, size=(8, 9))
    imbalance = looks.lines("percentunit", 0).min(-1).max(1)
    board.panel(
        imbalance,
        "Imbalance",
        f"(bids − asks) / (bids + asks) of the stored levels' quantities; 100 %: no asks. {about}",
        IMBALANCE,
        size=(8, 9),
    )


def _depth(board: Board) -> None:
    asks = {f"[{level}][1]": f"ask {level + 1}" for level in range(LEVELS)}
    bids = {f"[{level}][1]": f"bid {level + 1}" for level in range(LEVELS)}
    order = [*reversed(asks.values()), *bids.values()]
    panel = (
        bargauge.Panel()
        .unit(looks.PRICE)
        .decimals(looks.PRICE_DECIMALS)
        .no_value(NOT_WATCHED)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .thresholds(looks.thresholds((None, looks.GREY)))  # of the words where there is no book
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("/^(ask|bid) /"))
    )
    panel.override_by_regexp("/^ask/", [looks.color(looks.RED)])
    panel.override_by_regexp("/^bid/", [looks.color(looks.GREEN)])
    for each in (
        *_newest_of_both("observed_at", 1),
        then.extract("asks", asks),
        then.extract("bids", bids),
        then.numbers(order),
        then.columns(order, without=["symbol", "observed_at", "asks", "bids"]),
    ):
        panel.with_transformation(each)
    board.panel(
        panel,
        "Depth",
        "Quantities of the ten best levels of each side, the best in the middle, in the newest "
        "book up to the end of the range.",
        *BOOK,
        size=(8, 16),
    )


def _large_trades(board: Board) -> None:
    panel = looks.rows(
        {**_trade_columns(), "traded_at": looks.named("when", *looks.age(), looks.wide(136))},
        empty="no trade above 100,000 USD in two days",
    )
    for each in (
        then.keep("symbol", "equal", "${symbol}"),
        then.sort("traded_at", descending=True),
        then.columns(without=["venue", "symbol"]),
    ):
        panel.with_transformation(each)
    board.panel(
        panel,
        "Large trades",
        "Trades worth more than 100,000 USD of the range's last day and the day before, out of the "
        "venue's newest 2,000 of each day.",
        LARGE_TRADES,
        size=(16, 16),
    )
