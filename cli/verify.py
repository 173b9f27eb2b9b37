"""`tidemark verify`: prove that Cassandra equals what PostgreSQL retains, while data flows."""

from __future__ import annotations

import json
import sys

import click

from cdc.errors import CdcError
from cdc.settings import CdcSettings
from cdc.verification import Report, Scope, TableReport
from cdc.verification import verify as compare


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
@click.option(
    "--limit-keys", default=20, show_default=True, help="differing keys shown per table", type=int
)
def verify(tables: tuple[str, ...], *, as_json: bool, limit_keys: int) -> None:
    """Compare every row and value of TABLE... (all by default); exit 1 on any difference.

    A name of a PostgreSQL table stands for every Cassandra table that it feeds.
    """
    live = sys.stderr.isatty() and not as_json
    try:
        report = compare(
            CdcSettings(),
            tables,
            Scope(limit_keys=limit_keys),
            _show_progress if live else lambda _: None,
        )
    except KeyError as error:
        raise click.UsageError(f"no table is called {error.args[0]!r}") from error
    except CdcError as error:
        raise click.ClickException(str(error)) from error
    if live:
        click.echo("\r\033[K", nl=False, err=True)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        _print(report)
    if not report.clean:
        raise click.exceptions.Exit(1)


def _show_progress(table: TableReport) -> None:
    click.echo(f"\r\033[K{table.table}: {table.rows:,} rows compared", nl=False, err=True)


def _print(report: Report) -> None:
    for table in report.tables:
        verdict = "equal" if table.clean else _differences(table)
        click.echo(
            f"{table.table:<22} {table.rows:>12,} rows  {table.seconds:>7.1f} s  "
            f"{table.rows_per_s:>8,.0f} rows/s  {verdict}"
        )
        for key in table.keys:
            click.echo("    " + "  ".join(f"{name}={value}" for name, value in key.items()))
    rows = sum(table.rows for table in report.tables)
    bad = [table.table for table in report.tables if not table.clean]
    if bad:
        click.echo(f"Cassandra differs from PostgreSQL in {', '.join(bad)}")
    else:
        click.echo(f"Cassandra equals PostgreSQL: {rows:,} rows, 0 missing, extra or different")


def _differences(table: TableReport) -> str:
    counts = {
        "missing": table.missing,
        "extra": table.extra,
        "different": table.different,
        "unsettled": table.unsettled,
    }
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
