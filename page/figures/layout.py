"""What all figures share: one calm look, no frames, a zoom that outlives a refresh."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go

from page import formats
from page.theme import FONT, LINE, MUTED, PANEL, TEXT

CONFIG: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False, "responsive": True}


def figure(traces: Iterable[Any], *, height: int, view: str, **layout: Any) -> go.Figure:
    """A figure of `height` px. While `view` stays the same, what a person zoomed into stays."""
    made = go.Figure(data=list(traces))
    made.update_layout(
        height=height,
        uirevision=view,
        paper_bgcolor=PANEL,
        plot_bgcolor=PANEL,
        font={"family": FONT, "size": 12, "color": MUTED},
        margin={"l": 8, "r": 8, "t": 8, "b": 6},
        hovermode="x",
        hoverlabel={"bgcolor": LINE, "bordercolor": LINE, "font": {"color": TEXT, "size": 12}},
        showlegend=False,
        dragmode="pan",
    )
    made.update_xaxes(
        gridcolor=LINE, zeroline=False, linecolor=LINE, automargin=True, fixedrange=False
    )
    made.update_yaxes(
        gridcolor=LINE, zeroline=False, side="right", automargin=True, fixedrange=True
    )
    made.update_layout(**layout)
    return made


def price_ticks(values: Iterable[Decimal], tick: Decimal | None = None) -> dict[str, Any]:
    """How an axis of prices is written: their decimals, never an exponent."""
    places = max((formats.decimals(value, tick) for value in values), default=2)
    return {"tickformat": f",.{places}f", "hoverformat": f",.{places}f"}


def price_range(
    low: Decimal | None, high: Decimal | None, tick: Decimal | None = None
) -> dict[str, Any]:
    """Limits of an axis of prices: around them, and some ticks wide where they hardly differ.

    Left to itself Plotly shows −1 … 1 around a price that stands still, whatever its size.
    """
    if low is None or high is None:
        return {}
    around = max((high - low) / 20, 3 * (tick or high / 1000))
    return {"range": [float(low - around), float(high + around)], "nticks": 7}


def floats(values: Iterable[Decimal | None]) -> list[float | None]:
    """What Plotly draws."""
    return [None if value is None else float(value) for value in values]
