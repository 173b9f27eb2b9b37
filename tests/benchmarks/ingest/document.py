"""The part of docs/benchmarks.md about the ingest, written from its results alone.

    python -m tests.benchmarks.ingest.document [FILE]

writes it anew from results that were kept, docs/benchmarks-ingest.json by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmarks.document import Part, Results, absences, load_line, table
from tests.benchmarks.ingest import standings as what
from tests.benchmarks.ingest.contestants import COPY, LOADERS, OURS, UPSERTERS
from tests.benchmarks.rounds import Told, goals_table, said, spread

PARTIES = "contestant, PostgreSQL and exchange"


def line(window: Any) -> str:
    """A window, for a person who waits."""
    told = vars(window)
    where = told.get("work") or told["part"]
    share = f", {told['share']:.1%} of the limit" if told["part"] == "limited" else ""
    verdict = "sound" if not window.wrong else f"WRONG: {window.wrong[0]}"
    return (
        f"round {window.round} {window.contestant} ({where}): {what.rows_per_s(told):,.0f} rows/s "
        f"in {window.seconds:.0f} s{share}, CPU a row {what.a_row(told, 'client_cpu_s'):.1f} µs + "
        f"PostgreSQL {what.a_row(told, 'postgres_cpu_s'):.1f} µs, load {window.load[0]}, others "
        f"{window.others:.0%}; {verdict}"
    )


def section(results: Results) -> str:
    """What docs/benchmarks.md says of the ingest and its peers."""
    windows = results["windows"]
    parts = [
        [f"{results['conditions']}. {load_line(windows, PARTIES)}"],
        _limited(windows),
        _free(windows),
        *(_upserts(windows, work) for work in what.WORKS),
        goals_table(what.goals(windows), of="figure"),
        [*absences(results), *_wrong(windows)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _limited(windows: Sequence[Told]) -> list[str]:
    found, rounds = what.shares(windows), what.rounds_of(windows, "limited")
    rows = [
        (
            f"**{each.name}**: {each.title}",
            said(found[each.name], ".3f"),
            said(spread(map(what.rows_per_s, rounds[each.name].values())), ",.0f"),
            f"{sum(window['refused'] for window in rounds[each.name].values())}",
        )
        for each in LOADERS
        if each.name in found
    ]
    heads = ("backfill under the exchange's limit", "share of the limit", "rows/s", "refused")
    return table(heads, rows) if rows else []


def _free(windows: Sequence[Told]) -> list[str]:
    rounds = what.rounds_of(windows, "free")
    named = {
        each.name: f"**{each.name}**{'' if each.stores else ' (lists)'}: {each.title}"
        for each in LOADERS
    }
    heads = _heads("backfill without a limit", OURS, "exchange, µs")
    return _beside(OURS, rounds, named, heads, "exchange_cpu_s")


def _upserts(windows: Sequence[Told], work: str) -> list[str]:
    rounds = what.rounds_of(windows, "upserts", work)
    named = {each.name: f"**{each.name}**: {each.title}" for each in UPSERTERS}
    heads = _heads(f"upsert of {work}", COPY, "WAL, bytes a row")
    return _beside(COPY, rounds, named, heads, "wal_bytes")


def _beside(
    ours: str,
    rounds: Mapping[str, what.Rounds],
    named: Mapping[str, str],
    heads: tuple[str, ...],
    last: str,
) -> list[str]:
    """Each one's figures beside ours; `last` is what the last column tells of its windows."""
    form = ".1f" if last.endswith("_s") else ",.0f"
    standings = what.standings(rounds, ours)
    rows = [
        (
            title,
            said(found.rows_per_s, ",.0f"),
            said(found.ratio, ".2f"),
            said(found.client_us, ".1f"),
            said(found.postgres_us, ".1f"),
            said(what.of_rounds(rounds[name], last), form),
        )
        for name, title in named.items()
        if (found := standings.get(name)) is not None
    ]
    return table(heads, rows) if rows else []


def _heads(of: str, ours: str, last: str) -> tuple[str, ...]:
    return of, "rows/s", f"{ours} ÷ it", "client, µs of CPU a row", "PostgreSQL, µs", last


def _wrong(windows: Sequence[Told]) -> Iterator[str]:
    for window in windows:
        if window["wrong"]:
            where = window.get("work") or window["part"]
            told = f"- **{window['contestant']}** ({where}), round {window['round']}"
            yield f"{told}, counts for nothing: {window['wrong'][0]}"


PART = Part(name="ingest", section=section)

if __name__ == "__main__":
    PART.publish_again()
