"""`tidemark retention`: how long PostgreSQL keeps what Cassandra keeps for good."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import click
from rich.console import Console

from cdc import keyspace
from cdc.errors import CdcError
from cdc.generation import current
from cdc.routes import BY_DAY
from cdc.settings import CdcSettings
from cdc.source import SourceDatabase
from cdc.verification import proof
from cdc.verification.expiry import Outcome, expire, expired
from cdc.verification.retention import drop_day, not_droppable
from contracts.naming import Role
from runtime.parent import end_with_parent


@click.group()
def retention() -> None:
    """Days of PostgreSQL: what is kept, what may go. The watch applies this by itself."""


@retention.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def plan(*, as_json: bool) -> None:
    """Say which days are old enough and whether they are proved; drops nothing."""
    settings = current(CdcSettings())
    with _failing_in_a_line():
        rows = _plan(settings, datetime.now(UTC).date())
    if as_json:
        click.echo(json.dumps({"tables": rows}))
        return
    for row in rows:
        keeps = f"keeps {row['keep_days']} days" if row["keep_days"] else "keeps all"
        click.echo(f"{row['table']:<20} {keeps:<14} {row['held']:>4} days held")
        for day, lacking in row["expired"].items():
            click.echo(f"    {day}  {f'stays: {lacking}' if lacking else 'may go'}")


@retention.command()
@click.option("--with-parent", is_flag=True, hidden=True, help="End when who started it ends")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines")
def apply(*, with_parent: bool, as_json: bool) -> None:
    """Drop each day that is old enough and proved to be in Cassandra; exit 1 where one stays."""
    if with_parent:
        end_with_parent()
    settings = current(CdcSettings())
    console = Console(stderr=True)
    with (
        _failing_in_a_line(),
        SourceDatabase(settings, Role.WATCH) as source,
        console.status("looking for days that are old enough …") as status,
    ):

        def tell(outcome: Outcome) -> None:
            status.update(f"{outcome.table} of {outcome.day} is done …")
            if not as_json:
                verdict = outcome.reason or "dropped"
                click.echo(f"{outcome.table:<20} {outcome.day}  {verdict}")

        outcomes = expire(
            source,
            {table: settings.retain_days(table) for table in BY_DAY},
            partial(drop_day, settings),
            datetime.now(UTC).date(),
            tell,
        )
        aside = _drop_quarantine(source, settings.retain_quarantine_days)
    if as_json:
        days = [each.as_dict() for each in outcomes]
        click.echo(json.dumps({"days": days, "quarantine": aside}))
    else:
        if not outcomes:
            click.echo("no day is old enough to go")
        if aside:
            click.echo(f"{aside:,} rows of quarantine dropped")
    if any(each.reason for each in outcomes):
        sys.exit(1)


def _drop_quarantine(source: SourceDatabase, keep_days: int) -> int:
    """Rows that were set aside too long ago; 0 days keep all."""
    if not keep_days:
        return 0
    return source.drop_quarantine(datetime.now(UTC) - timedelta(days=keep_days))


def _plan(settings: CdcSettings, today: date) -> list[dict[str, Any]]:
    with (
        keyspace.session(settings, Role.READER) as session,
        SourceDatabase(settings, Role.WATCH) as source,
    ):
        proofs = proof.recall(session)
        rows = []
        for table in BY_DAY:
            held, keep = source.days(table), settings.retain_days(table)
            rows.append(
                {
                    "table": table,
                    "keep_days": keep,
                    "held": len(held),
                    "expired": {
                        day.isoformat(): not_droppable(proofs, table, day) or ""
                        for day in expired(held, keep, today)
                    },
                }
            )
        return rows


@contextmanager
def _failing_in_a_line() -> Iterator[None]:
    try:
        yield
    except CdcError as error:
        raise click.ClickException(str(error)) from error
