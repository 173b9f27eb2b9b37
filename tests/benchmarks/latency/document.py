"""The part of docs/benchmarks.md on latency, written from the results alone.

    python -m tests.benchmarks.latency.document [FILE]

writes it anew from results that were kept, docs/benchmarks-latency.json by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.benchmarks.document import Part, Results, absences, load_line, table
from tests.benchmarks.latency import standings as what
from tests.benchmarks.latency.plot import draw
from tests.benchmarks.latency.quantiles import PARTS, STAGES, WHOLE
from tests.benchmarks.latency.referee import Window
from tests.benchmarks.latency.standings import WAYS, Latency, Place, Standing
from tests.benchmarks.rounds import goals_table, said
from tests.benchmarks.variants import VARIANTS

HEADS = ("variant", "changes/s", "load held", "by", "p50 ms", "p99 ms", "max ms", "p50 ÷ ours")
PARTIES = "PostgreSQL, Connect, Kafka, sink, Cassandra, load and probe"


def line(window: Window) -> str:
    """A window, for a person who waits."""
    whole, probe = window.stages[WHOLE], window.probe
    stages = " + ".join(f"{name} {window.stages[name].p50:.1f}" for name in PARTS)
    return (
        f"round {window.round} {window.contestant} at {window.rate:,}/s "
        f"({'held' if window.held else f'NOT held: {window.rows_per_s:,.0f}'}): probe p50 "
        f"{probe.p50:.1f}, p99 {probe.p99:.1f}, max {probe.most:.1f} ms; heartbeats "
        f"{whole.p50:.1f}, {whole.p99:.1f}, {whole.most:.1f} ({stages}); "
        f"lost {window.probes_lost + window.beats_lost}; load {window.load[0]}, others "
        f"{window.others:.0%}"
    )


def section(results: Results) -> str:
    """What docs/benchmarks.md says of latency."""
    windows = results["windows"]
    found = what.standings(windows)
    lines = [
        f"{results['conditions']}. {load_line(windows, PARTIES)}",
        "",
        *_variants(results),
        "",
        *table(
            HEADS,
            (row for place, each in found.items() for row in _ways(place, each)),
        ),
        "",
        "Where the time goes by the heartbeats, p50 / p99 of each stage in ms; medians of rounds.",
        "",
        *table(
            ("variant", "changes/s", *STAGES.values()),
            (_waterfall(place, each) for place, each in found.items()),
        ),
        "",
        "What it costs: % of a core; medians of the rounds.",
        "",
        *_costs(found),
        "",
        *goals_table(what.goals(windows), f"at {what.GOAL_RATE:,} changes/s"),
    ]
    return "\n".join(lines) + "\n"


def _variants(results: Results) -> Iterator[str]:
    """What the names stand for, and who could not take part."""
    present = {window["contestant"] for window in results["windows"]}
    for variant in VARIANTS:
        if variant.name in present:
            yield f"- **{variant.name}**: {variant.title}"
    yield from absences(results)


def _ways(place: Place, standing: Standing) -> Iterator[tuple[str, ...]]:
    variant, rate = place
    held = f"{standing.held} of {standing.rounds} rounds"
    if standing.held < standing.rounds:
        held += f"; {said(standing.rows_per_s, ',.0f')} trades/s"
    for way, latency in standing.ways.items():
        ratio = said(standing.of_ours, ".2f") if way == "probe" else ""
        yield variant, f"{rate:,}", held, _way(way, standing), *_latency(latency), ratio


def _way(way: str, standing: Standing) -> str:
    if way != "probe":
        return WAYS[way]
    lost = f", {standing.lost} rows lost" if standing.lost else ""
    return f"{WAYS[way]}, at most {standing.doubt_ms.median:.1f} of it its own{lost}"


def _latency(latency: Latency) -> tuple[str, str, str]:
    return said(latency.p50, ".1f"), said(latency.p99, ".1f"), f"{latency.most:.1f}"


def _waterfall(place: Place, standing: Standing) -> tuple[str, ...]:
    variant, rate = place
    stages = (f"{p50.median:.1f} / {p99.median:.1f}" for p50, p99 in standing.stages.values())
    return variant, f"{rate:,}", *stages


def _costs(found: Mapping[Place, Standing]) -> list[str]:
    parts = next(iter(found.values())).cores if found else {}
    return table(
        ("variant", "changes/s", *parts),
        (
            (variant, f"{rate:,}", *(f"{100 * each.cores[part].median:.0f}" for part in parts))
            for (variant, rate), each in found.items()
        ),
    )


PART = Part(
    name="latency",
    section=section,
    caption="Where the time goes",
    draw=lambda results: draw(what.standings(results["windows"])),
)

if __name__ == "__main__":
    PART.publish_again()
