"""Real payloads through every parser; none is committed here (tests.recorded says where they lie).

What a parser of its own reads is tried beside that parser's other tests, listed below. Here: real
refusals through all parsers, real values of streams through the parsers of REST, which bear other
names for the same fields, and real prices as events of the contract.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from contracts.events import PriceEvent
from ingest.binance import messages
from ingest.binance.exchange_info import exchange_info
from ingest.binance.rows import Parsed
from ingest.binance.stream_frames import read_frame
from ingest.binance.stream_messages import Told
from ingest.binance.tickers import tickers
from ingest.coincap.messages import prices as coincap_prices
from ingest.coingecko.messages import markets
from ingest.errors import BadAnswer
from ingest.outbox import Stored, price_events
from tests.contract_schemas import admits
from tests.recorded import RECORDED, recorded

NOW = datetime(2026, 8, 22, 12, tzinfo=UTC)

# recording → the tests that read it
READ_BY = {
    "error_bodies.json": "here, test_ingest_limits, test_ingest_messages, test_coingecko_client",
    "binance_ws_samples.jsonl": "here, test_stream_messages",
    "binance_ws_miniTicker_arr_2022-10-14_excerpt.json": "here, test_stream_messages",
    "cryptofeed_2021-04-17_binance_http.txt.gz": "test_ingest_messages, test_stream_messages",
    "cryptofeed_2021-04-17_binance_ws.txt.gz": "here, test_stream_messages",
    "gct_wsHandleData.json": "here",
    "coincap_ws_prices_ALL_frame_2021.json": "here, test_coincap_messages",
    "coincap_v2_asset_polkadot_vwap_null_2021-03-27.json": "test_coincap_messages",
    "coincap_v2_assets_2020-01-14_pegnet.json": "test_coincap_messages",
    "coincap_v3_asset_bitcoin_2025-08-11.json": "test_coincap_messages",
    "coingecko_markets_hive_rank_null_2022-09-16.json": "here, test_coingecko_messages",
    "coingecko_markets_kiwigo_24h_null_2023-04-22.json": "here, test_coingecko_messages",
    "coingecko/test_that_it_gets_market_data_for_a_coin.yml": "test_coingecko_messages",
    "coingecko/test_that_it_gets_market_data_for_a_coin_in_myr.yml": "test_coingecko_messages",
    "coingecko/test_that_it_gets_market_data_for_multiple_coins_in_eth.yml": (
        "test_coingecko_messages"
    ),
}

PARSERS: dict[str, Callable[[bytes], Any]] = {
    "ticker/price": lambda body: messages.prices(body, "binance", NOW),
    "ticker/24hr": lambda body: tickers(body, "binance"),
    "depth": lambda body: messages.depth(body, "binance", "S", NOW),
    "trades": lambda body: messages.trades(body, "binance", "S"),
    "klines": lambda body: messages.klines(body, "binance", "S", "1m", NOW),
    "exchangeInfo": lambda body: exchange_info(body, "binance"),
    "coins/markets": lambda body: markets(body, "coingecko", "usd", {"bitcoin"}, NOW),
}


def test_every_recording_is_read_by_some_test() -> None:
    """One that comes later is not forgotten."""
    recorded("README.md")
    there = {
        path.relative_to(RECORDED).as_posix()
        for path in RECORDED.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert there == set(READ_BY)


@pytest.mark.parametrize("endpoint", PARSERS)
def test_no_recorded_refusal_passes_for_an_answer(endpoint: str) -> None:
    """Bans, maintenance pages, wrong symbols: whatever was asked, they are no rows of it."""
    for answer in json.loads(recorded("error_bodies.json").read_text()):
        try:
            parsed = PARSERS[endpoint](answer["body"].encode())
        except BadAnswer:
            continue
        assert isinstance(parsed, Parsed), answer["name"]
        assert not parsed.rows, answer["name"]
        assert parsed.rejected, answer["name"]


def test_no_recorded_refusal_is_a_frame() -> None:
    """A proxy that answers a WebSocket with its page, or an error in JSON."""
    for answer in json.loads(recorded("error_bodies.json").read_text()):
        body = answer["body"].encode()
        one = read_frame(body, "binance")
        assert not isinstance(one, Told) or (one.rejected and not one.prices), answer["name"]
        parsed = coincap_prices(body, "coincap", {"bitcoin"}, NOW)
        assert not parsed.rows
        assert parsed.rejected


def samples() -> list[dict[str, Any]]:
    """Events of the recorded samples and of the recorded session, as JSON has them."""
    lines = recorded("binance_ws_samples.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    frames = [each["msg"] if "msg" in each else json.loads(each["raw"]) for each in found]
    with gzip.open(recorded("cryptofeed_2021-04-17_binance_ws.txt.gz"), "rt") as session:
        texts = [line.partition(": ")[2] for line in session]
    frames += [json.loads(text) for text in texts if text.startswith("{")]
    events = [frame["data"] for frame in frames if "data" in frame]
    return [each for event in events for each in (event if isinstance(event, list) else [event])]


def of_kind(kind: str) -> list[dict[str, Any]]:
    found = [event for event in samples() if event.get("e") == kind]
    assert found, f"no {kind} was recorded"
    return found


_TICKER = {
    "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
    "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice",
    "A": "askQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume",
    "q": "quoteVolume", "O": "openTime", "C": "closeTime", "F": "firstId", "L": "lastId",
    "n": "count", "s": "symbol",
}  # fmt: skip


def test_recorded_statistics_are_read_exactly() -> None:
    """24 h statistics of a stream, under the names that REST gives the same fields."""
    events = of_kind("24hrTicker")
    body = json.dumps([{_TICKER[key]: event[key] for key in _TICKER} for event in events])
    parsed = tickers(body.encode(), "binance")
    assert parsed.rejected == []
    for row, event in zip(parsed.rows, events, strict=True):
        assert (row.last, row.volume) == (Decimal(event["c"]), Decimal(event["v"]))
        assert row.price_change == Decimal(event["p"])
        assert (row.first_trade_id, row.trade_count) == (event["F"], event["n"])


def test_recorded_trades_are_read_exactly() -> None:
    """Trades of a stream as REST would give them."""
    events = of_kind("trade")
    rows = [
        {
            "id": event["t"],
            "price": event["p"],
            "qty": event["q"],
            "quoteQty": f"{Decimal(event['p']) * Decimal(event['q']):.8f}",
            "time": event["T"],
            "isBuyerMaker": event["m"],
            "isBestMatch": event["M"],
        }
        for event in events
    ]
    parsed = messages.trades(json.dumps(rows).encode(), "binance", "S")
    assert parsed.rejected == []
    for trade, event in zip(parsed.rows, events, strict=True):
        assert (trade.trade_id, trade.price) == (event["t"], Decimal(event["p"]))
        assert trade.traded_at_us == event["T"] * 1000


def test_recorded_candles_are_read_exactly() -> None:
    """Candles of streams of several years, open and closed, some of no trade at all."""
    candles = [event["k"] for event in of_kind("kline")]
    rows = [
        [each[key] for key in ("t", *"ohlcv", "T", "q", "n", "V", "Q", "B")] for each in candles
    ]
    parsed = messages.klines(json.dumps(rows).encode(), "binance", "S", "1m", NOW)
    assert parsed.rejected == []
    for kline, each in zip(parsed.rows, candles, strict=True):
        assert (kline.open, kline.close) == (Decimal(each["o"]), Decimal(each["c"]))
        assert (kline.volume, kline.trade_count) == (Decimal(each["v"]), each["n"])


def test_recorded_frames_of_accounts_and_made_up_times_are_evidence() -> None:
    """Frames from another project's tests: private events, and times that are none of ours."""
    seen: Counter[str] = Counter()
    for line in recorded("gct_wsHandleData.json").read_text().splitlines():
        one = read_frame(line, "binance")
        assert isinstance(one, Told)
        assert one.trades + one.klines + one.diffs == [], "their times lie in the year 1970"
        (bad,) = one.rejected
        seen[bad.endpoint] += 1
        why = {"stream": "nobody reads", "@kline": "a crossed candle"}
        assert why.get(bad.endpoint, "milliseconds between") in bad.reason
    assert {"@trade", "@kline", "@depth", "stream"} == seen.keys()


