"""`tidemark dlq list|show|redrive`: the dead letters, what is wrong with them, and the way back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

from cdc import keyspace
from cdc.dead_letters import topic
from cdc.dead_letters.letter import Letter
from cdc.dead_letters.redrive import Outcome, Redriver
from cdc.dead_letters.table import LetterTable
from cdc.errors import CdcError
from cdc.settings import CdcSettings
from contracts.naming import Role

PREVIEW_BYTES = 2000


@contextmanager
def _session(role: str) -> Iterator[tuple[CdcSettings, Any]]:
    """Settings and a session; errors of the stage become one line and exit code 1."""
    settings = CdcSettings()
    try:
        with keyspace.session(settings, role) as opened:
            yield settings, opened
    except CdcError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def dlq() -> None:
    """Events that could not be applied: list them, look at one, apply them again."""


@dlq.command("list")
@click.option("--table", help="of this PostgreSQL table")
@click.option("--cause", help="undecodable, unrepresentable, refused")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
@click.option("--redriven", is_flag=True, help="show those that were redriven, too")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line")
def list_(
    *, table: str | None, cause: str | None, limit: int, redriven: bool, as_json: bool
) -> None:
    """Letters that nobody has redriven yet, newest first."""
    with _session(Role.READER) as (_, session):
        found = LetterTable(session).newest(table=table, cause=cause, redriven=redriven)
        shown = list(islice(found, limit))
        more = next(found, None) is not None
    for letter in shown:
        click.echo(json.dumps(_plain(letter)) if as_json else _line(letter))
    if as_json:
        return
    if not shown:
        click.echo("no dead letters")
    elif more:
        click.echo(f"… and more: --limit shows more than {limit}, --table and --cause fewer kinds")
    else:
        click.echo(f"{len(shown):,} in all; `tidemark dlq redrive --all --dry-run` tries them")


@dlq.command()
@click.argument("identity", metavar="ID")
@click.option("--raw", is_flag=True, help="the event's exact bytes alone, for a file or a pipe")
def show(identity: str, *, raw: bool) -> None:
    """Everything about one letter: why, where from, its bytes, what redriving would do."""
    with _session(Role.SINK) as (settings, session):
        letter = LetterTable(session).find(identity)
        if letter is None:
            raise _unknown(identity)
        value = topic.value_of(settings, letter) if letter.value is None else letter.value
        if raw:
            if value is None:
                raise click.ClickException(f"the bytes of {identity} are no longer in the topic")
            sys.stdout.buffer.write(value)
            return
        (outcome,) = Redriver(settings, session).plan([letter])
    for name, said in _plain(letter).items():
        click.echo(f"{name:<16} {'–' if said is None else said}")
    click.echo(f"{'redriving':<16} {_would(outcome)}")
    if value is not None:
        click.echo("\n" + value[:PREVIEW_BYTES].decode(errors="backslashreplace"))
        if len(value) > PREVIEW_BYTES:
            click.echo(f"… {len(value):,} bytes in all: `tidemark dlq show --raw {identity}`")


@dlq.command()
@click.argument("identities", nargs=-1, metavar="[ID]...")
@click.option("--table", help="all of this PostgreSQL table that wait")
@click.option("--all", "everything", is_flag=True, help="all that wait")
@click.option("--dry-run", is_flag=True, help="Say what would be written, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a letter and line")
def redrive(
    identities: tuple[str, ...],
    *,
    table: str | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Apply letters by today's contracts, at their own positions; exit 1 if one cannot be.

    Harmless however often: a newer version of a row stays.
    """
    if sum(map(bool, (identities, table, everything))) != 1:
        raise click.UsageError("say which: ID..., or --table TABLE, or --all")
    with _session(Role.SINK) as (settings, session):
        letters = _chosen(LetterTable(session), identities, table)
        redriver = Redriver(settings, session)
        done = hindered = 0
        for outcome in redriver.plan(letters) if dry_run else redriver.redrive(letters):
            click.echo(json.dumps(_told(outcome)) if as_json else _sentence(outcome, dry=dry_run))
            done += outcome.why_not is None
            hindered += outcome.why_not is not None
    if not as_json:
        verb = "would be redriven" if dry_run else "redriven"
        click.echo(f"{done:,} {verb}, {hindered:,} not")
    if hindered:
        raise click.exceptions.Exit(1)


def _chosen(
    letters: LetterTable, identities: tuple[str, ...], table: str | None
) -> Iterator[Letter]:
    """The letters that are meant, with their bytes where the table has them."""
    if not identities:
        yield from map(letters.complete, letters.newest(table=table))
    for identity in identities:
        letter = letters.find(identity)
        if letter is None:
            raise _unknown(identity)
        yield letter


def _unknown(identity: str) -> click.ClickException:
    return click.ClickException(f"no dead letter is called {identity!r}; see `tidemark dlq list`")


def _line(letter: Letter) -> str:
    where = f" at {letter.path}" if letter.path else ""
    state = "" if letter.redriven_at is None else f" (redriven {_seconds(letter.redriven_at)})"
    return f"{_seconds(letter.at)}  {letter.id}  {letter.cause}{where}: {letter.reason}{state}"


def _seconds(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _sentence(outcome: Outcome, *, dry: bool) -> str:
    if dry:
        return f"{outcome.letter.id}: {_would(outcome)}"
    return f"{outcome.letter.id}: {outcome.why_not or 'wrote ' + _writes(outcome)}"


def _would(outcome: Outcome) -> str:
    if outcome.why_not is not None:
        return f"not possible: {outcome.why_not}"
    return f"would write {_writes(outcome)} at {outcome.letter.write_timestamp}"


def _writes(outcome: Outcome) -> str:
    said = ", ".join(f"{verb} {table}" for verb, table in outcome.writes) or "nothing"
    key = (outcome.letter.key or b"")[:200].decode(errors="backslashreplace")
    return f"{said} {key}"


def _told(outcome: Outcome) -> dict[str, object]:
    return {
        "id": outcome.letter.id,
        "writes": [{"verb": verb, "table": table} for verb, table in outcome.writes],
        "write_timestamp": outcome.letter.write_timestamp,
        "why_not": outcome.why_not,
    }


def _plain(letter: Letter) -> dict[str, object]:
    """A letter without its payload, as JSON can say it."""
    return {
        "id": letter.id,
        "cause": letter.cause,
        "path": letter.path,
        "reason": letter.reason,
        "table": letter.table,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "lsn": letter.lsn,
        "write_timestamp": letter.write_timestamp,
        "logged_at": letter.logged_at.isoformat(),
        "at": letter.at.isoformat(),
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "payload_bytes": letter.value_bytes,
        "redriven_at": letter.redriven_at and letter.redriven_at.isoformat(),
        "redrive_result": letter.redrive_result,
    }
