"""Peers that load candles by REST: python-binance and ccxt, as their documentation shows.

    python -m tests.benchmarks.ingest.peers JOB

It goes on until it is ended; the exchange's log says how far it came. Where a loop is ours, each
page is let go as soon as it is there, in the peers' favour. Where the exchange says that the limit
is reached, a loop waits for the next minute.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from contracts.naming import Role
from ingest.settings import IngestSettings
from tests.benchmarks.ingest.statements import values

MINUTE_MS = 60_000
PAGE = 1000

Job = dict[str, Any]
Page = list[list[Any]]
Ask = Callable[[str, int], Page]
AskAsync = Callable[[str, int], Awaitable[Page]]


def loop(
    job: Job, ask: Ask, keep: Callable[[str, Page], None] = lambda _symbol, _page: None
) -> None:
    """Page after page of one symbol after the other."""
    for symbol in job["symbols"]:
        start = job["start_ms"]
        while start < job["end_ms"]:
            try:
                page = ask(symbol, start)
            except Exception as error:  # noqa: BLE001 - each library has its own; others go on up
                time.sleep(pause_s(error))
                continue
            keep(symbol, page)
            start = page[-1][0] + MINUTE_MS


async def loops(job: Job, ask: AskAsync) -> None:
    """The same of all symbols at once."""

    async def one(symbol: str) -> None:
        start = job["start_ms"]
        while start < job["end_ms"]:
            try:
                page = await ask(symbol, start)
            except Exception as error:  # noqa: BLE001 - each library has its own; others go on up
                await asyncio.sleep(pause_s(error))
                continue
            start = page[-1][0] + MINUTE_MS

    await asyncio.gather(*map(one, job["symbols"]))


def pause_s(error: Exception) -> float:
    """Seconds until the next minute, where the limit is reached; any other error goes up."""
    if "-1003" not in str(error):
        raise error
    return 60.0 - time.time() % 60 + 0.1


def python_binance(job: Job) -> None:
    client: Any = importlib.import_module("binance").Client(ping=False)
    client.API_URL = f"{job['url']}/api"

    def ask(symbol: str, start: int) -> Page:
        found: Page = client.get_klines(symbol=symbol, interval="1m", startTime=start, limit=PAGE)
        return found

    if job["way"] == "python-binance-stored":
        loop(job, ask, Stored().keep)
    elif not job["limited"]:
        loop(job, ask)
    else:
        for symbol in job["symbols"]:
            client.get_historical_klines(symbol, "1m", job["start_ms"], job["end_ms"])


async def python_binance_async(job: Job) -> None:
    client: Any = importlib.import_module("binance").AsyncClient()
    client.API_URL = f"{job['url']}/api"

    async def ask(symbol: str, start: int) -> Page:
        found: Page = await client.get_klines(
            symbol=symbol, interval="1m", startTime=start, limit=PAGE
        )
        return found

    if not job["limited"]:
        await loops(job, ask)
        return
    wanted = (
        client.get_historical_klines(symbol, "1m", job["start_ms"], job["end_ms"])
        for symbol in job["symbols"]
    )
    await asyncio.gather(*wanted)


def ccxt(job: Job) -> None:
    exchange = _ccxt(job, importlib.import_module("ccxt"))
    exchange.load_markets()

    def ask(symbol: str, start: int) -> Page:
        found: Page = exchange.fetch_ohlcv(_pair(symbol), "1m", start, PAGE)
        return found

    loop(job, ask)


async def ccxt_async(job: Job) -> None:
    exchange = _ccxt(job, importlib.import_module("ccxt.async_support"))
    await exchange.load_markets()

    async def ask(symbol: str, start: int) -> Page:
        found: Page = await exchange.fetch_ohlcv(_pair(symbol), "1m", start, PAGE)
        return found

    await loops(job, ask)


class Stored:
    """Each page into the table of candles, in a transaction of its own."""

    def __init__(self) -> None:
        dsn: dict[str, Any] = IngestSettings().postgres_dsn(Role.INGEST)
        self._connection = psycopg2.connect(**dsn)
        self._insert = values("klines", "VALUES %s")

    def keep(self, symbol: str, page: Page) -> None:
        with self._connection, self._connection.cursor() as cursor:
            rows = [_row(symbol, each) for each in page]
            execute_values(cursor, self._insert, rows, template=_ROW, page_size=PAGE)


_TIME = "to_timestamp(%s / 1000.0)"
_ROW = f"('simulator', %s, '1m', {_TIME}, {_TIME}, {', '.join(['%s'] * 9)}, true, now())"


def _row(symbol: str, candle: list[Any]) -> tuple[Any, ...]:
    """A candle of the exchange in the order of the table's columns."""
    opened, *amounts, closed, quote, trades, taker, taker_quote, _ = candle
    return (symbol, opened, closed, *amounts, quote, trades, taker, taker_quote)


def _ccxt(job: Job, module: Any) -> Any:
    options = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
    exchange = module.binance({"enableRateLimit": job["limited"], "options": options})
    exchange.urls["api"]["public"] = f"{job['url']}/api/v3"
    return exchange


def _pair(symbol: str) -> str:
    return f"{symbol.removesuffix('USDT')}/USDT"


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    match job["way"]:
        case "python-binance" | "python-binance-stored":
            python_binance(job)
        case "python-binance-async":
            asyncio.run(python_binance_async(job))
        case "ccxt":
            ccxt(job)
        case "ccxt-async":
            asyncio.run(ccxt_async(job))


if __name__ == "__main__":
    main()
