"""`tidemark backfill`: load history of the exchange, by plan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import click
import msgspec

from cli.backfill_display import Display, plan_as_json, say_outcomes, say_plan
from cli.ingest import Failed, Misused, failure
from ingest.backfill.apply import Outcome
from ingest.backfill.plan import Prefer, SymbolPlan
from ingest.backfill.session import BackfillSession
from ingest.errors import BadRange, IngestError
from ingest.settings import IngestSettings
from ingest.span import NOW, Span, parse_span
from runtime import logs

Kind = Literal["klines", "trades"]
Command = TypeVar("Command", bound=Callable[..., Any])


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed. `quote`: all symbols that are quoted in it, instead of `symbols`."""

    kind: Kind
    symbols: tuple[str, ...]
    quote: str | None
    interval: str
    span: Span
    archive_url: str | None
    source: Prefer

    def settings(self) -> IngestSettings:
        """The settings, with what the command line overrules."""
        if self.archive_url is None:
            return IngestSettings()
        return IngestSettings(archive_url=self.archive_url)


def _options(command: Command) -> Command:
    """What all of these commands take."""
    for decorate in reversed(
        (
            click.argument("symbols", nargs=-1, metavar="[SYMBOL…]"),
            click.option("--all", "everything", is_flag=True, help="All symbols of --quote"),
            click.option("--quote", help="A quote asset, with --all: USDT"),
            click.option("--start", required=True, help="2026-01-31[T12:00:00], UTC"),
            click.option(
                "--end", default=NOW, show_default=True, help="What is not loaded any more"
            ),
            click.option("--archive-url", help="Where the archive's files are"),
            click.option(
                "--source",
                type=click.Choice(("auto", "rest", "archive")),
                default="auto",
                show_default=True,
                help="The cheapest mix; REST alone; files wherever there is one",
            ),
            click.option("--json", "as_json", is_flag=True, help="JSON on standard output"),
        )
    ):
        command = decorate(command)
    return command


_interval = click.option(
    "--interval", default="1m", show_default=True, help="1s 1m 3m … 1d 3d 1w 1M"
)


@click.group()
def backfill() -> None:
    """Load history from the exchange: its REST pages and the files of its public archive.

    `plan` says what that costs; `apply`, or neither of the words, does it. Stop it at any time and
    run it again: it goes on where it ended. What is there already stays as it is, unless the
    exchange has revised it.
    """


@backfill.group()
def plan() -> None:
    """Say what would be loaded from where, and what it costs; load nothing."""


@backfill.group()
def apply() -> None:
    """Say what it costs, and load it."""


@plan.command("klines")
@_options
@_interval
def plan_klines(*, as_json: bool, **typed: Any) -> None:
    """Closed candles."""
    _plan(_wanted("klines", **typed), as_json=as_json)


@plan.command("trades")
@_options
def plan_trades(*, as_json: bool, **typed: Any) -> None:
    """Single trades."""
    _plan(_wanted("trades", **typed), as_json=as_json)


@click.command("klines")
@_options
@_interval
def klines(*, as_json: bool, **typed: Any) -> None:
    """Load closed candles of each SYMBOL."""
    _apply(_wanted("klines", **typed), as_json=as_json)


@click.command("trades")
@_options
def trades(*, as_json: bool, **typed: Any) -> None:
    """Load single trades of each SYMBOL."""
    _apply(_wanted("trades", **typed), as_json=as_json)


for group in (apply, backfill):
    group.add_command(klines)
    group.add_command(trades)


def _wanted(
    kind: Kind,
    *,
    symbols: tuple[str, ...],
    everything: bool,
    quote: str | None,
    start: str,
    end: str,
    interval: str = "1m",
    **rest: Any,
) -> Wanted:
    """What was typed, if it makes sense together."""
    if everything != (quote is not None) or everything == bool(symbols):
        raise Misused("Missing argument: name symbols, or all of a quote asset: --all --quote USDT")
    try:
        span = parse_span(start, end, interval, datetime.now(UTC))
    except BadRange as error:
        raise failure(error) from error
    return Wanted(kind=kind, symbols=symbols, quote=quote, interval=interval, span=span, **rest)


def _plan(wanted: Wanted, *, as_json: bool) -> None:
    async def work() -> list[SymbolPlan]:
        async with BackfillSession(wanted.settings(), wanted.source) as session:
            with Display("planned") as display:
                return await _plans(session, wanted, display)

    plans = _run(work)
    if as_json:
        click.echo(json.dumps(plan_as_json(plans)))
    else:
        say_plan(plans, err=False)
    if failures := [plan.failure for plan in plans if plan.failure]:
        raise Failed("\n".join(failures))


def _apply(wanted: Wanted, *, as_json: bool) -> None:
    async def work() -> list[Outcome]:
        async with BackfillSession(wanted.settings(), wanted.source) as session:
            with Display("planned") as display:
                plans = await _plans(session, wanted, display)
            say_plan(plans, err=True)
            with Display("loaded") as display:
                return await session.apply(plans, display.show, display.count)

    outcomes = _run(work)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(outcomes)))
    else:
        say_outcomes(outcomes)
    if failures := [each for outcome in outcomes for each in outcome.failures]:
        raise Failed("\n".join(failures))


async def _plans(session: BackfillSession, wanted: Wanted, display: Display) -> list[SymbolPlan]:
    symbols = session.symbols(wanted.symbols, wanted.quote)
    if wanted.kind == "klines":
        return await session.plan_klines(symbols, wanted.interval, wanted.span, display.count)
    return await session.plan_trades(symbols, wanted.span, display.count)


Value = TypeVar("Value")


def _run(work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
    logs.configure("backfill")
    try:
        return asyncio.run(work())
    except IngestError as error:
        raise failure(error) from error
    except KeyboardInterrupt as error:
        raise click.Abort from error
