"""A picture of the standings: rows a second with their spread, CPU a row; as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.benchmarks.sink.contestants import BY_NAME, OURS
from tests.benchmarks.sink.standings import Standing
from tests.benchmarks.svg import BAR, INK, PALE, bar, picture, text

ROW = 34
NAMES, WIDTH = 150, 330  # pixels of the names, and of each half's longest bar
SPEED, CPU = NAMES, NAMES + WIDTH + 90
TOP = 56
FOOTNOTE = "* rows from memory: neither Kafka nor JSON in the clock"
OURS_COLOUR, THEIR_COLOUR, CASSANDRA_COLOUR = "#0a7d5a", "#8c959f", "#c9d1d9"


def draw(found: Mapping[str, Standing]) -> str:
    """An SVG document."""
    parts = [
        text(SPEED, 24, "rows a second: median, least and most", weight="bold"),
        text(CPU, 24, "CPU a row, µs: client + Cassandra", weight="bold"),
    ]
    fastest = max((each.rows_per_s.most for each in found.values()), default=1)
    dearest = max((_cpu(each) for each in found.values()), default=1)
    for at, standing in enumerate(found.values()):
        parts += _bars(standing, TOP + ROW * at, fastest, dearest)
    note = text(SPEED, TOP + ROW * len(found) + 8, FOOTNOTE, colour=PALE)
    return picture(CPU + WIDTH + 110, TOP + ROW * len(found) + 24, [*parts, note])


def _bars(standing: Standing, top: float, fastest: float, dearest: float) -> Iterator[str]:
    ours = standing.name == OURS
    colour = OURS_COLOUR if ours else THEIR_COLOUR
    middle = top + BAR / 2
    name = standing.name + (" *" if BY_NAME[standing.name].way == "memory" else "")
    yield text(NAMES - 10, middle + 4, name, "end", "bold" if ours else "normal")

    speed, scale = standing.rows_per_s, WIDTH / fastest
    yield bar(SPEED, top, speed.median * scale, colour)
    least, most = SPEED + speed.least * scale, SPEED + speed.most * scale
    yield (
        f'<path d="M{least:.1f} {middle:.1f}H{most:.1f}M{least:.1f} {top + 4:.1f}v{BAR - 8}'
        f'M{most:.1f} {top + 4:.1f}v{BAR - 8}" stroke="{INK}" fill="none"/>'
    )
    yield text(most + 6, middle + 4, f"{speed.median:,.0f}")

    scale = WIDTH / dearest
    client, cassandra = standing.client_us.median * scale, standing.cassandra_us.median * scale
    yield bar(CPU, top, client, colour)
    yield bar(CPU + client, top, cassandra, CASSANDRA_COLOUR)
    said = f"{standing.client_us.median:.1f} + {standing.cassandra_us.median:.1f}"
    yield text(CPU + client + cassandra + 6, middle + 4, said)


def _cpu(standing: Standing) -> float:
    return standing.client_us.median + standing.cassandra_us.median
