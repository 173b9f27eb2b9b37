"""Lines of archive files → rows, by the rules of REST. Pure: lines in, rows and rejected rows out.

The exchange's spot files have no header; some archives and years have one. With a header the
columns are found by their names, without it by their order. Times are milliseconds until 2024 and
microseconds from 2025 on, told apart by their range and never by their date. Candles are of whole
milliseconds, as REST says them; trades keep the microseconds beside.

LayoutUnknownError where nobody can say which column is which.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from contracts.market import Kline, Rejected, Trade
from ingest.binance.messages import candle, fill
from ingest.binance.pages import Columns, candles
from ingest.binance.rows import BadValueError, Parsed, in_range, microseconds, reject

Row = TypeVar("Row")
Pick = Callable[[list[str]], tuple[str, ...]]
"""Of a line's fields, those of our columns."""
One = Callable[[tuple[str, ...]], Row]
Many = Callable[[Sequence[tuple[str, ...]]], list[Row]]
Reading = tuple[One[Row], Many[Row] | None]
"""How a row is made, and how many are at once, of which each is well; any error: one is not."""

ROWS_AT_ONCE = 10_000
_SHOWN = 120  # characters of a header in an error
_WHOLE = frozenset("0123456789")
_ALL_WHOLE = re.compile("[0-9]{1,19}+(?:,[0-9]{1,19}+)*+")

# column → the names that headers give it, in small letters and digits
_KLINE_COLUMNS = {
    "open time": ("opentime",),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "close time": ("closetime",),
    "quote volume": ("quotevolume", "quoteassetvolume"),
    "count": ("count", "numberoftrades", "trades"),
    "taker volume": ("takerbuyvolume", "takerbuybasevolume", "takerbuybaseassetvolume"),
    "taker quote volume": ("takerbuyquotevolume", "takerbuyquoteassetvolume"),
}
_TRADE_COLUMNS = {
    "id": ("id", "tradeid"),
    "price": ("price",),
    "quantity": ("qty", "quantity"),
    "quote quantity": ("quoteqty", "quotequantity"),
    "time": ("time", "timestamp"),
    "is buyer maker": ("isbuyermaker", "wasthebuyerthemaker"),
    "is best match": ("isbestmatch", "wasthetradethebestpricematch"),
}


class LayoutUnknownError(ValueError):
    """The columns of a file are not those that we know."""


def klines(
    lines: Iterable[bytes], venue: str, symbol: str, interval: str, as_of: datetime
) -> Iterator[Parsed[Kline]]:
    """Candles, some thousand at a time; `as_of`: when the file was published."""

    def read(fields: tuple[str, ...]) -> Kline:
        opened, o, h, low, c, v, closed, qv, count, tb, tq = fields
        bounds = (_ms(opened, "open time"), _ms(closed, "close time"))
        said = (bounds, (o, h, low, c, v, qv, tb, tq), _whole(count, "count"))
        return candle(venue, symbol, interval, said, as_of)

    def read_all(rows: Sequence[tuple[str, ...]]) -> list[Kline]:
        opened, o, h, low, c, v, closed, qv, count, tb, tq = zip(*rows, strict=True)
        bounds = (_all_ms(opened), _all_ms(closed))
        columns = Columns(*bounds, (o, h, low, c, v, qv, tb, tq), _all_whole(count))
        return candles(venue, symbol, interval, columns, as_of)

    return _blocks(lines, _KLINE_COLUMNS, (read, read_all), (venue, "archive klines"))


def trades(lines: Iterable[bytes], venue: str, symbol: str) -> Iterator[Parsed[Trade]]:
    """Trades, some thousand at a time; `notional_usd` is 0 until they are priced."""

    def read(fields: tuple[str, ...]) -> Trade:
        trade_id, price, quantity, quote, time, maker, best = fields
        identity = (_whole(trade_id, "id"), microseconds(_whole(time, "time"), "time"))
        flags = (_flag(maker, "isBuyerMaker"), _flag(best, "isBestMatch"))
        return fill(venue, symbol, identity, (price, quantity, quote), flags)

    return _blocks(lines, _TRADE_COLUMNS, (read, None), (venue, "archive trades"))


def _blocks(
    lines: Iterable[bytes],
    columns: dict[str, tuple[str, ...]],
    read: Reading[Row],
    origin: tuple[str, str],
) -> Iterator[Parsed[Row]]:
    lines = iter(lines)
    first = next(lines, b"")
    if not first.strip():
        return
    has_header, pick = _layout(first, columns)
    if not has_header:
        lines = itertools.chain([first], lines)
    while block := list(itertools.islice(lines, ROWS_AT_ONCE)):
        yield _parsed(block, pick, read, origin)


def _parsed(
    lines: list[bytes],
    pick: Pick,
    read: Reading[Row],
    origin: tuple[str, str],
) -> Parsed[Row]:
    one, many = read
    if many is not None:
        with contextlib.suppress(IndexError, ValueError, ArithmeticError):  # one by one then
            return Parsed(many([pick(_fields(line)) for line in lines]), [])
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for line in lines:
        try:
            rows.append(one(pick(_fields(line))))
        except IndexError:
            rejected.append(reject(*origin, "a line with fewer columns than the first", line))
        except (BadValueError, UnicodeDecodeError) as error:
            rejected.append(reject(*origin, str(error), line))
    return Parsed(rows, rejected)


def _fields(line: bytes) -> list[str]:
    return line.decode("ascii").rstrip("\r\n").split(",")


def _layout(first: bytes, columns: dict[str, tuple[str, ...]]) -> tuple[bool, Pick]:
    """Whether the first line is a header, and how the columns are picked from the fields."""
    names = first.decode("utf-8", "replace").strip().lstrip("\ufeff").split(",")
    if _is_whole(names[0]):
        if len(names) < len(columns):
            raise LayoutUnknownError(f"{len(names)} columns where {len(columns)} are due")
        return False, itemgetter(*range(len(columns)))
    plain = ["".join(filter(str.isalnum, name.lower())) for name in names]
    places = []
    for column, known in columns.items():
        place = next((plain.index(name) for name in known if name in plain), None)
        if place is None:
            raise LayoutUnknownError(f"no column for {column} in {','.join(names)[:_SHOWN]!r}")
        places.append(place)
    return True, itemgetter(*places)


def _is_whole(text: str) -> bool:
    return bool(text) and _WHOLE.issuperset(text)


def _whole(text: str, name: str) -> int:
    if len(text) <= 19 and _is_whole(text):
        return int(text)
    raise BadValueError(f"{name} is {text[:60]!r}: not a whole number")


def _ms(text: str, name: str) -> int:
    return microseconds(_whole(text, name), name) // 1000


def _all_whole(texts: Sequence[str]) -> list[int]:
    """As `_whole`, of many."""
    if _ALL_WHOLE.fullmatch(",".join(texts)):
        return list(map(int, texts))
    raise BadValueError("a number")


def _all_ms(texts: Sequence[str]) -> list[int]:
    """As `_ms`, of many of one unit."""
    times = _all_whole(texts)
    return times if in_range(times) else [time // 1000 for time in times]


def _flag(text: str, name: str) -> bool:
    match text.lower():
        case "true":
            return True
        case "false":
            return False
    raise BadValueError(f"{name} is {text[:60]!r}: neither True nor False")