def events_of(rows: Sequence[Stored]) -> list[dict[str, Any]]:
    """The contract's events of these rows, each by its schema."""
    told, refused = price_events(rows, NOW)
    assert refused == []
    found = [json.loads(bytes(message.payload)) for message in told]
    assert all(admits(PriceEvent.SCHEMA, event) for event in found)
    assert len(found) == len(rows)
    return found


def test_recorded_prices_obey_the_contract() -> None:
    """Of the whole market, of CoinGecko with its nulls, and of CoinCap."""
    body = recorded("binance_ws_miniTicker_arr_2022-10-14_excerpt.json").read_text()
    frame = json.dumps({"stream": "!miniTicker@arr", "data": json.loads(body)})
    one = read_frame(frame, "binance")
    assert isinstance(one, Told)
    came: dict[str, Any] = {"ingested_at": NOW, "coin_id": None, "vs_currency": None}
    exchange = [
        {**came, **_row(each), "coin_id": each.symbol, "vs_currency": "USDT"} for each in one.prices
    ]
    assert events_of(exchange)
    frame_of_assets = recorded("coincap_ws_prices_ALL_frame_2021.json").read_bytes()
    said = coincap_prices(frame_of_assets, "coincap", json.loads(frame_of_assets), NOW)
    assert events_of([{**came, **_row(each)} for each in said.rows])
    for path in RECORDED.glob("coingecko_markets_*.json"):
        asked = {row["id"] for row in json.loads(path.read_text())}
        coins = markets(path.read_bytes(), "coingecko", "usd", asked, NOW).rows
        assert events_of([came | msgspec.structs.asdict(row) for row in coins])


def _row(price: Any) -> dict[str, Any]:
    return {
        "venue": price.venue,
        "symbol": price.symbol,
        "ts_event": price.observed_at,
        "price": price.price,
    }
