"""What `make demo` shows after `up`: questions to Cassandra, each with its answer.

The queries are those of the dashboards: a partition each, no filtering.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from cdc import keyspace
from cdc.settings import CdcSettings
from contracts.naming import Role
from ingest.exchange import choose
from ingest.settings import IngestSettings


@dataclass(frozen=True)
class Question:
    """A question in words and in CQL; `%(…)s` are filled in by the driver."""

    words: str
    cql: str


QUESTIONS = (
    Question(
        "What does it cost now?",
        "SELECT symbol, price, observed_at FROM latest_prices WHERE venue = %(venue)s "
        "AND symbol IN ('BTCUSDT', 'ETHUSDT', 'SOLUSDT')",
    ),
    Question(
        "Which five gained most in 24 hours?",
        "SELECT rank, symbol, price_change_percent, quote_volume FROM movers_24h "
        "WHERE venue = %(venue)s AND quote_asset = 'USDT' AND ranking = 'gainers' "
        "AND day = %(day)s LIMIT 5",
    ),
    Question(
        "What was traded last?",
        "SELECT traded_at, price, quantity, is_buyer_maker FROM trades_by_hour "
        "WHERE venue = %(venue)s AND symbol = 'BTCUSDT' AND hour = %(hour)s "
        "ORDER BY traded_at DESC LIMIT 5",
    ),
    Question(
        "Which trades were worth more than 100,000 USD?",
        "SELECT traded_at, symbol, notional_usd FROM large_trades_by_day "
        "WHERE venue = %(venue)s AND day = %(day)s LIMIT 5",
    ),
)


def main() -> None:
    """Ask each question as the reader and print the answer."""
    venue = asyncio.run(choose(IngestSettings())).venue
    now = datetime.now(UTC)
    values = {
        "venue": venue,
        "day": now.replace(hour=0, minute=0, second=0, microsecond=0),
        "hour": now.replace(minute=0, second=0, microsecond=0),
    }
    console = Console(highlight=False)
    with keyspace.session(CdcSettings(), Role.READER) as session:
        for question in QUESTIONS:
            rows = list(session.execute(question.cql, values))
            console.print(f"\n[bold]{question.words}[/bold]\n[dim]{question.cql}[/dim]")
            console.print(answer(rows) if rows else "nothing yet; ask again in a minute")


def answer(rows: Sequence[Any]) -> Table:
    """Rows of the driver (named tuples) as a table."""
    table = Table(*rows[0]._fields)
    for row in rows:
        table.add_row(*(_plain(value) for value in row))
    return table


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value)


if __name__ == "__main__":
    main()
