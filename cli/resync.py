"""`tidemark resync`: a new generation with a new snapshot, or some rows sent again by touching."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import click

from cdc.errors import BadCondition, CdcError
from cdc.healing import CHUNK_ROWS, Healer
from cdc.mapping import Source
from cdc.resync import Resynced
from cdc.resync import resync as renew
from cdc.routes import ROUTES, SOURCES
from cdc.settings import CdcSettings

STAGES = {
    "wait": "another resync, or the watch's own sweep, is at work",
    "connector": "a new generation begins",
    "retire": "the old slot goes",
    "snapshot": "the snapshot is read",
    "apply": "its rows are applied",
    "sweep": "rows that PostgreSQL no longer has are removed",
}
REDRAW_S = 0.1


@click.command()
@click.argument("table", required=False)
@click.option("--where", metavar="CONDITION", help="Only rows of TABLE for which this SQL is true")
@click.option(
    "--chunk-rows",
    default=CHUNK_ROWS,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Rows of TABLE a transaction",
)
@click.option("--sweep-anyway", is_flag=True, help="Remove extra rows, even most of a table")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def resync(
    table: str | None, where: str | None, *, chunk_rows: int, sweep_anyway: bool, as_json: bool
) -> None:
    """Bring Cassandra back to what PostgreSQL has.

    Without TABLE: a new generation with a new snapshot of everything, after which rows that were
    deleted meanwhile are gone; what PostgreSQL no longer holds (dropped days) stays. For a slot or
    offsets that are lost, a restored or new cluster. Run it again if it was interrupted.

    With TABLE (of PostgreSQL or Cassandra): its rows are sent again while everything goes on.
    """
    if table is None and where is not None:
        raise click.UsageError("--where needs a TABLE")
    if table is not None and sweep_anyway:
        raise click.UsageError("--sweep-anyway is for the resync of everything")
    line = _Line(live=sys.stderr.isatty() and not as_json)
    try:
        if table is None:
            done = renew(CdcSettings(), line.show_stage, sweep_anyway=sweep_anyway)
            line.clear()
            _say_resynced(done, as_json=as_json)
        else:
            _touch(_source_named(table), where, chunk_rows, line, as_json=as_json)
    except BadCondition as error:
        line.clear()
        raise _BadCondition(str(error)) from error
    except CdcError as error:
        line.clear()
        raise click.ClickException(str(error)) from error


class _BadCondition(click.ClickException):
    """Misuse, in one line."""

    exit_code = 2


def _source_named(table: str) -> Source:
    """The source of that name, or which feeds the Cassandra table of that name."""
    by_name = {each.table: each.source for each in ROUTES} | {each.table: each for each in SOURCES}
    if table not in by_name:
        known = ", ".join(sorted(each.table for each in SOURCES))
        raise click.UsageError(f"no table is called {table!r}; there are {known}")
    return by_name[table]


def _touch(
    source: Source, where: str | None, chunk_rows: int, line: _Line, *, as_json: bool
) -> None:
    began = time.monotonic()
    with Healer(CdcSettings()) as healer:
        healer.check(source, where)
        expected = healer.estimated_rows(source) if where is None else 0
        touched = healer.touch_where(
            source, where, chunk_rows, lambda rows: line.show("rows touched", rows, expected)
        )
    line.clear()
    seconds = round(time.monotonic() - began, 2)
    if as_json:
        click.echo(json.dumps({"table": source.table, "touched": touched, "seconds": seconds}))
        return
    click.echo(
        f"{source.table}: {touched:,} rows touched in {seconds:.1f} s; they are on their way to "
        f"Cassandra (`tidemark verify {source.table}`)"
    )


def _say_resynced(done: Resynced, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    for table in done.tables:
        if table.removed:
            click.echo(f"{table.table}: {table.removed:,} rows removed, of {table.rows:,}")
    if done.retired:
        click.echo(f"dropped: {', '.join(done.retired)}")
    removed, seconds = sum(table.removed for table in done.tables), sum(done.seconds.values())
    click.echo(
        f"Generation {done.generation} is complete after {seconds:.1f} s; {removed:,} rows that "
        "PostgreSQL no longer has were removed. Next: `tidemark verify`"
    )


class _Line:
    """One line of progress on a terminal, drawn over and over; nothing elsewhere."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._drawn_at = 0.0
        self._stage = ""

    def show_stage(self, stage: str, done: int, total: int) -> None:
        """The stage that is at work."""
        if stage != self._stage:
            self._stage, self._drawn_at = stage, 0.0
        self.show(STAGES[stage], done, total)

    def show(self, text: str, done: int, total: int) -> None:
        """A bar where the total is known, a count where it is not."""
        now = time.monotonic()
        if not self._live or now < self._drawn_at + REDRAW_S:
            return
        self._drawn_at = now
        click.echo(f"\r\033[K{text}{bar(done, total)}", nl=False, err=True)

    def clear(self) -> None:
        """Leave the line to what comes next."""
        if self._live:
            click.echo("\r\033[K", nl=False, err=True)


def bar(done: int, total: int, width: int = 30) -> str:
    """`: [#####.....]  50 %  1,000 of 2,000`; estimates may be short of the truth."""
    if not done and not total:
        return " …"
    if not total:
        return f": {done:,}"
    share = min(1.0, done / total)
    full = int(share * width)
    return f": [{'#' * full}{'.' * (width - full)}] {share:4.0%}  {done:,} of {max(done, total):,}"
