"""`tidemark backfill`: load history from the exchange."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import click
import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.ingest import failure
from ingest.backfill import Backfill, Outcome
from ingest.binance.client import Client
from ingest.errors import IngestError
from ingest.exchange import choose
from ingest.settings import IngestSettings
from ingest.span import NOW, Span, parse_span
from ingest.store import Store
from ingest.writer import StoreThread
from runtime import logs

LINE_EVERY_S = 5.0  # without a terminal


@click.group()
def backfill() -> None:
    """Load history from the exchange."""


@backfill.command()
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL…")
@click.option("--interval", default="1m", show_default=True, help="1s 1m 3m … 1d 3d 1w 1M")
@click.option("--start", required=True, help="First open time: 2026-01-31[T12:00:00], UTC")
@click.option("--end", default=NOW, show_default=True, help="First open time that is not loaded")
@click.option("--json", "as_json", is_flag=True, help="A JSON summary on standard output")
def klines(symbols: tuple[str, ...], interval: str, start: str, end: str, *, as_json: bool) -> None:
    """Load closed candles of each SYMBOL.

    Stop it at any time and run it again: it goes on where it ended. Candles that are there already
    are left as they are, unless the exchange has revised them.
    """
    logs.configure("backfill")
    try:
        span = parse_span(start, end, interval, datetime.now(UTC))
        names = list(dict.fromkeys(symbols))
        outcomes = asyncio.run(_load(IngestSettings(), names, interval, span))
    except IngestError as error:
        raise failure(error) from error
    except KeyboardInterrupt as error:
        raise click.Abort from error
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(outcomes)))
    else:
        for outcome in outcomes:
            _tell(outcome)


async def _load(
    settings: IngestSettings, symbols: Sequence[str], interval: str, span: Span
) -> list[Outcome]:
    exchange = await choose(settings)
    store = StoreThread(Store(settings))
    try:
        async with Client(settings, exchange, paced=True) as client:
            backfill = Backfill(settings, exchange, client, store)
            await backfill.prepare(symbols)
            with Display() as display:
                return [await backfill.run(name, interval, span, display.show) for name in symbols]
    finally:
        store.close()


class Display:
    """A bar for each symbol on a terminal, a line now and then elsewhere; on standard error."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._terminal = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._said = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, symbol: str, done: int, total: int) -> None:
        """`done` of `total` candles are stored; what was stored before does not count as speed."""
        now = time.monotonic()
        if symbol not in self._started:
            self._started[symbol] = now, done
            self._tasks[symbol] = self._bars.add_task(symbol, total=total)
            self._bars.update(self._tasks[symbol], completed=done)
        self._bars.update(self._tasks[symbol], completed=done)
        if not self._terminal and (now - self._said > LINE_EVERY_S or done == total):
            self._said = now
            began, before = self._started[symbol]
            rate = (done - before) / max(now - began, 1e-9)
            left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
            sys.stderr.write(f"{symbol}: {done} of {total} candles, {rate:.0f} a second{left}\n")


class _Rate(ProgressColumn):
    """Candles a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "…", style="progress.data.speed")


def _tell(outcome: Outcome) -> None:
    rate = outcome.received / outcome.seconds if outcome.seconds else 0.0
    click.echo(
        f"{outcome.symbol} {outcome.interval} {outcome.start:%Y-%m-%dT%H:%M} to "
        f"{outcome.end:%Y-%m-%dT%H:%M}: {outcome.received} candles received, {outcome.stored} new "
        f"or revised, {outcome.quarantined} set aside, {rate:,.0f} a second"
    )
    for first, last in outcome.gaps:
        click.echo(f"  missing: {first:%Y-%m-%dT%H:%M:%S} to {last:%Y-%m-%dT%H:%M:%S}")
