"""The day before, by the default schedule: what panels read beside trades, as SQL.

Ten symbols in full: prices each 10 s, books each 5 s with 100 levels a side, 24 h statistics and
rankings each 15 s. Gaps are repaired and minutes certified, so that nobody sets out to heal them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from tests.integration import dashboard_market as market

DAYS = 7  # of the longest of them
LEVELS = 100
AFTER = timedelta(minutes=50)  # so far behind `end` go the rows of dashboard_market
LEVEL = """(SELECT jsonb_agg(jsonb_build_array((p * (1 {sign} l / 10000.0))::numeric(38,8)::text,
                                               (l + n % 7)::text))
            FROM generate_series(1, {levels}) AS l)"""


def changed(statement: str, was: str, becomes: str) -> str:
    """The statement with something else in it; ValueError where it has no such thing."""
    if was not in statement:
        raise ValueError(f"{was} is not in {statement}")
    return statement.replace(was, becomes)


def levels(sign: str) -> str:
    """A side of a book as SQL; `sign`: away from the price."""
    return LEVEL.format(sign=sign, levels=LEVELS)


def books() -> str:
    """Books as deep as the default schedule asks for."""
    with_bids = changed(market.DEPTH, '\'[["1", "2"]]\'', levels("-"))
    return changed(with_bids, '\'[["3", "4"]]\'', levels("+"))


CERTIFIED = changed(
    market.CERTIFICATES, "CASE WHEN n % 5 = 0 THEN 'differs' ELSE 'certified' END", "'certified'"
)
REPAIRED = changed(market.GAPS, "'open'", "'repaired'")
# the key of a gap that is of all symbols tells two of them apart by the lengths of their names
OF_DIFFERENT_LENGTHS = 2

# statement, its own values, how far back it goes, a row each
ROWS: tuple[tuple[str, dict[str, str], str, str], ...] = (
    (market.PRICES, {}, "1 day", "10 s"),
    (books(), {}, "6 hours", "5 s"),
    (market.TICKERS, {"table": "ticker_24h_history"}, "1 day", "15 s"),
    (market.MOVERS, {}, "1 day", "15 s"),
    (REPAIRED, {}, "2 days", "1 hour"),
    (CERTIFIED, {}, "1 day", "1 min"),
    (market.EVENTS, {}, "7 days", "15 min"),
)


def statements(symbols: Sequence[str], end: datetime, *, short: bool = False) -> Iterator[str]:
    """The INSERTs of all that, up to `end` (UTC, whole seconds); what is there already stays.

    `short`: of an hour only, to try the kit out.
    """
    moment = f"'{(end - AFTER).isoformat()}'::timestamptz"
    for statement, values, past, step in ROWS:
        back = "1 hour" if short else past
        steps = market.STEPS.format(end=moment, past=back, step=step)
        named = _apart(symbols) if statement is REPAIRED else symbols
        rows = statement.format(end=moment, steps=steps, symbols=_priced(named), **values)
        yield f"{rows} ON CONFLICT DO NOTHING"


def days(end: datetime) -> list[date]:
    """Days of which there must be partitions."""
    return [end.date() - timedelta(days=back) for back in range(DAYS + 1)]


def _priced(symbols: Sequence[str]) -> str:
    rows = ", ".join(f"('{symbol}', {100 + place})" for place, symbol in enumerate(symbols))
    return f"(VALUES {rows}) AS s (symbol, p)"


def _apart(symbols: Sequence[str]) -> list[str]:
    return list({len(symbol): symbol for symbol in symbols}.values())[:OF_DIFFERENT_LENGTHS]
