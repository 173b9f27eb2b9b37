"""Every query of the dashboards, and every question of the page, timed on what is there.

Queries go out as text, as Grafana sends them, each time for a range that ends now; their answers
are received, not decoded: Grafana does that itself, in Go. Questions of the page are its own calls,
decoding included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.query import SimpleStatement

from cdc import keyspace
from cdc.settings import CdcSettings
from cdc.verification.pages import PageHandler, in_pages
from contracts.naming import Role
from grafana import written
from grafana.query import Placed, expand
from page.candles import AVERAGE, HOUR, MINUTE, WIDTHS, Width
from page.history import History
from page.reader import Reader
from page.settings import PageSettings
from tests.benchmarks.latency.quantiles import times
from tests.benchmarks.stacks import say
from tests.benchmarks.turns import Headway

VENUE, QUOTE, SYMBOL = "simulator", "USDT", "BTCUSDT"
CHOSEN = {"venue": VENUE, "quote": QUOTE, "symbol": SYMBOL, "interval": "1m"}
SIX_HOURS = 0.25  # days, the dashboards' usual range
WATCHED = 12  # symbols whose candles the page shows at once
DAY = timedelta(days=1)
DAY_MS = 86_400_000
PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A question's times over so many runs, ms; `rows` of its last answer. `of`: who asks it."""

    of: str
    name: str
    runs: int
    rows: int
    p50_ms: float
    p99_ms: float
    most_ms: float


Ask = Callable[[], int]
"""Asks once; the rows of the answer."""


def timed(
    of: str, asks: Mapping[str, Ask], runs: int, told: Callable[[int], object] = int
) -> Iterator[Timed]:
    """Each question so many times, in rounds of all; one round before, so that all is warm.

    `told` of each round that is over.
    """
    took: dict[str, list[float]] = {name: [] for name in asks}
    rows: dict[str, int] = {}
    for number in range(runs + 1):
        for name, ask in asks.items():
            began = time.perf_counter()
            rows[name] = ask()
            if number:
                took[name].append((time.perf_counter() - began) * 1000)
        told(number + 1)
    for name, took_ms in took.items():
        found = times(took_ms)
        yield Timed(
            of=of,
            name=name,
            runs=runs,
            rows=rows[name],
            p50_ms=found.p50,
            p99_ms=found.p99,
            most_ms=found.most,
        )


def ranges(placed: Placed) -> list[float]:
    """Days back from now: six hours, and the widest range that the query must answer whole."""
    return sorted({SIX_HOURS, placed.query.days} - {0})


def panels(session: Any) -> dict[str, Ask]:
    """Every query that Grafana can ask, each text once, by its place and its range."""
    known = {placed.query.text: placed for placed in reversed(written.queries())}
    return {
        f"{placed.where}, {days * 24:g} h": _asking(session, placed.query.text, days)
        for placed in reversed(known.values())
        for days in ranges(placed)
    }


def _asking(session: Any, text: str, days: float) -> Ask:
    profile = session.execution_profile_clone_update(
        EXEC_PROFILE_DEFAULT, row_factory=in_pages, request_timeout=PATIENCE_S
    )

    def ask() -> int:
        end_ms = round(time.time() * 1000)
        asked = expand(text, CHOSEN, end_ms - round(days * DAY_MS), end_ms)
        answer = session.execute(SimpleStatement(asked), execution_profile=profile)
        return sum(page.rows for page in answer)

    return ask


@contextmanager
def raw_session(settings: CdcSettings) -> Iterator[Any]:
    """A session as the dashboards' role whose rows stay bytes."""
    with keyspace.session(settings, Role.READER) as session:
        raw = keyspace.another(session, settings, Role.READER)
        raw.client_protocol_handler = PageHandler
        yield raw


def of_page(reader: Reader) -> dict[str, Ask]:
    """Everything that the three views ask, with the spans that they ask it for."""

    def asking(question: Callable[[datetime], Any]) -> Ask:
        return lambda: _count(question(datetime.now(UTC)))

    trend = timedelta(minutes=45) + AVERAGE
    found: dict[str, Callable[[datetime], Any]] = {
        "venues": lambda _: reader.venues(),
        "instruments": lambda _: reader.instruments(VENUE),
        "24 h statistics of all": lambda _: reader.tickers(VENUE),
        "24 h statistics of one": lambda _: [reader.ticker(VENUE, SYMBOL)],
        "rankings": lambda now: reader.movers(VENUE, QUOTE, now),
        "prices of all": lambda _: reader.latest_prices(VENUE),
        "price of one": lambda _: [reader.latest_price(VENUE, SYMBOL)],
        "prices of one, 50 min": lambda now: reader.prices(VENUE, SYMBOL, now - trend, now),
        "watched symbols": lambda _: reader.watched(VENUE),
        "book": lambda _: [reader.book(VENUE, SYMBOL)],
        "candles of all watched, 1 h": lambda now: _hours(reader, now),
        "tape": lambda now: reader.trades(VENUE, SYMBOL, now),
        "whales": lambda now: reader.large_trades(VENUE, now),
        "heartbeats, 15 min": lambda now: reader.beats("ingest", now - HOUR / 4, now),
        "newest heartbeat": lambda now: [reader.newest_beat("ingest", now)],
        "proofs": lambda _: reader.proofs(),
        "gaps": lambda _: reader.gaps(VENUE),
        "certificates of all watched, 3 h": lambda now: _minutes(reader, now),
        "events, 8 days": lambda now: reader.events("tidemark", now - 8 * DAY, now),
    }
    for width in WIDTHS:
        found[f"candles of one, {width.name}"] = partial(_candles, reader, width)
    return {name: asking(question) for name, question in found.items()}


def page_settings(replication: CdcSettings) -> PageSettings:
    """The page of the same stack, more patient: what is slow shall be measured."""
    return PageSettings(
        state_dir=replication.state_dir,
        secrets_dir=replication.secrets_dir,
        cassandra_hosts=replication.cassandra_hosts,
        cassandra_port=replication.cassandra_port,
        cassandra_keyspace=replication.cassandra_keyspace,
        page_timeout_ms=round(PATIENCE_S * 1000),
    )


def measure(replication: CdcSettings, runs: int) -> Iterator[Timed]:
    """The dashboards, then the page."""
    with raw_session(replication) as session:
        told = Headway("rounds of the panels' queries", runs + 1, say)
        yield from timed("panel", panels(session), runs, told)
    with closing(History(page_settings(replication))) as reader:
        told = Headway("rounds of the page's questions", runs + 1, say)
        yield from timed("page", of_page(reader), runs, told)


def _hours(reader: Reader, now: datetime) -> list[Any]:
    watched = reader.watched(VENUE)[:WATCHED]
    found = reader.candles(VENUE, watched, now - timedelta(minutes=62), now + MINUTE)
    return [each for rows in found.values() for each in rows]


def _candles(reader: Reader, width: Width, now: datetime) -> list[Any]:
    found = reader.candles(VENUE, [SYMBOL], now - width.reach, now + MINUTE)
    return list(found[SYMBOL])


def _minutes(reader: Reader, now: datetime) -> list[Any]:
    return list(reader.minutes(VENUE, reader.watched(VENUE)[:WATCHED], now - 3 * HOUR, now))


def _count(answer: Any) -> int:
    return len([each for each in answer if each is not None])
