"""What a backfill makes of absent or unreadable candles; the exchange is a scripted one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from contracts.market import Gap, Rejected
from ingest.backfill.apply import Backfill, Outcome
from ingest.backfill.asking import Asking
from ingest.backfill.survey import Survey
from ingest.batch import BackfillProgress, Batch, Written
from ingest.binance.client import Client
from ingest.exchange import Exchange
from ingest.settings import IngestSettings
from ingest.span import Span, in_ms
from ingest.store import Store
from ingest.writer import StoreThread
from tests.market_rows import instrument

SYMBOL = "BTCUSDT"
MINUTE = 60_000
BEGIN = in_ms(datetime(2026, 3, 1, tzinfo=UTC))
ASKED = Span(BEGIN, BEGIN + 5 * MINUTE)

Candle = list[object]


def candle(minute: int, price: str = "1.0") -> Candle:
    opened = BEGIN + minute * MINUTE
    amounts = [price] * 4 + ["2.0"]
    return [opened, *amounts, opened + MINUTE - 1, "2.0", 3, "1.0", "1.0", "0"]


def unreadable(minute: int) -> Candle:
    return candle(minute, price="NaN")


class Kept(Store):
    """Keeps what it is given instead of sending it to PostgreSQL."""

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self.gaps: list[Gap] = []
        self.rejected: list[Rejected] = []

    def copy(self, batch: Batch, progress: BackfillProgress | None = None) -> Written:
        del progress
        self.gaps += batch.gaps
        self.rejected += batch.rejected
        return Written({"klines": len(batch.klines)}, len(batch.rejected))

    def backfills(self, *_: object) -> list[BackfillProgress]:
        return []

    def gaps_within(self, *_: object) -> list[Gap]:
        return []

    def load_shedding(self) -> tuple[int, float]:
        return 0, 0.0

    def missing_klines(self, *_: object) -> list[tuple[datetime, datetime]]:
        return []


Load = Callable[..., tuple[Outcome, Kept]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Backfill the five minutes from these answers, in the order in which they are asked for."""
    monkeypatch.setenv("TIDEMARK_ENV_FILE", "")

    def load(*answers: list[Candle], status: str = "TRADING") -> tuple[Outcome, Kept]:
        settings = IngestSettings(state_dir=tmp_path)
        replies = list(answers)
        transport = httpx.MockTransport(
            lambda _: httpx.Response(200, content=json.dumps(replies.pop(0)).encode())
        )
        exchange = Exchange("binance", ("https://one",))
        kept = Kept(settings)
        thread = StoreThread(kept)

        async def main() -> Outcome:
            async with Client(settings, exchange, transport=transport) as client:
                asking = Asking(client, exchange.venue)
                survey = Survey(asking, thread, None, prefer="auto", file_limit_mb=1)
                survey._listed = {SYMBOL: instrument(SYMBOL, status=status)}
                plan = await survey.klines(SYMBOL, "1m", ASKED)
                backfill = Backfill(settings, asking, None, thread, {SYMBOL: "USDT"})
                return await backfill.run(plan, lambda *_: None)

        try:
            outcome = asyncio.run(main())
        finally:
            thread.close()
        assert replies == []
        return outcome, kept

    return load


FIRST = [candle(0)]


def test_hole_that_both_answers_leave_is_confirmed_by_the_exchange(load: Load) -> None:
    """The exchange was asked twice, and all that it sent could be read."""
    outcome, kept = load(FIRST, [candle(n) for n in (0, 1, 3, 4)], [])
    (gap,) = kept.gaps
    assert (gap.first_missing, gap.last_missing) == (BEGIN + 2 * MINUTE, BEGIN + 2 * MINUTE)
    assert (gap.state, gap.cause) == ("exchange-confirmed", "exchange")
    assert (outcome.received, outcome.quarantined) == (4, 0)


def test_hole_whose_second_answer_cannot_be_read_is_not_confirmed(load: Load) -> None:
    """The exchange has the candle: its bytes go to quarantine, and the gap stays open."""
    outcome, kept = load(FIRST, [candle(n) for n in (0, 1, 3, 4)], [unreadable(2)])
    (gap,) = kept.gaps
    assert (gap.state, gap.cause) == ("open", "quarantine")
    assert [json.loads(one.raw) for one in kept.rejected] == [unreadable(2)]
    assert outcome.quarantined == 1


def test_candle_that_is_unreadable_twice_is_set_aside_once(load: Load) -> None:
    """The same bytes say nothing new."""
    page = [candle(0), candle(1), unreadable(2), candle(3), candle(4)]
    outcome, kept = load(FIRST, page, [unreadable(2)])
    assert [gap.state for gap in kept.gaps] == ["open"]
    assert outcome.quarantined == len(kept.rejected) == 1


@pytest.mark.parametrize("last", [[], [unreadable(4)]], ids=["absent", "unreadable"])
def test_symbol_that_is_not_traded_is_loaded_even_if_its_last_candle_is_unknown(
    load: Load, last: list[Candle]
) -> None:
    """Then the end is the one that was asked for."""
    outcome, _ = load(FIRST, last, [candle(n) for n in range(5)], status="BREAK")
    assert (outcome.received, in_ms(outcome.end)) == (5, ASKED.end)


def test_symbol_that_is_not_traded_is_loaded_up_to_its_last_candle(load: Load) -> None:
    """What follows it is no gap."""
    outcome, kept = load(FIRST, [candle(2)], [candle(n) for n in range(3)], status="BREAK")
    assert (outcome.received, in_ms(outcome.end), kept.gaps) == (3, BEGIN + 3 * MINUTE, [])
