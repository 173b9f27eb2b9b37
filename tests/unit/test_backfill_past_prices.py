"""What a trade of the past was worth: by the price of then, or by nobody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from ingest.backfill.asking import Asking
from ingest.backfill.past_prices import PastPrices
from ingest.binance.client import Client
from ingest.exchange import Exchange
from ingest.settings import IngestSettings
from ingest.span import in_ms
from tests.market_rows import trade

MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)
MINUTE_MS = 60_000
QUOTES = {"ETHBTC": "BTC", "BTCUSDT": "USDT", "BTCEUR": "EUR", "BTCUSDC": "USDC"}

Worth = Callable[..., tuple[list[int], int]]


@pytest.fixture
def worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worth:
    """Whole notionals of trades of two units of the quote asset, and the requests it took.

    The exchange has minutes from 23:58 on, the first at 10, each dearer by 1 than the one before.
    """
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")

    def answer(request: httpx.Request) -> httpx.Response:
        first = in_ms(MIDNIGHT) - 2 * MINUTE_MS
        start, end = (int(request.url.params[name]) for name in ("startTime", "endTime"))
        assert request.url.params["symbol"] == "BTCUSDT"
        rows = []
        for opened in range(max(start, first), end + 1, MINUTE_MS):
            close = f"{10 + (opened - first) // MINUTE_MS}.0"
            rows.append([opened, *[close] * 4, "1", opened + MINUTE_MS - 1, "1", 1, "1", "1", "0"])
        return httpx.Response(200, content=json.dumps(rows[:1000]).encode())

    def worth(symbol: str, *after_midnight: timedelta) -> tuple[list[int], int]:
        settings = IngestSettings(state_dir=tmp_path)
        requests: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return answer(request)

        async def main() -> list[int]:
            transport = httpx.MockTransport(handle)
            exchange = Exchange("binance", ("https://one",))
            async with Client(settings, exchange, transport=transport) as client:
                prices = PastPrices(Asking(client, "binance"), settings.usd_quotes, QUOTES)
                trades = [
                    trade(n, symbol=symbol, traded_at=MIDNIGHT + after, quote_quantity=Decimal(2))
                    for n, after in enumerate(after_midnight)
                ]
                return [int(one.notional_usd) for one in await prices.price(symbol, trades)]

        return asyncio.run(main()), len(requests)

    return worth


def test_by_the_close_of_the_last_whole_minute_before_it(worth: Worth) -> None:
    """Also in the first minute of a day; a day is asked for once, in two pages."""
    seconds = [timedelta(seconds=s) for s in (0, 59, 60, 61, 86_399)]
    assert worth("ETHBTC", *seconds) == ([22, 22, 24, 24, 2 * (10 + 1440)], 2)


def test_before_the_first_price_it_is_worth_nothing_that_is_known(worth: Worth) -> None:
    """23:58:30: no minute of the pair was over."""
    before = -timedelta(seconds=90)
    assert worth("ETHBTC", before)[0] == [0]


def test_dollars_are_dollars_and_assets_without_a_pair_are_unknown(worth: Worth) -> None:
    """As live; neither asks anybody."""
    assert worth("BTCUSDC", timedelta(0)) == ([2], 0)
    assert worth("BTCEUR", timedelta(0)) == ([0], 0)
