"""The history in Cassandra, read as `tidemark_reader`: the page's only I/O.

A session may be used by several threads. What is slow is asked again in the same session; where
nobody answers any more, the error says that the session is lost, and the caller opens another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cassandra import AuthenticationFailed, DriverException, InvalidRequest, Unauthorized
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ExponentialReconnectionPolicy,
    FallthroughRetryPolicy,
    WhiteListRoundRobinPolicy,
)
from cassandra.protocol import ErrorMessage

from contracts.naming import Role
from page import buckets, statements
from page.errors import AccessDenied, NoSchema, Unreachable
from page.reader import RANKINGS, TABLES, Reader
from page.rows import (
    Beat,
    Book,
    Candle,
    Event,
    Gap,
    Instrument,
    Level,
    Minute,
    Mover,
    Price,
    Proof,
    Ticker,
    Trade,
)
from page.settings import PageSettings
from runtime.settings import SettingsError

VENUES = ("binance", "simulator")  # exchanges: `events.venue` may also be the pipeline's own
TRADES_SHOWN = 25
_PROTOCOL_VERSION = 5
_DAY = timedelta(days=1)
_FAILURES = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage, OSError)


class History(Reader):
    """A session and its prepared statements; `close` ends it."""

    def __init__(self, settings: PageSettings) -> None:
        """Connect; PageError where that cannot be."""
        self._settings = settings
        with _in_our_words(settings):
            self._cluster = _cluster(settings, settings.secret(Role.READER))
            try:
                self._session = self._cluster.connect()
                self._session.set_keyspace(settings.cassandra_keyspace)
                self._prepared = {
                    text: self._session.prepare(text)
                    for name, text in vars(statements).items()
                    if name.isupper()
                }
            except BaseException:
                self._cluster.shutdown()
                raise

    def close(self) -> None:
        """End the session and its threads."""
        self._cluster.shutdown()

    def _ask(self, statement: str, *keys: Sequence[object]) -> list[Any]:
        """Rows of each of the keys, one after the other; asked for all at once."""
        prepared = self._prepared[statement]
        with _in_our_words(self._settings):
            asked = [self._session.execute_async(prepared, tuple(key)) for key in keys]
            return [row for answer in asked for row in answer.result()]

    def venues(self) -> list[str]:
        return [venue for venue in VENUES if self._ask(statements.ANY_TICKER, (venue,))]

    def instruments(self, venue: str) -> list[Instrument]:
        return [Instrument(*row) for row in self._ask(statements.INSTRUMENTS, (venue,))]

    def tickers(self, venue: str) -> list[Ticker]:
        return [_ticker(row) for row in self._ask(statements.TICKERS, (venue,))]

    def ticker(self, venue: str, symbol: str) -> Ticker | None:
        rows = self._ask(statements.TICKER, (venue, symbol))
        return _ticker(rows[0]) if rows else None

    def movers(self, venue: str, quote_asset: str, now: datetime) -> list[Mover]:
        today = buckets.day(now)
        for day in (today, today - _DAY):
            keys = [(venue, quote_asset, ranking, day) for ranking in RANKINGS]
            if rows := self._ask(statements.MOVERS, *keys):
                return [Mover(_aware(row[0]), *row[1:]) for row in rows]
        return []

    def latest_prices(self, venue: str) -> list[Price]:
        return [_price(row) for row in self._ask(statements.LATEST_PRICES, (venue,))]

    def latest_price(self, venue: str, symbol: str) -> Price | None:
        rows = self._ask(statements.LATEST_PRICE, (venue, symbol))
        return _price(rows[0]) if rows else None

    def watched(self, venue: str) -> list[str]:
        return [row.symbol for row in self._ask(statements.WATCHED, (venue,))]

    def prices(self, venue: str, symbol: str, start: datetime, end: datetime) -> list[Price]:
        keys = [(venue, symbol, day, start) for day in buckets.days(start, end)]
        return [_price(row) for row in self._ask(statements.PRICES, *keys)]

    def book(self, venue: str, symbol: str) -> Book | None:
        for row in self._ask(statements.BOOK, (venue, symbol)):
            return Book(
                symbol=row.symbol,
                observed_at=_aware(row.observed_at),
                spread=row.spread,
                imbalance=row.imbalance,
                bids=_levels(row.bids),
                asks=_levels(row.asks),
            )
        return None

    def candles(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, list[Candle]]:
        months = buckets.months(start, end)
        keys = [(venue, each, "1m", month, start, end) for each in symbols for month in months]
        prepared = self._prepared[statements.CANDLES]
        found: dict[str, list[Candle]] = {symbol: [] for symbol in symbols}
        with _in_our_words(self._settings):
            asked = [(key[1], self._session.execute_async(prepared, key)) for key in keys]
            for symbol, answer in asked:
                found[symbol] += [Candle(_aware(row[0]), *row[1:]) for row in answer.result()]
        return found

    def trades(self, venue: str, symbol: str, now: datetime) -> list[Trade]:
        hour = buckets.hour(now)
        keys = [(venue, symbol, hour), (venue, symbol, hour - timedelta(hours=1))]
        return [_trade(row) for row in self._ask(statements.TRADES, *keys)][:TRADES_SHOWN]

    def large_trades(self, venue: str, now: datetime) -> list[Trade]:
        today = buckets.day(now)
        keys = [(venue, today), (venue, today - _DAY)]
        return [_trade(row) for row in self._ask(statements.LARGE_TRADES, *keys)]

    def beats(self, source: str, start: datetime, end: datetime) -> list[Beat]:
        keys = [(source, day, start) for day in buckets.days(start, end)]
        rows = self._ask(statements.BEATS, *keys)
        return [Beat(_aware(row.beat_at), *row[1:]) for row in rows]

    def newest_beat(self, source: str, now: datetime) -> datetime | None:
        today = buckets.day(now)
        rows = self._ask(statements.NEWEST_BEAT, (source, today), (source, today - _DAY))
        return _aware(rows[0].beat_at) if rows else None

    def proofs(self) -> list[Proof]:
        rows = self._ask(statements.PROOFS, *[(table,) for table in TABLES])
        return [
            Proof(
                table=row.table_name,
                through=None if row.verified_through is None else _aware(row.verified_through),
                at=None if row.at is None else _aware(row.at),
                differences=row.differences or 0,
            )
            for row in rows
        ]

    def gaps(self, venue: str) -> list[Gap]:
        rows = self._ask(statements.GAPS, (venue,))
        return [Gap(_aware(row[0]), *row[1:]) for row in rows]

    def minutes(
        self, venue: str, symbols: Sequence[str], start: datetime, end: datetime
    ) -> list[Minute]:
        days = buckets.days(start, end)
        keys = [(venue, symbol, day, start) for symbol in symbols for day in days]
        rows = self._ask(statements.MINUTES, *keys)
        return [Minute(row.symbol, _aware(row.open_time), row.state) for row in rows]

    def events(self, venue: str, start: datetime, end: datetime) -> list[Event]:
        keys = [(venue, day) for day in reversed(buckets.days(start, end))]
        rows = self._ask(statements.EVENTS, *keys)
        return [Event(_aware(row.at), *row[1:]) for row in rows]


def _cluster(settings: PageSettings, password: str) -> Cluster:
    hosts = settings.cassandra_contact_points
    profile = ExecutionProfile(
        # only by the addresses we were given: what a node calls itself may be elsewhere
        load_balancing_policy=WhiteListRoundRobinPolicy(hosts),
        retry_policy=FallthroughRetryPolicy(),  # the next refresh asks again
        request_timeout=settings.page_timeout_ms / 1000,
    )
    return Cluster(
        hosts,
        port=settings.cassandra_port,
        protocol_version=_PROTOCOL_VERSION,
        compression=False,
        auth_provider=PlainTextAuthProvider(Role.READER, password),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 5.0, None),
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        connect_timeout=2,
        control_connection_timeout=2,
        idle_heartbeat_interval=5,
        idle_heartbeat_timeout=10,
        application_name="tidemark_page",
    )


@contextmanager
def _in_our_words(settings: PageSettings) -> Iterator[None]:
    """What the driver raises as a PageError whose message a person can use."""
    where = f"{settings.cassandra_hosts}:{settings.cassandra_port}"
    try:
        yield
    except SettingsError as error:  # no password yet
        raise AccessDenied(str(error)) from error
    except _FAILURES as error:
        if _denied(error):
            raise AccessDenied(
                f"Cassandra at {where} denies {Role.READER}; "
                "`tidemark migrate` renews its password",
                lost=True,
            ) from error
        if isinstance(error, InvalidRequest):
            raise NoSchema(
                "Cassandra has not been given its tables yet; `tidemark migrate` makes them",
                lost=True,
            ) from error
        raise Unreachable(
            f"nobody answers at {where} ({type(error).__name__})",
            # the driver gives a host up for good that once denied it; who is slow is not gone
            lost=isinstance(error, NoHostAvailable),
        ) from error


def _denied(error: BaseException) -> bool:
    if isinstance(error, NoHostAvailable):
        causes = error.errors.values() if isinstance(error.errors, dict) else error.errors
        return any(_denied(each) for each in causes if isinstance(each, BaseException))
    return isinstance(error, AuthenticationFailed | Unauthorized)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)  # the driver gives naive UTC


def _ticker(row: Any) -> Ticker:
    return Ticker(row.symbol, _aware(row.as_of), *row[2:])


def _price(row: Any) -> Price:
    return Price(row.symbol, _aware(row.observed_at), row.price, row.ingested_at_us)


def _trade(row: Any) -> Trade:
    return Trade(row.symbol, _aware(row.traded_at), *row[2:])


def _levels(text: str) -> tuple[Level, ...]:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in json.loads(text))
