"""Rows that are upserted, in passes, and what a table must hold after each. Pure.

`fresh`: no row is there; `repeated`: all are, and nothing changes; `revised`: all change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import msgspec

from contracts.market import Kline, Trade
from tests.benchmarks.events import kline_row, trade_row
from tests.benchmarks.ingest.statements import names

PASSES = {"trades": ("fresh", "repeated"), "klines": ("fresh", "repeated", "revised")}
WEIGHT = {"trades": "trade_id", "klines": "trade_count"}  # so that values may not change places
MINUTE = timedelta(minutes=1)
_EXACT = Context(prec=200)
_MAKE: dict[str, tuple[Callable[[int], dict[str, Any]], type[msgspec.Struct]]] = {
    "trades": (trade_row, Trade),
    "klines": (kline_row, Kline),
}


def made(table: str, name: str, count: int) -> list[Any]:
    """The rows of a pass, as the product's own Structs."""
    row_of, kind = _MAKE[table]
    rows = [msgspec.convert(row_of(number), kind, strict=False) for number in range(count)]
    return [_revised(row) for row in rows] if name == "revised" else rows


def chunks(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """The rows of each transaction."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def expressions(table: str, row: msgspec.Struct) -> dict[str, str]:
    """SQL expressions over a table whose values tell its rows, by the column that they sum."""
    weight = WEIGHT[table]
    found = {"rows": "count(*)::numeric"}
    for name in names(table):
        match getattr(row, name):
            case bool():
                found[name] = f'(count(*) FILTER (WHERE "{name}"))::numeric'
            case Decimal():
                found[name] = f'sum("{name}" * {weight})'
            case int():
                found[name] = f'sum("{name}"::numeric)'
            case datetime():
                found[name] = f'sum(extract(epoch FROM "{name}"))'
            case _:
                found[name] = f'count(DISTINCT "{name}")::numeric'
    return found


def expected(table: str, rows: Sequence[Any]) -> dict[str, Decimal]:
    """What these expressions are of the rows."""
    found = {"rows": Decimal(len(rows))}
    weights = [Decimal(getattr(row, WEIGHT[table])) for row in rows]
    for name in names(table):
        column = [getattr(row, name) for row in rows]
        found[name] = _told(column, weights)
    return found


def differences(found: dict[str, Decimal], wanted: dict[str, Decimal]) -> list[str]:
    """What a table does not hold as it must."""
    return [
        f"{name} is {found[name]} instead of {value}"
        for name, value in wanted.items()
        if found[name] != value
    ]


def _told(column: list[Any], weights: list[Decimal]) -> Decimal:
    match column[0]:
        case bool() | int():
            return Decimal(sum(column))
        case Decimal():
            return _sum(map(_EXACT.multiply, column, weights))
        case datetime():
            return _sum(Decimal(_micros(each)).scaleb(-6) for each in column)
        case _:
            return Decimal(len(set(column)))


def _sum(values: Any) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def _micros(moment: datetime) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return (moment - epoch) // timedelta(microseconds=1)


def _revised(row: Any) -> Any:
    return msgspec.structs.replace(row, volume=row.volume + 1, as_of=row.as_of + MINUTE)
