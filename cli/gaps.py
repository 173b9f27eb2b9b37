"""`tidemark gaps`: what is missing, why, and whether it was repaired."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
import msgspec

from cli.ingest import failure
from contracts.market import Gap
from ingest.account import Account, GapCount, Scope
from ingest.errors import IngestError
from ingest.settings import IngestSettings

STATES = ("open", "repaired", "exchange-confirmed", "unprovable")


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only of this state")
@click.option("--venue", help="Only of this venue: binance, simulator, …")
@click.option("--symbol", help="Only of this symbol, as on its venue")
@click.option("--stream", help="Only of this stream: trades, klines_1m, depth, prices")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="Lines shown")
@click.option("--json", "as_json", is_flag=True, help="One JSON object")
def gaps(
    *,
    state: str | None,
    venue: str | None,
    symbol: str | None,
    stream: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Holes in what was collected, the open ones first; exit 1 while one is open.

    open: being asked for again. repaired: all is there. exchange-confirmed: the exchange itself
    does not have it. unprovable: it was never asked for in time, or nobody can say.
    """
    scope = Scope(venue=venue, symbol=symbol, stream=stream, state=state)
    account = Account(IngestSettings())
    try:
        counts, found = account.gap_counts(scope), account.gaps(scope, limit)
    except IngestError as error:
        raise failure(error) from error
    finally:
        account.close()
    if as_json:
        said = {"summary": counts, "gaps": found}
        click.echo(json.dumps(msgspec.to_builtins(said)))
    else:
        _show(counts, found)
    if any(each.state == "open" for each in counts):
        raise SystemExit(1)


def _show(counts: list[GapCount], found: list[Gap]) -> None:
    if not counts:
        click.echo("no gaps")
        return
    for each in counts:
        ids = "" if each.trades is None else f"  {each.trades:>12,} trades"
        click.echo(
            f"{each.venue:<12} {each.stream:<12} {each.state:<18} {each.cause:<11} "
            f"{each.gaps:>7,} gaps{ids}"
        )
    if found:
        click.echo()
    for gap in found:
        click.echo(
            f"{gap.detected_at:%Y-%m-%d %H:%M:%S}  {gap.venue:<10} {gap.symbol:<12} "
            f"{gap.stream:<10} {_place(gap):<42} {gap.state:<18} {gap.cause:<10} {gap.detail}"
        )
    total = sum(each.gaps for each in counts)
    if len(found) < total:
        click.echo(f"… {total - len(found):,} more: --limit, --state, --symbol, --stream")


def _place(gap: Gap) -> str:
    """Trade ids as they are, times as times."""
    ends = gap.first_missing, gap.last_missing
    if gap.stream != "trades":
        first, last = (f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" for ms in ends)
    else:
        first, last = map(str, ends)
    return first if first == last else f"{first}–{last}"
