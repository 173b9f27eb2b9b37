"""Bars and words of the benchmarks' pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

BAR = 18  # pixels, of a bar's height
INK, PALE = "#24292f", "#6e7781"


def picture(width: float, height: float, parts: Iterable[str]) -> str:
    """An SVG document on white."""
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bar(left: float, top: float, width: float, colour: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(width, 1):.1f}" height="{BAR}" '
        f'fill="{colour}"/>'
    )


def text(
    left: float,
    base: float,
    said: str,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = INK,
) -> str:
    return (
        f'<text x="{left:.1f}" y="{base:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{colour}">{escape(said)}</text>'
    )
