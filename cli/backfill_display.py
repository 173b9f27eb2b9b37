"""How a backfill is told: its plan, its progress, its outcome."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Self

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

from ingest.backfill.apply import Outcome
from ingest.backfill.plan import Cost, Piece, SymbolPlan, seconds
from ingest.span import from_ms

LINE_EVERY_S = 5.0  # without a terminal
MOST_BARS = 12  # finished ones go, where there are more symbols than that
MOST_LINES = 20  # of symbols in a plan

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Display:
    """A bar for each symbol on a terminal, a line now and then elsewhere; on standard error."""

    def __init__(self, verb: str) -> None:
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
        self._verb = verb
        self._terminal = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._ended: set[str] = set()
        self._said = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def count(self, done: int, total: int) -> None:
        """`done` of `total` symbols are worked on; one is not worth a bar."""
        if total > 1:
            self._show(f"symbols {self._verb}", done, total, "")

    def show(self, symbol: str, done: int, total: int) -> None:
        """`done` of `total` rows are stored; what was stored before does not count as speed."""
        self._show(symbol, done, total, " rows")
        if done >= total and len(self._tasks) > MOST_BARS:
            self._bars.update(self._tasks[symbol], visible=False)

    def _show(self, name: str, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if name not in self._started:
            self._started[name] = now, done
            self._tasks[name] = self._bars.add_task(name, total=total)
        self._bars.update(self._tasks[name], completed=done)
        ends = done >= total and name not in self._ended
        if ends:
            self._ended.add(name)
        if not self._terminal and (ends or now - self._said > LINE_EVERY_S):
            self._said = now
            began, before = self._started[name]
            rate = (done - before) / max(now - began, 1e-9)
            left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
            sys.stderr.write(f"{name}: {done} of {total}{unit}, {rate:,.0f} a second{left}\n")


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "…", style="progress.data.speed")


def say_plan(plans: Sequence[SymbolPlan], *, err: bool) -> None:
    """The cost of each symbol and of all together, before anything is loaded."""
    busy = [plan for plan in plans if plan.pieces]
    for plan in busy[:MOST_LINES]:
        click.echo(f"{plan.symbol} {plan.stream} {_span(plan)}: {_cost([plan])}", err=err)
        for path in plan.reissued:
            click.echo(f"  published anew since it was loaded: {path}", err=err)
    if len(busy) > MOST_LINES:
        click.echo(f"… and {len(busy) - MOST_LINES} more symbols", err=err)
    if idle := len(plans) - len(busy):
        click.echo(f"{idle} of {len(plans)} symbols: nothing to load", err=err)
    if busy:
        length = _duration(seconds(busy))
        click.echo(
            f"together: {_cost(busy)}; about {length} where nobody else spends weight", err=err
        )


def plan_as_json(plans: Sequence[SymbolPlan]) -> dict[str, Any]:
    """The same for a script."""
    return {
        "seconds": round(seconds(plans), 1),
        "cost": msgspec.to_builtins(sum((plan.cost for plan in plans), Cost())),
        "symbols": [
            {
                "symbol": plan.symbol,
                "stream": plan.stream,
                "rows": plan.rows,
                "cost": msgspec.to_builtins(plan.cost),
                "reissued": plan.reissued,
                "pieces": [_piece(piece) for piece in plan.pieces],
            }
            for plan in plans
        ],
    }


def say_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What was done for each symbol, and what is missing."""
    for outcome in outcomes:
        rate = outcome.received / outcome.seconds if outcome.seconds else 0.0
        click.echo(
            f"{outcome.symbol} {outcome.stream} {outcome.start:%Y-%m-%dT%H:%M} to "
            f"{outcome.end:%Y-%m-%dT%H:%M}: {outcome.received} rows received, {outcome.stored} new "
            f"or revised, {outcome.quarantined} set aside, {rate:,.0f} a second"
        )
        for first, last in outcome.gaps:
            click.echo(f"  missing: {_place(first)} to {_place(last)}")


def _piece(piece: Piece) -> dict[str, Any]:
    return {
        "start": from_ms(piece.span.start).isoformat(),
        "end": from_ms(piece.span.end).isoformat(),
        "source": piece.file.path if piece.file else "rest",
        "rows": piece.rows,
        "bytes": piece.size,
    }


def _span(plan: SymbolPlan) -> str:
    first, last = plan.pieces[0].span.start, plan.pieces[-1].span.end
    return f"{from_ms(first):%Y-%m-%dT%H:%M} to {from_ms(last):%Y-%m-%dT%H:%M}"


def _cost(plans: Sequence[SymbolPlan]) -> str:
    cost = sum((plan.cost for plan in plans), Cost())
    said = f"about {cost.rows:,} rows, weight {cost.weight:,}, {cost.requests:,} requests"
    files = sum(piece.file is not None for plan in plans for piece in plan.pieces)
    noun = "file" if files == 1 else "files"
    return f"{said}, {_bytes(cost.bytes)} in {files:,} {noun} of the archive" if files else said


def _bytes(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def _duration(length_s: float) -> str:
    if length_s < 90:
        return f"{length_s:.0f} s"
    if length_s < 5400:
        return f"{length_s / 60:.0f} minutes"
    return f"{length_s / 3600:.1f} hours"


def _place(place: Any) -> str:
    return str(place) if isinstance(place, int) else f"{place:%Y-%m-%dT%H:%M:%S}"
