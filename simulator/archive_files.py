"""The market as files of Binance's public archive: a day or a month, zipped CSV. Pure.

The same rows as REST's, in the archive's writing: no header, True and False, milliseconds until
2024 and microseconds from 2025 on.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from simulator import wire
from simulator.catalogue import Listing
from simulator.corruption import corrupted
from simulator.faults import Action, Corruption, Header
from simulator.intervals import INTERVALS
from simulator.klines import Query, klines
from simulator.market import Market
from simulator.trades import MINUTE_US

_PATH = re.compile(
    r"/data/spot/(?P<period>daily|monthly)/(?P<kind>klines|trades)/(?P<symbol>[^/]+)/"
    r"(?:(?P<interval>[^/]+)/)?(?P<name>[^/]+)\.zip"
)
_STAMP = {"daily": "%Y-%m-%d", "monthly": "%Y-%m"}
_AFTER = {"daily": timedelta(hours=3), "monthly": timedelta(days=1)}  # its end: then it is there
_CROSS_DAYS = {"3d", "1w", "1M"}
_MICROSECONDS_FROM = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_MOST_ROWS = 3_000_000  # a longer file would take minutes to draw; the exchange has them
_EPOCH = (1980, 1, 1, 0, 0, 0)  # in the zip, so that equal rows are equal bytes
_HEADERS = {
    "klines": "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore",
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file by its path; `interval` is empty for trades. `published`: when it is there."""

    name: str
    kind: str
    symbol: str
    interval: str
    start: datetime
    end: datetime
    published: datetime


def named(path: str) -> File | None:
    """The file of a path that the archive could have; None for any other path."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    period, kind, symbol = found["period"], found["kind"], found["symbol"]
    interval = found["interval"] or ""
    known = interval in INTERVALS and interval not in _CROSS_DAYS
    if known != (kind == "klines"):
        return None
    prefix = f"{symbol}-{interval or 'trades'}-"
    stamp = found["name"].removeprefix(prefix) + ("" if period == "daily" else "-01")
    try:
        start = datetime.fromisoformat(f"{stamp}T00:00:00+00:00")
    except ValueError:
        return None
    if found["name"] != f"{prefix}{start.strftime(_STAMP[period])}":
        return None
    end = start + timedelta(days=1)
    if period == "monthly":
        end = (start + timedelta(days=31)).replace(day=1)
    return File(found["name"], kind, symbol, interval, start, end, end + _AFTER[period])


def content(market: Market, listing: Listing, file: File, faults: Sequence[Action]) -> bytes | None:
    """The zip file; None where the market has nothing of that time, or too much to draw."""
    start_us, end_us = (int(at.timestamp()) * 1_000_000 for at in (file.start, file.end))
    unit_us = 1 if start_us >= _MICROSECONDS_FROM else 1000
    draw = _trade_lines if file.kind == "trades" else _kline_lines
    lines = draw(market, listing, file, (start_us, end_us), unit_us)
    if not lines:
        return None
    for fault in faults:
        if isinstance(fault, Corruption):
            lines = _damaged(lines, fault)
        elif isinstance(fault, Header):
            lines = [_HEADERS[file.kind], *lines]
    return _zipped(f"{file.name}.csv", lines)


def _kline_lines(
    market: Market, listing: Listing, file: File, span_us: tuple[int, int], unit_us: int
) -> list[str]:
    start_us, end_us = span_us
    interval = INTERVALS[file.interval]
    count = int((end_us - start_us) / 1_000_000 / (interval.minutes * 60 or 1))
    if count > _MOST_ROWS:
        return []
    query = Query(interval, count, start_us, end_us - 1)
    found = klines(market, listing, query, end_us - 1)
    rows = wire.kline_rows(listing, found, unit_us) if found else []
    return [row[1:-1].replace('"', "") for row in rows]


def _trade_lines(
    market: Market, listing: Listing, file: File, span_us: tuple[int, int], unit_us: int
) -> list[str]:
    del file
    start_us, end_us = (max(at_us, listing.listed * MINUTE_US) for at_us in span_us)
    first, end = (market.first_id_at(listing, at_us) for at_us in (start_us, end_us))
    if end - first > _MOST_ROWS:
        return []
    run = market.trades(listing, first, end)
    if run is None:
        return []
    price, lot, quote = listing.price_decimals, listing.lot_decimals, listing.quote_decimals
    return wire.rows(
        f"%d,{wire.spec(price)},{wire.spec(lot)},{wire.spec(quote)},%d,%s,True",
        [
            list(range(run.first_id, run.first_id + len(run))),
            *wire.parts(run.price, price),
            *wire.parts(run.lots, lot),
            *wire.parts(run.price * run.lots, quote),
            (run.at_us // unit_us).tolist(),
            np.where(run.taker_buys, "False", "True").tolist(),
        ],
    )


def _damaged(lines: Iterable[str], fault: Corruption) -> list[str]:
    """Lines after a fault that names fields by their place, whole numbers as such."""
    rows = [[int(f) if f.isdecimal() else f for f in line.split(",")] for line in lines]
    return [",".join(map(str, row)) for row in json.loads(corrupted(json.dumps(rows), fault))]


def _zipped(name: str, lines: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo(name, _EPOCH)
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, "\n".join([*lines, ""]))
    return buffer.getvalue()
