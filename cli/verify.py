"""`tidemark verify`: prove that Cassandra equals what PostgreSQL retains, while data flows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cdc.errors import CdcError
from cdc.generation import current
from cdc.settings import CdcSettings
from cdc.verification import Report, Scope, TableReport
from cdc.verification import verify as compare
from cdc.verification.comparison import Progress as Tell
from runtime.parent import end_with_parent

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--since", type=MOMENT, help="Compare from this hour on (UTC)")
@click.option("--until", type=MOMENT, help="Compare up to this hour (UTC)")
@click.option("--hours", type=click.IntRange(1), help="Compare the last so many hours")
@click.option("--incremental", is_flag=True, help="Compare from where each table is proved on")
@click.option("--repair", is_flag=True, help="Heal what differs, and look at it again")
@click.option("--full-speed", is_flag=True, help="Work without rest (else: TIDEMARK_VERIFY_SHARE)")
@click.option("--with-parent", is_flag=True, hidden=True, help="End when who started it ends")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
@click.option(
    "--limit-keys", default=20, show_default=True, help="differing keys shown per table", type=int
)
def verify(  # noqa: PLR0913 - each is an option of the command
    tables: tuple[str, ...],
    *,
    since: datetime | None,
    until: datetime | None,
    hours: int | None,
    incremental: bool,
    repair: bool,
    full_speed: bool,
    with_parent: bool,
    as_json: bool,
    limit_keys: int,
) -> None:
    """Compare every row and value of TABLE... (all by default); exit 1 on any difference.

    A name of a PostgreSQL table stands for every Cassandra table that it feeds. Tables without
    hours (latest_*, instruments and the like) are always compared whole.
    """
    if with_parent:
        end_with_parent()
    settings = current(CdcSettings())
    first, last = _range(since, until, hours, incremental=incremental)
    scope = Scope(
        since=first,
        until=last,
        incremental=incremental,
        repair=repair,
        share=1.0 if full_speed else settings.verify_share,
        limit_keys=limit_keys,
    )
    try:
        with _progress(live=sys.stderr.isatty() and not as_json) as tell:
            report = compare(settings, tables, scope, tell)
    except KeyError as error:
        raise click.UsageError(f"no table is called {error.args[0]!r}") from error
    except CdcError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        _print(report, repaired=repair)
    if not report.clean:
        raise click.exceptions.Exit(1)


def _range(
    since: datetime | None, until: datetime | None, hours: int | None, *, incremental: bool
) -> tuple[datetime | None, datetime | None]:
    """The range that is meant, on full hours; UsageError where options contradict each other."""
    if sum((since is not None, hours is not None, incremental)) > 1:
        raise click.UsageError("give one of --since, --hours and --incremental")
    first = None if since is None else _hour(since)
    if hours is not None:
        first = _hour(datetime.now(UTC) - timedelta(hours=hours))
    last = None if until is None else _hour(until)
    if first is not None and last is not None and first >= last:
        raise click.UsageError("--until must be at least an hour after --since")
    return first, last


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)


@contextmanager
def _progress(*, live: bool) -> Iterator[Tell]:
    """A bar a table on a terminal, nothing elsewhere."""
    if not live:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        TextColumn("{task.completed:>12,.0f} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(table: TableReport) -> None:
            if table.table not in tasks:
                tasks[table.table] = bars.add_task(table.table, total=None)
            total = max(table.expected, table.rows) if table.expected else None
            bars.update(tasks[table.table], completed=table.rows, total=total)

        yield tell


def _print(report: Report, *, repaired: bool) -> None:
    for table in report.tables:
        verdict = "equal" if table.clean and not table.found else _differences(table)
        through = table.verified_through
        proved = "" if through is None else f"  proved through {through:%Y-%m-%d %H:%M} UTC"
        click.echo(
            f"{table.table:<22} {table.rows:>12,} rows  {table.seconds:>7.1f} s  "
            f"{table.rows_per_s:>8,.0f} rows/s  {verdict}{proved}"
        )
        for key in table.keys:
            click.echo("    " + "  ".join(f"{name}={value}" for name, value in key.items()))
        if table.not_healed:
            click.echo(f"    not healed: {table.not_healed}")
    rows = sum(table.rows for table in report.tables)
    healed = sum(table.healed for table in report.tables)
    bad = [table.table for table in report.tables if not table.clean]
    if bad:
        remedy = "" if repaired else f"; `tidemark verify {' '.join(bad)} --repair` heals it"
        click.echo(f"Cassandra differs from PostgreSQL in {', '.join(bad)}{remedy}")
    elif healed:
        click.echo(f"Cassandra equals PostgreSQL again: {rows:,} rows, {healed:,} of them healed")
    else:
        click.echo(f"Cassandra equals PostgreSQL: {rows:,} rows, 0 missing, extra or different")


def _differences(table: TableReport) -> str:
    counts = {
        "missing": table.missing,
        "extra": table.extra,
        "different": table.different,
        "unsettled": table.unsettled,
        "healed": table.healed,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
