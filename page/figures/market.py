"""Figures of a market: candles with volume, a price and its average, the book, the heat."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

import plotly.graph_objects as go

from page import candles as pure
from page import formats
from page.candles import Width
from page.figures.layout import figure, floats, price_range, price_ticks
from page.patterns import Pattern, patterns
from page.rows import Book, Candle, Price, Ticker
from page.theme import ACCENT, AMBER, BACKGROUND, DOWN, LINE, PANEL, TEXT, UP, VIOLET

AVERAGE_OF = 20  # candles
DEPTH_SHARE = Decimal("0.005")  # of the middle price, to either side
DEPTH_LEVELS = 20  # at least
# of a pattern its shape, colour and whether it stands above the candle
MARKS = {
    Pattern.DOJI: ("circle-open", ACCENT, True),
    Pattern.HAMMER: ("diamond", VIOLET, False),
    Pattern.BULLISH_ENGULFING: ("triangle-up", UP, False),
    Pattern.BEARISH_ENGULFING: ("triangle-down", DOWN, True),
}
HEAT_SYMBOLS = 60
HEAT_PERCENT = 8.0  # a change from which on the colour does not deepen


def candlesticks(
    candles: Sequence[Candle], width: Width, *, view: str, tick: Decimal | None = None
) -> go.Figure:
    """Candles over their volume, with the mean of the last AVERAGE_OF; the open one is hollow."""
    times = [each.open_time for each in candles]
    colours = [UP if each.close >= each.open else DOWN for each in candles]
    made = figure(
        [
            _sticks([each for each in candles if each.is_closed], UP, DOWN, "closed"),
            _sticks(
                [each for each in candles if not each.is_closed], BACKGROUND, BACKGROUND, "open"
            ),
            go.Scatter(
                x=times,
                y=floats(pure.moving_average(candles, AVERAGE_OF)),
                name=f"mean of {AVERAGE_OF}",
                mode="lines",
                line={"color": AMBER, "width": 1.3},
            ),
            go.Bar(
                x=times,
                y=floats(each.volume for each in candles),
                name="volume",
                yaxis="y2",
                width=[width.length.total_seconds() * 800] * len(times),
                marker={"color": colours, "opacity": 0.55, "line": {"width": 0}},
            ),
            *_marks(candles),
        ],
        height=470,
        view=view,
        xaxis={"rangeslider": {"visible": False}, "anchor": "y2"},
        bargap=0.2,
    )
    made.update_layout(
        yaxis={
            "domain": [0.24, 1.0],
            **price_ticks([candles[-1].close] if candles else [], tick),
            **price_range(
                min((each.low for each in candles), default=None),
                max((each.high for each in candles), default=None),
                tick,
            ),
        },
        yaxis2={"domain": [0.0, 0.19], "side": "right", "gridcolor": LINE, "nticks": 3},
    )
    return made


def _sticks(candles: Sequence[Candle], up: str, down: str, name: str) -> go.Candlestick:
    return go.Candlestick(
        x=[each.open_time for each in candles],
        open=floats(each.open for each in candles),
        high=floats(each.high for each in candles),
        low=floats(each.low for each in candles),
        close=floats(each.close for each in candles),
        name=name,
        increasing={"line": {"color": UP, "width": 1.2}, "fillcolor": up},
        decreasing={"line": {"color": DOWN, "width": 1.2}, "fillcolor": down},
    )


def _marks(candles: Sequence[Candle]) -> list[go.Scatter]:
    """A trace for each pattern that occurs: above the candle what warns, below it what promises."""
    found = patterns(candles)
    traces = []
    for pattern, (shape, colour, above) in MARKS.items():
        marked = [each for each, its in zip(candles, found, strict=True) if its is pattern]
        if marked:
            traces.append(
                go.Scatter(
                    x=[each.open_time for each in marked],
                    y=floats(each.high if above else each.low for each in marked),
                    name=pattern.value,
                    mode="markers",
                    marker={"symbol": shape, "color": colour, "size": 8, "standoff": 7},
                )
            )
    return traces


def trend(prices: Sequence[Price], *, view: str, tick: Decimal | None = None) -> go.Figure:
    """A price against the mean of its last five minutes."""
    times = [each.observed_at for each in prices]
    return figure(
        [
            go.Scatter(
                x=times,
                y=floats(pure.trailing_average(prices)),
                name="5 min mean",
                mode="lines",
                line={"color": AMBER, "width": 1.6},
            ),
            go.Scatter(
                x=times,
                y=floats(each.price for each in prices),
                name="price",
                mode="lines",
                line={"color": ACCENT, "width": 1.3},
            ),
        ],
        height=280,
        view=view,
        yaxis={
            **price_ticks([prices[-1].price] if prices else [], tick),
            **price_range(
                min((each.price for each in prices), default=None),
                max((each.price for each in prices), default=None),
                tick,
            ),
        },
    )


def depth(book: Book, *, view: str, tick: Decimal | None = None) -> go.Figure:
    """What could be sold and bought up to each price, near the middle."""
    sides = []
    if book.bids and book.asks:
        middle = (book.bids[0][0] + book.asks[0][0]) / 2
        for levels, name, colour in ((book.bids, "bids", UP), (book.asks, "asks", DOWN)):
            reached = pure.cumulative(levels, DEPTH_SHARE, middle, DEPTH_LEVELS)
            sides.append(
                go.Scatter(
                    x=floats(price for price, _ in reached),
                    y=floats(amount for _, amount in reached),
                    name=name,
                    mode="lines",
                    line={"color": colour, "width": 1.4, "shape": "hv"},
                    fill="tozeroy",
                    fillcolor=_translucent(colour),
                )
            )
    prices = [levels[0][0] for levels in (book.bids, book.asks) if levels]
    return figure(sides, height=250, view=view, xaxis={**price_ticks(prices, tick), "nticks": 5})


def heat(tickers: Sequence[Ticker], *, view: str) -> go.Figure:
    """The most traded symbols: as large as their turnover, as green or red as their change."""
    shown = sorted(tickers, key=lambda each: -each.quote_volume)[:HEAT_SYMBOLS]
    return figure(
        [
            go.Treemap(
                # Plotly reads some HTML in its texts
                labels=[escape(each.symbol) for each in shown],
                parents=[""] * len(shown),
                values=floats(each.quote_volume for each in shown),
                text=[formats.percent(each.price_change_percent) for each in shown],
                customdata=[
                    (formats.price(each.last), formats.compact(each.quote_volume)) for each in shown
                ],
                texttemplate="<b>%{label}</b><br>%{text}",
                hovertemplate="%{label} %{customdata[0]}<br>%{text} in 24 h<br>"
                "turnover %{customdata[1]}<extra></extra>",
                textfont={"color": TEXT},
                marker={
                    "colors": floats(each.price_change_percent for each in shown),
                    "colorscale": [[0, "#a83f3d"], [0.5, "#2a333d"], [1, "#23805f"]],
                    "cmin": -HEAT_PERCENT,
                    "cmax": HEAT_PERCENT,
                    "line": {"width": 1, "color": BACKGROUND},
                    "pad": dict.fromkeys("tlbr", 0),
                },
                root={"color": PANEL},
                pathbar={"visible": False},
                tiling={"pad": 1},
            )
        ],
        height=352,
        view=view,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"
