"""A waterfall: each variant at each rate, its stages one after the other; as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.benchmarks.latency.quantiles import PARTS
from tests.benchmarks.latency.standings import Place, Standing
from tests.benchmarks.svg import BAR, PALE, bar, picture, text
from tests.benchmarks.variants import OURS

ROW = 26
NAMES, WIDTH, SAID = 170, 620, 210  # pixels of the names, of the longest bar, of what is said of it
TOP = 76
COLOURS = dict(zip(PARTS, ("#0a7d5a", "#57ab8b", "#8c959f", "#c9d1d9"), strict=True))


def draw(found: Mapping[Place, Standing]) -> str:
    """An SVG document. The stages are medians, and so their sum is not quite the whole's."""
    longest = max(map(_sum_ms, found.values()), default=1)
    parts = [
        text(NAMES, 24, "commit to visible by the heartbeats, p50 of each stage", weight="bold")
    ]
    parts += _legend()
    for at, (place, standing) in enumerate(found.items()):
        parts += _row(place, standing, TOP + ROW * at, WIDTH / longest)
    return picture(NAMES + WIDTH + SAID, TOP + ROW * len(found) + 16, parts)


def _legend() -> Iterator[str]:
    for at, (name, colour) in enumerate(COLOURS.items()):
        left = NAMES + at * 180
        yield bar(left, 40, 18, colour)
        yield text(left + 24, 54, PARTS[name], colour=PALE)


def _row(place: Place, standing: Standing, top: float, scale: float) -> Iterator[str]:
    (variant, rate), left, base = place, float(NAMES), top + BAR / 2 + 4
    weight = "bold" if variant == OURS.name else "normal"
    yield text(NAMES - 10, base, f"{variant} at {rate:,}/s", "end", weight)
    for name, colour in COLOURS.items():
        width = standing.stages[name][0].median * scale
        yield bar(left, top, width, colour)
        left += width
    probe = standing.ways["probe"]
    said = f"probe: p50 {probe.p50.median:.1f}, p99 {probe.p99.median:.1f} ms"
    yield text(left + 6, base, said)


def _sum_ms(standing: Standing) -> float:
    return sum(standing.stages[name][0].median for name in COLOURS)
