"""The part of docs/benchmarks.md about size, written from its results alone.

    python -m tests.benchmarks.size.document [FILE]

writes it anew from results that were kept, docs/benchmarks-size.json by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.benchmarks.document import Part, Results, absences, table
from tests.benchmarks.rounds import Goal, goals_table, spread

PANEL_MS = 50
GB = 10**9


def line(told: Mapping[str, Any]) -> str:
    """How a day went through, for a person who waits."""
    return (
        f"{told['held']:,} trades are in PostgreSQL after {told['stored_s']:,.0f} s, in Kafka "
        f"after {told['logged_s']:,.0f} s, in Cassandra after {told['applied_s']:,.0f} s"
    )


def section(results: Results) -> str:
    """What the document says of what was measured until now."""
    parts = [
        [f"{results['conditions']}; the default schedule ran all the while."],
        list(_way(results)),
        list(_disk(results)),
        list(_programs(results)),
        list(_questions(results)),
        goals_table(goals(results), of="figure"),
        list(absences(results)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def goals(results: Results) -> Iterator[Goal]:
    """What size is held to."""
    for of, text in (("panel", "slowest panel, p99 ms"), ("page", "slowest of the page, p99 ms")):
        times = [each["p99_ms"] for each in results.get("questions", []) if each["of"] == of]
        reached = spread([max(times)]) if times else None
        yield Goal(text=text, goal=PANEL_MS, at_least=False, reached=reached)
    day = results.get("day")
    grows = [each for each in day["memory"] if not each["flat"]] if day else []
    reached = spread([float(len(grows))]) if day else None
    text = "programs whose memory grows through the second half"
    yield Goal(text=text, goal=0, at_least=False, reached=reached)


def _way(results: Results) -> Iterator[str]:
    day = results.get("day")
    if day is None:
        return
    clocks = {"PostgreSQL": "stored_s", "Kafka": "logged_s", "Cassandra": "applied_s"}
    yield from table(
        ("a day of ten pairs is in", "after, s", "rows/s"),
        (
            (where, f"{day[name]:,.0f}", f"{day['held'] / day[name]:,.0f}")
            for where, name in clocks.items()
        ),
    )
    yield ""
    proof = {True: "equal", False: "NOT equal", None: "not compared"}[results.get("proved")]
    yield (
        f"{day['held']:,} trades, of which the backfill stored {day['rows']:,}; both stores are "
        f"{proof} by `tidemark verify`. WAL on disk was at most {day['wal_most_bytes'] / GB:.2f} "
        f"GB, of which the slot kept {day['slot_most_bytes'] / GB:.2f} GB."
    )


def _disk(results: Results) -> Iterator[str]:
    disk = results.get("disk")
    if disk is None:
        return
    postgres, after = disk["postgres"], disk["after"]
    sizes = {
        "PostgreSQL, `trades` with its indexes": postgres["table and indexes"],
        "of which indexes": postgres["indexes"],
        "PostgreSQL, the whole database": postgres["database"],
        "WAL, at the end": postgres["WAL"],
        "Kafka, topic of `trades`": disk["kafka"].get("trades", 0),
        "Cassandra, `trades_by_hour`, flushed and compacted": after.get("trades_by_hour", 0),
        "before it was flushed": disk["before"].get("trades_by_hour", 0),
        "Cassandra, `large_trades_by_day`": after.get("large_trades_by_day", 0),
        "Cassandra, its commit log": after.get("commit log", 0),
    }
    yield from table(
        ("disk", "GB", "bytes a trade"),
        (
            (name, f"{size / GB:.2f}", f"{size / max(1, postgres['rows']):,.0f}")
            for name, size in sizes.items()
        ),
    )


def _programs(results: Results) -> Iterator[str]:
    day = results.get("day")
    if day is None:
        return
    heads = ("program", "CPU, µs a trade", "memory, MB", "without files, MB")
    yield from table(
        (*heads, "its slope, MB a minute", "second half"),
        (
            (
                each["program"],
                f"{day['cpu_us'][each['program']]:.1f}",
                f"{each['least_mb']:,.0f}–{each['most_mb']:,.0f}",
                f"{each['anonymous_first_mb']:,.0f} → {each['anonymous_last_mb']:,.0f}",
                f"{each['slope_mb_a_minute']:+.2f}",
                "flat" if each["flat"] else "grows",
            )
            for each in day["memory"]
        ),
    )


def _questions(results: Results) -> Iterator[str]:
    found = results.get("questions", [])
    if not found:
        return
    slowest_first = sorted(found, key=lambda each: (each["of"] != "panel", -each["p99_ms"]))
    yield from table(
        (f"asked {found[0]['runs']} times", "rows", "p50 ms", "p99 ms", "max ms"),
        (
            (
                _name(each),
                f"{each['rows']:,}",
                *(f"{each[name]:.1f}" for name in ("p50_ms", "p99_ms", "most_ms")),
            )
            for each in slowest_first
        ),
    )


def _name(question: Mapping[str, Any]) -> str:
    """Its place, as Markdown."""
    name = str(question["name"]).replace("$", "\\$").replace("|", "/")
    return name if question["of"] == "panel" else f"page: {name}"


PART = Part(name="size", section=section)

if __name__ == "__main__":
    PART.publish_again()
