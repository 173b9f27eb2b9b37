"""From a batch to the rows of each table: admitted, floored, derived, each key once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from hashlib import blake2b
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from contracts.market import Depth, Event, Gap, Rejected
from ingest import admission, gap_rows, tables
from ingest.batch import Batch
from ingest.sampling import Sampling

Row = TypeVar("Row", bound=msgspec.Struct)
Level = tuple[Decimal, Decimal]

_WIDE = Context(prec=200)  # sums and differences of amounts are exact
_STEP = Decimal("1e-18")
_NOTHING = Decimal(0)


class BookRow(msgspec.Struct, frozen=True, kw_only=True):
    """`depth` as it is stored: levels as strings, and what is derived from them."""

    venue: str
    symbol: str
    observed_at: datetime
    last_update_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    best_bid: Decimal
    best_bid_quantity: Decimal
    best_ask: Decimal
    best_ask_quantity: Decimal
    spread: Decimal
    imbalance: Decimal


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """`events` as it is stored. The id follows from the content, so a repeated write is one row."""

    venue: str
    at: datetime
    id: int
    kind: str
    symbol: str
    severity: str
    message: str


class Prepared(msgspec.Struct, frozen=True):
    """Rows by table, in the order in which they are written, and what is set aside.

    `told`: rows that become events of the contract once they are stored; they stand here only.
    `told_at` is when, None where nobody wants to be told of anything.
    """

    rows: dict[str, Sequence[msgspec.Struct]]
    rejected: list[Rejected]
    told: dict[str, Sequence[msgspec.Struct]] = {}
    told_at: datetime | None = None

    def days(self) -> set[tuple[str, Any]]:
        """(table, UTC day) of each partition that the rows need."""
        days = {
            (table, getattr(row, tables.PARTITIONED_BY[table]).date())
            for table, rows in (*self.rows.items(), *self.told.items())
            if table in tables.PARTITIONED_BY
            for row in rows
        }
        if self.told_at is not None:
            days.add((tables.outbox.name, self.told_at.date()))
        return days


def prepare(batch: Batch, now: datetime, sampling: Sampling | None = None) -> Prepared:
    """Sort a batch by table. `now` bounds plausible times and is when its events happened.

    `sampling` says which prices become events of the contract; None: nothing does.
    """
    rows: dict[str, Sequence[msgspec.Struct]] = {}
    rejected = list(batch.rejected)

    def admit(table: str, candidates: Iterable[Row]) -> list[Row]:
        admitted, refused = admission.sift(candidates, now, table)
        rejected.extend(refused)
        return admitted

    rows["instruments"] = newest("instruments", admit("instruments", batch.instruments))
    listings = floored(admit("listings", batch.listings), "listed_at")
    rows["listings"] = newest("listings", listings)
    prices = floored(admit("prices", batch.prices), "observed_at")
    rows["prices"] = prices
    depth = floored(admit("depth", batch.depth), "observed_at")
    rows["depth"] = admit("depth", map(book_row, depth))
    rows["trades"] = floored(admit("trades", batch.trades), "traded_at")
    rows["klines"] = prepare_klines(admit("klines", batch.klines))
    tickers = floored(admit("ticker_24h", batch.tickers), "as_of")
    rows["ticker_24h"] = newest("ticker_24h", tickers)
    rows["ticker_24h_history"] = [each for each in tickers if each.symbol in batch.watched]
    coins = floored(admit("coin_markets", batch.coin_markets), "ts_event")
    rows["coin_markets"] = newest("coin_markets", coins)
    rows["gaps"] = newest("gaps", admit("gaps", batch.gaps))
    certificates = floored(admit("certificates", batch.certificates), "open_time")
    rows["certificates"] = newest("certificates", certificates)
    rows["events"] = [event_row(event, now) for event in admit("events", batch.events)]
    told: dict[str, Sequence[msgspec.Struct]] = {}
    if sampling is not None:
        told["prices"], rows["prices"] = sampling.split(prices, batch.watched)
        told["coin_markets"] = rows.pop("coin_markets")
    return Prepared(_some(rows), rejected, _some(told), None if sampling is None else now)


def _some(rows: dict[str, Sequence[msgspec.Struct]]) -> dict[str, Sequence[msgspec.Struct]]:
    return {table: found for table, found in rows.items() if found}


def prepare_klines(klines: Sequence[Row]) -> list[Row]:
    """Admitted candles as they are stored."""
    return newest("klines", floored(klines, "open_time"))


def floored(rows: Sequence[Row], name: str) -> list[Row]:
    """The rows with that time, part of their key, floored to whole milliseconds."""
    return [
        row if getattr(row, name).microsecond % 1000 == 0 else _floor(row, name) for row in rows
    ]


def newest(table: str, rows: Sequence[Row]) -> list[Row]:
    """One row a key of an upserted table, as PostgreSQL would decide, had they come one by one.

    A closed candle goes before an open one, then the newest `as_of`, then the last in the list.
    Gaps have a rule of their own.
    """
    identity_of = attrgetter(*(column.name for column in tables.metadata.tables[table].primary_key))
    best: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        identity = identity_of(row)
        rival = best.get(identity)
        if rival is None or _goes_before(row, rival):
            best[identity] = row
    return list(best.values())


def book_row(book: Depth) -> BookRow:
    """A snapshot with its best levels, spread and imbalance; 0 where a side is empty."""
    best_bid, best_bid_quantity = book.bids[0] if book.bids else (_NOTHING, _NOTHING)
    best_ask, best_ask_quantity = book.asks[0] if book.asks else (_NOTHING, _NOTHING)
    two_sided = bool(book.bids and book.asks)
    return BookRow(
        venue=book.venue,
        symbol=book.symbol,
        observed_at=book.observed_at,
        last_update_id=book.last_update_id,
        bids=_as_strings(book.bids),
        asks=_as_strings(book.asks),
        best_bid=best_bid,
        best_bid_quantity=best_bid_quantity,
        best_ask=best_ask,
        best_ask_quantity=best_ask_quantity,
        spread=_WIDE.subtract(best_ask, best_bid) if two_sided else _NOTHING,
        imbalance=imbalance(book.bids, book.asks),
    )


def imbalance(bids: Iterable[Level], asks: Iterable[Level]) -> Decimal:
    """(bid − ask) / (bid + ask) of the summed quantities, −1…1, half-even at 18 places."""
    bid, ask = _quantity(bids), _quantity(asks)
    total = _WIDE.add(bid, ask)
    if total == 0:
        return _NOTHING
    return _WIDE.quantize(_WIDE.divide(_WIDE.subtract(bid, ask), total), _STEP)


def event_row(event: Event, at: datetime) -> EventRow:
    """An event at a time, floored to ms."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    digest = blake2b(msgspec.json.encode(event), digest_size=8).digest()
    return EventRow(
        venue=event.venue,
        at=at,
        id=int.from_bytes(digest) >> 1,  # 63 bits: a bigint that is not negative
        kind=event.kind,
        symbol=event.symbol,
        severity=event.severity,
        message=event.message,
    )


def _floor(row: Row, name: str) -> Row:
    time = getattr(row, name)
    floor = time.replace(microsecond=time.microsecond // 1000 * 1000)
    return msgspec.structs.replace(row, **{name: floor})


def _goes_before(row: Any, rival: Any) -> bool:
    if isinstance(row, Gap):
        return gap_rows.may_replace(rival, row)
    return _precedence(row) >= _precedence(rival)


def _precedence(row: Any) -> tuple[bool, datetime]:
    return getattr(row, "is_closed", True), row.as_of


def _as_strings(levels: Iterable[Level]) -> list[tuple[str, str]]:
    return [(f"{price:f}", f"{quantity:f}") for price, quantity in levels]


def _quantity(levels: Iterable[Level]) -> Decimal:
    total = _NOTHING
    for _, quantity in levels:
        total = _WIDE.add(total, quantity)
    return total
