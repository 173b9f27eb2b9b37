"""Figures of the pipeline's health: where the time goes, how it went, which minutes are proved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

import plotly.graph_objects as go

from page import formats
from page.figures.layout import figure
from page.health import Took
from page.rows import Minute
from page.theme import ACCENT, AMBER, DOWN, LINE, MUTED, TEXT

STATES = ("certified", "unprovable", "incomplete", "differs")  # from well to bad
_COLOURS = ("#23805f", MUTED, AMBER, DOWN)
_LATENCIES_MS = tuple(step * 10**power for power in range(6) for step in (1, 2, 5))


def waterfall(stages: Sequence[Took]) -> go.Figure:
    """The median of each stage, one after the other, as a row goes through them."""
    texts = [
        f"{formats.milliseconds(each.p50_ms)} (p99 {formats.milliseconds(each.p99_ms)})"
        for each in stages
    ]
    total = sum(each.p50_ms for each in stages)
    return figure(
        [
            go.Waterfall(
                orientation="h",
                y=[*(each.stage for each in stages), "sum"],
                x=[*(each.p50_ms for each in stages), total],
                measure=[*["relative"] * len(stages), "total"],
                text=[*texts, formats.milliseconds(total)],
                textposition="outside",
                textfont={"color": TEXT},
                cliponaxis=False,
                connector={"line": {"color": LINE, "width": 1}},
                increasing={"marker": {"color": ACCENT}},
                totals={"marker": {"color": MUTED}},
                hoverinfo="skip",
            )
        ],
        height=250,
        view="waterfall",
        xaxis={"ticksuffix": " ms", "rangemode": "tozero", "range": [0, (total or 1) * 1.75]},
        yaxis={"autorange": "reversed", "side": "left"},
    )


def arrivals(took: Sequence[tuple[datetime, float]]) -> go.Figure:
    """From commit to visible, beat by beat; logarithmic, as a stall is a hundred times a beat."""
    return figure(
        [
            go.Scattergl(
                x=[at for at, _ in took],
                y=[max(ms, 0.1) for _, ms in took],
                mode="markers",
                name="commit → visible",
                marker={"color": ACCENT, "size": 3, "opacity": 0.8},
            )
        ],
        height=250,
        view="arrivals",
        yaxis={
            "type": "log",
            "tickvals": _LATENCIES_MS,
            "ticktext": [formats.milliseconds(each).replace(".00", "") for each in _LATENCIES_MS],
            "hoverformat": ".1f",
        },
    )


def certificates(minutes: Sequence[Minute]) -> go.Figure:
    """A line a symbol, a cell a minute: proved, or what is wrong; empty where not judged yet."""
    symbols = sorted({each.symbol for each in minutes}, reverse=True)
    times = sorted({each.open_time for each in minutes})
    place = {at: number for number, at in enumerate(times)}
    line = {symbol: number for number, symbol in enumerate(symbols)}
    cells: list[list[int | None]] = [[None] * len(times) for _ in symbols]
    for each in minutes:
        if each.state in STATES:
            cells[line[each.symbol]][place[each.open_time]] = STATES.index(each.state)
    steps = len(STATES)
    scale = [
        [edge / steps, colour]
        for number, colour in enumerate(_COLOURS)
        for edge in (number, number + 1)
    ]
    return figure(
        [
            go.Heatmap(
                x=times,
                y=[escape(symbol) for symbol in symbols],
                z=cells,
                text=[[None if c is None else STATES[c] for c in row] for row in cells],
                hovertemplate="%{y} %{x|%H:%M}<br>%{text}<extra></extra>",
                colorscale=scale,
                zmin=-0.5,
                zmax=steps - 0.5,
                showscale=False,
                xgap=0,
                ygap=2,
                opacity=0.85,
            )
        ],
        height=max(110, 40 + 22 * len(symbols)),
        view="certificates",
        hovermode="closest",
        yaxis={"side": "left", "type": "category", "showgrid": False},
        xaxis={"showgrid": False},
    )
