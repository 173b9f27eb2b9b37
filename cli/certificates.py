"""`tidemark certificates`: which minutes are proved by their trades."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import click
import msgspec

from cli.ingest import failure
from contracts.market import Certificate
from ingest.account import Account, MinuteCount, Scope
from ingest.errors import IngestError
from ingest.settings import IngestSettings

STATES = ("certified", "not yet", "incomplete", "differs", "unprovable")
UNSETTLED = {"incomplete", "differs"}


@click.command()
@click.option("--venue", help="Only of this venue: binance, simulator, …")
@click.option("--symbol", help="Only of this symbol, as on its venue")
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1), help="How far back")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="Lines shown")
@click.option("--json", "as_json", is_flag=True, help="One JSON object")
def certificates(
    *, venue: str | None, symbol: str | None, hours: int, limit: int, as_json: bool
) -> None:
    """Whether the trades of each minute make the exchange's candle; exit 1 where one does not.

    incomplete: trades of it are missing, and asked for again. differs: they are all there, or
    seem to be, and do not make it; the detail says what, and of which trades. unprovable: the
    exchange has lost trades of it. not yet: it was not looked at.
    """
    scope = Scope(venue=venue, symbol=symbol)
    since = datetime.now(UTC) - timedelta(hours=hours)
    account = Account(IngestSettings())
    try:
        counts = account.minute_counts(scope, since)
        found = account.uncertified(scope, since, limit)
    except IngestError as error:
        raise failure(error) from error
    finally:
        account.close()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins({"summary": counts, "minutes": found})))
    else:
        _show(counts, found)
    if any(each.state in UNSETTLED for each in counts):
        raise SystemExit(1)


def _show(counts: list[MinuteCount], found: list[Certificate]) -> None:
    if not counts:
        click.echo("no minute was judged; `tidemark ingest` certifies what it collects")
        return
    table: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for each in counts:
        table[each.venue, each.symbol][each.state] = each.minutes
    click.echo(f"{'venue':<12} {'symbol':<14}" + "".join(f"{state:>12}" for state in STATES))
    for (venue, symbol), minutes in table.items():
        figures = "".join(f"{minutes.get(state, 0):>12,}" for state in STATES)
        click.echo(f"{venue:<12} {symbol:<14}{figures}")
    for row in found:
        ids = f"{row.first_trade_id}–{row.last_trade_id}" if row.trade_count else "none"
        click.echo(
            f"{row.open_time:%Y-%m-%d %H:%M}  {row.symbol:<12} {row.state:<11} "
            f"{row.trade_count:,} trades ({ids})  {row.detail}"
        )
