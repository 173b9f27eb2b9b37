"""HTML of tables, tiles and notices. Every text goes through `escape`; nothing else makes HTML.

Streamlit's own tables and messages read Markdown, which a symbol or a message could hold as well.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from urllib.parse import urlencode

from page import formats
from page.theme import ACCENT, DOWN, UP

TONES = ("up", "down", "warn", "muted", "flat", "")


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table: its tone (one of TONES), and a link where it leads somewhere."""

    text: str
    tone: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with its label, a note below, and a line of the past where there is one."""

    label: str
    value: str
    note: str = ""
    tone: str = "flat"
    link: str = ""
    past: tuple[float, ...] = ()


def tone_of(change: Decimal | None) -> str:
    """`up`, `down`, or `flat` where nothing changed or nothing is known."""
    if not change:
        return "flat"
    return "up" if change > 0 else "down"


def symbol_link(venue: str, symbol: str) -> str:
    """Address of a symbol's view; whatever the symbol holds stays one value of the query."""
    return "symbol?" + urlencode({"venue": venue, "symbol": symbol})


def table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, note: str = ""
) -> str:
    """A panel with a table; a header that begins with `>` makes its column right-aligned."""
    sides = [' class="tm-r"' if header.startswith(">") else "" for header in headers]
    head = "".join(
        f"<th{side}>{escape(header.removeprefix('>'))}</th>"
        for header, side in zip(headers, sides, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, side) for cell, side in zip(row, sides, strict=True)) + "</tr>"
        for row in rows
    )
    inside = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _panel(title, note, inside if body else _empty("no data yet"))


def empty(title: str, text: str) -> str:
    """A panel that says why it is empty."""
    return _panel(title, "", _empty(text))


def tiles(shown: Iterable[Tile]) -> str:
    """A row of tiles, as many beside each other as fit."""
    return f'<div class="tm-tiles">{"".join(_tile(tile) for tile in shown)}</div>'


def status(freshness: str, text: str, *, aside: str = "") -> str:
    """A line with a dot that is green, amber or red: `fresh`, `late`, `stale`."""
    dot = f'<span class="tm-dot tm-{escape(freshness)}"></span>'
    return f'<div class="tm-status">{dot}<b>{escape(text)}</b> {escape(aside)}</div>'


def notice(text: str, *, bad: bool = False) -> str:
    """A message that stands out."""
    return f'<div class="tm-notice{" tm-bad" if bad else ""}">{escape(text)}</div>'


def title(text: str, note: str = "") -> str:
    """The heading of a figure."""
    return f'<div class="tm-title"><b>{escape(text)}</b><span>{escape(note)}</span></div>'


def _panel(heading: str, note: str, inside: str) -> str:
    return f'<div class="tm-panel">{title(heading, note)}{inside}</div>'


def _empty(text: str) -> str:
    return f'<div class="tm-empty">{escape(text)}</div>'


def _cell(cell: Cell | str, side: str) -> str:
    if isinstance(cell, str):
        return f"<td{side}>{escape(cell)}</td>"
    text = _linked(cell.text, cell.link)
    return f"<td{side}>{_toned(text, cell.tone)}</td>"


def _linked(text: str, link: str) -> str:
    if not link:
        return escape(text)
    return f'<a href="{escape(link)}" target="_self">{escape(text)}</a>'


def _toned(html: str, tone: str) -> str:
    return f'<span class="tm-{escape(tone)}">{html}</span>' if tone else html


def _tile(tile: Tile) -> str:
    note = f'<div class="tm-note">{escape(tile.note)}</div>' if tile.note else ""
    past = _sparkline(tile.past, tile.tone) if len(tile.past) > 1 else ""
    return (
        f'<div class="tm-tile tm-{escape(tile.tone)}">'
        f'<div class="tm-label">{_linked(tile.label, tile.link)}</div>'
        f'<div class="tm-value">{escape(tile.value)}</div>{note}{past}</div>'
    )


def _sparkline(values: Sequence[float], tone: str) -> str:
    """A line as a picture: the page's HTML is cleaned of drawings, pictures stay."""
    low, high = min(values), max(values)
    height = (high - low) or 1.0
    points = " ".join(
        f"{100 * place / (len(values) - 1):.1f},{23 - 22 * (value - low) / height:.1f}"
        for place, value in enumerate(values)
    )
    colour = {"up": UP, "down": DOWN}.get(tone, ACCENT)
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 24" preserveAspectRatio="none">'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
    coded = base64.b64encode(drawn.encode()).decode()
    return f'<img alt="" src="data:image/svg+xml;base64,{coded}">'


def change(value: Decimal | None) -> Cell:
    """A percentage in its colour."""
    return Cell(formats.percent(value), tone_of(value))
