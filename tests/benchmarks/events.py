"""Change events as Debezium 3.7.0 writes them, made from a number: 0.8 kB a trade, 1 kB a candle.

The same number always makes the same event, so what a table must hold can be computed.
"""

from __future__ import annotations

import json
import time
from typing import Any

SYMBOLS = 40
START_MS = 1_795_132_800_000  # a full hour, and a full day
SPEED_MS = 20  # market time between two trades: an hour's partition gets 4,500 rows of 40 symbols
MINUTE_MS = 60_000
IN_TRANSACTION = 50  # events
LARGE_EVERY = 100  # of so many trades one is worth more than 100,000 USD

Row = dict[str, Any]


def trade_row(number: int, symbols: int = SYMBOLS) -> Row:
    """A trade as JSON has it."""
    ms = START_MS + number * SPEED_MS
    moment = iso(ms)
    worth = number % 9973 + (150_000 if number % LARGE_EVERY == 0 else 0)
    return {
        "venue": "bench",
        "symbol": f"SYM{number % symbols}USDT",
        "trade_id": number,
        "traded_at": moment,
        "traded_at_us": ms * 1000,
        "price": f"{60_000 + number % 997}.{number % 100:02d}0000000000000000",
        "quantity": f"0.{number % 100_000:05d}0000000000000",
        "quote_quantity": f"{worth}.{number % 1000:03d}000000000000000",
        "notional_usd": f"{worth}.{number % 1000:03d}000000000000000",
        "is_buyer_maker": number % 2 == 0,
        "is_best_match": True,
        "ingested_at": _ingested(number, SPEED_MS),
    }


def kline_row(number: int, symbols: int = SYMBOLS) -> Row:
    """A closed candle of a minute, as a backfill writes it: each minute has one of each symbol."""
    ms = START_MS + number // symbols * MINUTE_MS
    price, cents = 60_000 + number % 997, f"{number % 100:02d}0000000000000000"
    volume = f"{number % 9973}.{number % 1000:03d}000000000000000"
    return {
        "venue": "bench",
        "symbol": f"SYM{number % symbols}USDT",
        "interval": "1m",
        "open_time": iso(ms),
        "close_time": iso(ms + MINUTE_MS - 1),
        "open": f"{price}.{cents}",
        "high": f"{price + 7}.{cents}",
        "low": f"{price - 7}.{cents}",
        "close": f"{price + 3}.{cents}",
        "volume": volume,
        "quote_volume": f"{number % 99_991}.{number % 1000:03d}000000000000000",
        "trade_count": number % 4999 + 1,
        "taker_buy_volume": volume,
        "taker_buy_quote_volume": f"{number % 99_989}.{number % 100:02d}0000000000000000",
        "is_closed": True,
        "as_of": iso(ms + MINUTE_MS),
        "ingested_at": _ingested(number, MINUTE_MS // symbols),
    }


def _ingested(number: int, step_ms: int) -> str:
    """When its transaction began, as PostgreSQL's now(): the same for all rows of it."""
    transaction = number // IN_TRANSACTION + 1
    return iso(START_MS + transaction * IN_TRANSACTION * step_ms)[:-4] + "456Z"


KEYS = {
    "trades": ("venue", "symbol", "trade_id", "traded_at"),
    "klines": ("venue", "symbol", "interval", "open_time"),
}


def trade_event(number: int, table: str = "trades") -> tuple[bytes, bytes]:
    """Key and value of one inserted trade."""
    return event(table, number, trade_row(number), KEYS["trades"])


def event(
    table: str, number: int, row: Row, key: tuple[str, ...], *, alone: bool = False
) -> tuple[bytes, bytes]:
    """Key and value of one inserted row; `alone`: its transaction has no other event."""
    ms, lsn = START_MS + number * SPEED_MS, 26_000_000_000 + number * 200
    transaction = number // IN_TRANSACTION
    previous = lsn if alone else 26_000_000_000 + transaction * IN_TRANSACTION * 200
    source = {
        "version": "3.7.0.Final",
        "connector": "postgresql",
        "name": "market.g99",
        "ts_ms": ms,
        "snapshot": "false",
        "db": "tidemark",
        "sequence": f'["{previous - 64}","{lsn}"]',
        "ts_us": ms * 1000,
        "ts_ns": ms * 1_000_000,
        "schema": "public",
        "table": table,
        "txId": 900_000_000 + number if alone else 900_000 + transaction,
        "lsn": lsn,
        "xmin": None,
    }
    value = {
        "before": None,
        "after": row,
        "source": source,
        "transaction": None,
        "op": "c",
        "ts_ms": ms,
        "ts_us": ms * 1000 + 4000,
        "ts_ns": ms * 1_000_000,
    }
    return _json({name: row[name] for name in key}), _json(value)


def iso(ms: int) -> str:
    """A time with six digits of its second, as Debezium writes it."""
    whole, part = divmod(ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03d}000Z"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
