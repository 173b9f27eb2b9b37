"""`tidemark export`: rows of Cassandra as a file that other programs read."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cdc.errors import CdcError
from cdc.export import SUFFIXES, TARGETS, File, Reading, Scope, opened, reading
from cdc.settings import CdcSettings

MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("table", metavar="TABLE")
@click.argument("picked", nargs=-1, metavar="[COLUMN=VALUE[,VALUE]...]...")
@click.option("--start", type=MOMENT, help="From this moment on (UTC)")
@click.option("--end", type=MOMENT, help="Before this moment (UTC)")
@click.option("--to", required=True, help=f"File ({', '.join(SUFFIXES)}), or - for CSV here")
@click.option("--force", is_flag=True, help="Replace a file that is there")
@click.option("--json", "as_json", is_flag=True, help="Say what was done as one JSON object")
def export(
    table: str,
    picked: tuple[str, ...],
    *,
    start: datetime | None,
    end: datetime | None,
    to: str,
    force: bool,
    as_json: bool,
) -> None:
    """Write TABLE of Cassandra, or what is picked of it, to a file.

    For example: tidemark export klines symbol=BTCUSDT interval=1m --start 2026-01-01
    --end 2026-02-01 --to btc.parquet. What is not picked is exported whole.
    """
    began = time.monotonic()
    scope = Scope(table=table, values=_values(picked), since=_utc(start), until=_utc(end))
    try:
        with reading(CdcSettings(), scope) as source:
            partitions = source.partitions()
            live = sys.stderr.isatty() and not as_json
            with opened(to, source.columns, replace=force) as file:
                rows = _copy(source, file, partitions, live=live)
    except CdcError as error:
        raise click.ClickException(str(error)) from error
    done = {
        "table": table,
        "rows": rows,
        "partitions": len(partitions),
        "bytes": None if to == "-" else Path(to).stat().st_size,
        "seconds": round(time.monotonic() - began, 1),
        "file": to,
    }
    if as_json:
        click.echo(json.dumps(done), err=to == "-")
    else:
        click.echo(_line(done), err=True)


def _values(picked: Iterable[str]) -> dict[str, frozenset[str]]:
    values: dict[str, frozenset[str]] = {}
    for each in picked:
        name, equals, text = each.partition("=")
        if not equals or not name or not text:
            raise click.UsageError(f"{each!r} is not COLUMN=VALUE; tables: {', '.join(TARGETS)}")
        values[name] = values.get(name, frozenset()) | frozenset(text.split(","))
    return values


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _copy(source: Reading, file: File, partitions: list[tuple[object, ...]], *, live: bool) -> int:
    rows = 0
    with _progress(len(partitions), live=live) as step:
        for part in source.rows(partitions):
            rows += file.write(part)
            step(rows)
    return rows


@contextmanager
def _progress(total: int, *, live: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not live:
        yield lambda _: None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("partitions, {task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=total, rows=0)
        yield lambda rows: bars.update(task, advance=1, rows=rows)


def _line(done: dict[str, object]) -> str:
    size = "" if done["bytes"] is None else f", {done['bytes']:,} bytes"
    return (
        f"{done['table']}: {done['rows']:,} rows of {done['partitions']:,} partitions{size}, "
        f"{done['seconds']} s: {done['file']}"
    )
