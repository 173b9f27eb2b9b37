"""Which files the exchange's public archive has, by name. Pure.

    data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2026-01.zip
    data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2026-01-31.zip

Beside each stands `….zip.CHECKSUM`, its SHA-256 as `sha256sum` writes it. A day's file comes the
next day, a month's in the month that follows; either may be published again, with another content
and another checksum. Source: github.com/binance/binance-public-data, README of August 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import msgspec

from ingest.intervals import DAY, INTERVALS
from ingest.span import Span, from_ms, in_ms

TRADES = "trades"
_KLINES = "klines_"


class ArchiveFile(msgspec.Struct, frozen=True):
    """A zip file of the archive: its path below the archive's URL, and the time that it covers."""

    path: str
    span: Span


def klines_stream(interval: str) -> str:
    """The stream's name in `gaps` and `backfills`."""
    return f"{_KLINES}{interval}"


def interval_of(stream: str) -> str:
    """The interval of a stream of candles."""
    return stream.removeprefix(_KLINES)


def is_archived(stream: str) -> bool:
    """Whether the archive has days and months of it: candles longer than a day cross them."""
    return stream == TRADES or INTERVALS[interval_of(stream)] <= DAY


def of_day(symbol: str, stream: str, day: Span) -> ArchiveFile:
    """The file of the UTC day in which a span begins."""
    begin = from_ms(day.start).date()
    return _file(symbol, stream, "daily", begin, begin + timedelta(days=1))


def of_month(symbol: str, stream: str, month: Span) -> ArchiveFile:
    """The file of the UTC month in which a span begins."""
    begin = from_ms(month.start).date().replace(day=1)
    return _file(symbol, stream, "monthly", begin, _next_month(begin))


def days(span: Span) -> Iterator[Span]:
    """The span, cut at midnights."""
    time = span.start
    while time < span.end:
        end = min((time // DAY + 1) * DAY, span.end)
        yield Span(time, end)
        time = end


def months(span: Span) -> Iterator[Span]:
    """The span, cut where months begin."""
    time = span.start
    while time < span.end:
        end = min(_midnight(_next_month(from_ms(time).date())), span.end)
        yield Span(time, end)
        time = end


def _file(symbol: str, stream: str, period: str, begin: date, end: date) -> ArchiveFile:
    stamp = f"{begin:%Y-%m-%d}" if period == "daily" else f"{begin:%Y-%m}"
    kind = TRADES if stream == TRADES else interval_of(stream)
    folder = f"{TRADES}/{symbol}" if stream == TRADES else f"klines/{symbol}/{kind}"
    path = quote(f"data/spot/{period}/{folder}/{symbol}-{kind}-{stamp}.zip")
    return ArchiveFile(path, Span(_midnight(begin), _midnight(end)))


def _next_month(day: date) -> date:
    year, month = divmod(day.year * 12 + day.month, 12)
    return date(year, month + 1, 1)


def _midnight(day: date) -> int:
    return in_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
