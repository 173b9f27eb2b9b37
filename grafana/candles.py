"""Candlesticks: closed and open candles, moving averages, and marks of patterns.

A mark is a number that the server computes of a candle's own prices, and a condition on it in the
browser. It cannot look at the candle before, which an engulfing one needs, but it knows the mean of
a column's last two values: twice the mean, less the newer one, is the older one. With `way` (1 of a
candle that rises, −1 of one that falls, by its price, so that limits are shares of it):

    way · (mean of close − middle) ≥ 0    it begins where the last one ended, or before
    way · (mean of open − middle) ≤ 0     it ends where that one began, or beyond
    way · (mean of rise − half) < 0       that one went the other way
    way · mean of rise > 0                its body is the longer one
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import candlestick
from grafana_foundation_sdk.models.candlestick import VizDisplayMode
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue as Setting

from grafana import looks
from grafana import transformations as then
from grafana.board import Board
from grafana.query import Query, buckets, cql, within_range

DAYS = 14

_OF_THE_INTERVAL = cql(
    "FROM klines WHERE venue = ${venue:sqlstring} AND symbol = ${symbol:sqlstring}",
    f"AND interval = ${{interval:sqlstring}} AND {buckets('bucket', '1mo', '1y', '10y')}",
    f"AND {within_range('open_time')}",
)


def _candles(*columns: str) -> Query:
    selected = ", ".join(("symbol", "open_time", *columns))
    return Query(cql(f"SELECT {selected} {_OF_THE_INTERVAL}"), series="symbol", days=DAYS)


def _double(column: str) -> str:
    return f"CAST({column} AS double)"


_OPEN, _HIGH, _LOW, _CLOSE = (_double(each) for each in ("open", "high", "low", "close"))
_LENGTH = f"({_HIGH} - {_LOW})"
_RISE = f"({_CLOSE} - {_OPEN})"
_BODY = f"abs({_CLOSE} - {_OPEN})"
# the lower and the higher of open and close: their middle, half a body down or up
_FOOT = f"({_OPEN} + {_CLOSE} - {_BODY}) / 2"
_HEAD = f"({_OPEN} + {_CLOSE} + {_BODY}) / 2"

CANDLES = _candles(
    *(f"{_double(name)} AS {name}" for name in ("open", "high", "low", "close", "volume"))
)
STILL_OPEN = _candles(f"{_CLOSE} AS still_open", "is_closed")
# of a candle without length 0 / 0 is no number, and no condition holds for it
DOJI = _candles(f"{_HIGH} AS doji", f"{_BODY} / {_LENGTH} AS body", "is_closed")
HAMMER = _candles(
    f"{_LOW} AS hammer",
    f"{_BODY} / {_LENGTH} AS thickness",
    f"({_FOOT} - {_LOW} - {_BODY} * 2) / {_LENGTH} AS shadow",
    f"({_HIGH} - {_HEAD}) / {_LENGTH} AS tip",
    "is_closed",
)
ENGULFING = _candles(
    f"{_CLOSE} AS engulfing",
    f"{_OPEN} AS start",
    f"{_CLOSE} AS end",
    f"{_CLOSE} - {_OPEN} AS rise",  # in brackets it would be a tuple
    f"{_RISE} / 2 AS half",
    f"({_OPEN} + {_CLOSE}) / 2 AS middle",
    f"{_RISE} / {_BODY} / {_CLOSE} AS way",
    "is_closed",
)
_SHARE = 1e-9  # of the price: nothing; a running mean is not exact
_ENGULFING_STEPS = (
    *(then.moving_average(each, 2, f"mean of {each}", of="E") for each in ("start", "end", "rise")),
    then.combined("mean of end", "-", "middle", "from its end", of="E"),
    then.combined("mean of start", "-", "middle", "to its start", of="E"),
    then.combined("mean of rise", "-", "half", "against", of="E"),
    *(
        then.combined(each, "*", "way", name, of="E")
        for each, name in (
            ("from its end", "begins"),
            ("to its start", "ends"),
            ("against", "turns"),
            ("mean of rise", "exceeds"),
        )
    ),
    then.keep("begins", "greaterOrEqual", -_SHARE, of="E"),
    then.keep("ends", "lowerOrEqual", _SHARE, of="E"),
    then.keep("turns", "lower", -_SHARE, of="E"),
    then.keep("exceeds", "greater", _SHARE, of="E"),
    then.keep("is_closed", "equal", value=True, of="E"),  # after each has met the one before it
)
_HELPERS = (
    *("is_closed", "body", "thickness", "shadow", "tip"),
    *("start", "end", "rise", "half", "middle", "way"),
    *("mean of start", "mean of end", "mean of rise", "from its end", "to its start", "against"),
    *("begins", "ends", "turns", "exceeds"),
)

STEPS = (
    then.sort("open_time"),
    then.moving_average("close", 7, "mean of 7", of="A"),
    then.moving_average("close", 25, "mean of 25", of="A"),
    then.keep("is_closed", "equal", value=False, of="B"),
    # of a candle that is still open nobody can say what it will be
    *(then.keep("is_closed", "equal", value=True, of=letter) for letter in "CD"),
    then.keep("body", "lowerOrEqual", 0.1, of="C"),
    then.keep("thickness", "greater", 0.1, of="D"),
    then.keep("shadow", "greaterOrEqual", 0, of="D"),
    then.keep("tip", "lowerOrEqual", 0.1, of="D"),
    *_ENGULFING_STEPS,
    then.columns(without=_HELPERS),
)


def candlesticks(board: Board) -> None:
    """The panel."""
    fields = candlestick.CandlestickFieldMap()
    fields.open("open").high("high").low("low").close("close").volume("volume")
    panel = (
        candlestick.Panel()
        .mode(VizDisplayMode.CANDLES_VOLUME)
        .fields(fields)
        .colors(candlestick.CandlestickColors().up(looks.GREEN).down(looks.RED))
        .include_all_fields(True)
        .legend(looks.legend_below())
        .unit(looks.PRICE)
        .decimals(looks.PRICE_DECIMALS)
        .no_value("no candles of this length in this range")
    )
    panel.override_by_name("volume", looks.unit(looks.AMOUNT, 1))
    panel.override_by_name("mean of 7", [looks.color("#d4e157"), Setting("custom.lineWidth", 1)])
    panel.override_by_name("mean of 25", [looks.color(looks.BLUE), Setting("custom.lineWidth", 1)])
    panel.override_by_name("still_open", looks.marks("open candle, close so far", looks.AMBER, 14))
    panel.override_by_name("doji", looks.marks("doji", "#4dd0e1"))
    panel.override_by_name("hammer", looks.marks("hammer", "#ab47bc"))
    panel.override_by_name("engulfing", looks.marks("engulfing", "#eceff1", 8))
    for each in STEPS:
        panel.with_transformation(each)
    board.panel(
        panel,
        "Candles of ${interval}",
        "Volume below. The large point is the close of the candle that is still open. Marks: a "
        "doji has a body of at most a tenth of its length; a hammer has a thicker one, a lower "
        "shadow of at least twice the body and an upper one of at most a tenth of the length; an "
        "engulfing one goes the other way than the one before, and its body covers and exceeds it. "
        "An open candle has none. What is read reaches back from the end of the range: at least a "
        "month of 1m to 15m, a year of 30m to 4h, ten years above. Before that it stays empty: "
        "choose longer candles.",
        CANDLES,
        STILL_OPEN,
        DOJI,
        HAMMER,
        ENGULFING,
        size=(16, 14),
    )
