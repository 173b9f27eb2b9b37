"""Frames of the streams become the rows that REST gives; what is wrong is set aside."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.binance import messages
from ingest.binance.order_book import OrderBook, Step
from ingest.binance.stream_frames import Farewell, Reply, kind_of, read_frame
from ingest.binance.stream_messages import Told
from tests.recorded import RECORDED

NOW_MS = 1_785_585_600_000  # 2026-08-01 12:00:00
NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)


def frame(stream: str, data: Any) -> bytes:
    return json.dumps({"stream": stream, "data": data}).encode()


def told(stream: str, data: Any) -> Told:
    read = read_frame(frame(stream, data), "binance")
    assert isinstance(read, Told)
    return read


def trade(**change: Any) -> dict[str, Any]:
    return {
        "e": "trade", "E": NOW_MS + 3, "s": "BTCUSDT", "t": 12345, "p": "100.00000001",
        "q": "3.00000000", "T": NOW_MS, "m": True, "M": True,
    } | change  # fmt: skip


def kline(**change: Any) -> dict[str, Any]:
    candle = {
        "t": NOW_MS, "T": NOW_MS + 59_999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 106,
        "o": "100.1", "c": "100.0", "h": "101.0", "l": "99.0", "v": "12.5", "n": 7, "x": False,
        "q": "1250.0", "V": "6.25", "Q": "625.0", "B": "0",
    } | change  # fmt: skip
    return {"e": "kline", "E": NOW_MS + 30_000, "s": candle["s"], "k": candle}


def mini_ticker(symbol: str = "BTCUSDT", **change: Any) -> dict[str, Any]:
    return {
        "e": "24hrMiniTicker", "E": NOW_MS, "s": symbol, "c": "100.5", "o": "99", "h": "101",
        "l": "98", "v": "512786248999200.00", "q": "1",
    } | change  # fmt: skip


def diff(**change: Any) -> dict[str, Any]:
    return {
        "e": "depthUpdate", "E": NOW_MS, "s": "BTCUSDT", "U": 157, "u": 160,
        "b": [["0.0024", "10"]], "a": [["0.0026", "0.00000000"]],
    } | change  # fmt: skip


def top(**change: Any) -> dict[str, Any]:
    return {"u": 9, "s": "BTCUSDT", "b": "25.35", "B": "31.21", "a": "25.36", "A": "40.66"} | change


def test_a_streamed_trade_is_the_trade_that_rest_tells() -> None:
    """Row for row the same, the quote quantity included."""
    row = {"id": 12345, "price": "100.00000001", "qty": "3.00000000", "time": NOW_MS}
    row |= {"quoteQty": "300.00000003", "isBuyerMaker": True, "isBestMatch": True}
    polled = messages.trades(json.dumps([row]).encode(), "binance", "BTCUSDT").rows
    streamed = told("btcusdt@trade", trade())
    assert streamed.trades == polled
    assert streamed.event_ms == NOW_MS + 3


def test_the_quote_quantity_of_a_trade_has_every_digit() -> None:
    """36 digits: more than a Decimal's default context would keep."""
    read = told("btcusdt@trade", trade(p="123456789012.00000001", q="98765432.00000001"))
    assert str(read.trades[0].quote_quantity) == "12193263100103034419.5555444400000001"


def test_a_streamed_candle_is_the_candle_that_rest_tells() -> None:
    """The event's time stands for the server's, and the exchange says itself what is closed."""
    row = [NOW_MS, "100.1", "101.0", "99.0", "100.0", "12.5", NOW_MS + 59_999, "1250.0", 7]
    body = json.dumps([[*row, "6.25", "625.0", "0"]]).encode()
    streamed = told("btcusdt@kline_1m", kline()).klines[0]
    assert messages.klines(body, "binance", "BTCUSDT", "1m", streamed.as_of).rows == [streamed]
    assert told("btcusdt@kline_1m", kline(x=True)).klines[0].is_closed


def test_the_whole_market_is_prices_at_their_own_times() -> None:
    """A bad row is set aside with its own bytes, its neighbours stay."""
    rows = [mini_ticker("A"), mini_ticker("B", c=1.5), mini_ticker("Ц", E=NOW_MS + 7)]
    read = told("!miniTicker@arr", rows)
    assert [(row.symbol, row.price) for row in read.prices] == [
        ("A", Decimal("100.5")),
        ("Ц", Decimal("100.5")),
    ]
    assert read.prices[1].observed_at == NOW.replace(microsecond=7000)
    assert read.event_ms == NOW_MS + 7
    (rejected,) = read.rejected
    assert (rejected.endpoint, json.loads(rejected.raw)["s"]) == ("!miniTicker@arr", "B")
    assert told("ц@miniTicker", mini_ticker("Ц")).prices[0].symbol == "Ц"


def test_a_diff_and_a_top_keep_their_digits() -> None:
    """A quantity of zero is no level but the end of one."""
    read = told("btcusdt@depth@100ms", diff()).diffs[0]
    assert (read.first_id, read.final_id, read.bids) == (
        157,
        160,
        [(Decimal("0.0024"), Decimal(10))],
    )
    assert read.asks == [(Decimal("0.0026"), Decimal(0))]
    best = told("btcusdt@bookTicker", top()).tops[0]
    assert (best.bid, best.ask_quantity, best.update_id) == (Decimal("25.35"), Decimal("40.66"), 9)


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        ("btcusdt@trade", trade(p="0.0")),
        ("btcusdt@trade", trade(q="-1")),
        ("btcusdt@trade", trade(q=1.5)),
        ("btcusdt@trade", trade(p="1e-8")),
        ("btcusdt@trade", trade(p="NaN")),
        ("btcusdt@trade", trade(t=-1)),
        ("btcusdt@trade", trade(T=NOW_MS * 1000)),
        ("btcusdt@trade", trade(E=0)),
        ("btcusdt@trade", trade(s="ETHUSDT")),
        ("btcusdt@trade", trade(e="aggTrade")),
        ("btcusdt@kline_1m", kline(h="99.5")),
        ("btcusdt@kline_1m", kline(l="0")),
        ("btcusdt@kline_1m", kline(i="1M")),
        ("btcusdt@kline_1m", kline(T=NOW_MS - 1)),
        ("btcusdt@kline_1m", kline(s="ETHUSDT")),
        ("btcusdt@kline_1m", kline(v="")),
        ("btcusdt@depth", diff(u=156)),
        ("btcusdt@depth", diff(b=[["0", "1"]])),
        ("btcusdt@depth", diff(a=[["1", "-1"]])),
        ("btcusdt@depth", diff(a=[["1"]])),
        ("btcusdt@depth", diff(E=1)),
        ("btcusdt@bookTicker", top(b="25.36")),
        ("btcusdt@miniTicker", mini_ticker("ETHUSDT")),
        ("!miniTicker@arr", {"not": "an array"}),
        ("btcusdt@trade", []),
        ("btcusdt@trade", None),
    ],
)
def test_what_breaks_a_rule_is_set_aside_with_its_bytes(stream: str, data: Any) -> None:
    """Nothing of a broken event is taken, and quarantine gets what came."""
    read = told(stream, data)
    (rejected,) = read.rejected
    assert json.loads(rejected.raw) == data
    assert rejected.endpoint == kind_of(stream)
    assert read == Told(stream, rejected=[rejected])


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'{"stream":1}', b"\xff", b'"x"'])
def test_what_is_no_frame_at_all_is_set_aside(raw: bytes) -> None:
    """Under an endpoint of ours, for it becomes the label of a metric."""
    read = read_frame(raw, "binance")
    assert isinstance(read, Told)
    assert [(each.endpoint, each.raw) for each in read.rejected] == [("stream", raw)]
    unknown = told("btcusdt@" + "x" * 500, {"e": "x"})
    assert unknown.rejected[0].endpoint == "stream"
    assert len(unknown.rejected[0].reason) < 150


def test_answers_and_farewells_are_told_apart() -> None:
    """In the forms that the documents and the simulated exchange use."""
    for text, wanted in (
        ('{"result":null,"id":7}', Reply(7)),
        ('{"result":["a@trade"],"id":"x"}', Reply("x")),
        ('{"code":2,"msg":"Invalid request","id":3}', Reply(3, "code 2: Invalid request")),
        ('{"error":{"code":2,"msg":"no"},"id":3}', Reply(3, "code 2: no")),
        ('{"e":"serverShutdown","E":1}', Farewell()),
        ('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', Farewell()),
    ):
        assert read_frame(text, "binance") == wanted


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_bytes_make_the_reader_raise(hostile: bytes | str) -> None:
    """Also as the data of an event, and cut off or nested without end."""
    assert read_frame(hostile, "v") is not None
    text = hostile if isinstance(hostile, str) else hostile.decode("latin-1")
    for stream in ("btcusdt@trade", "!miniTicker@arr", "btcusdt@depth"):
        assert read_frame(frame(stream, text), "v") is not None
        assert read_frame(frame(stream, trade())[: len(text)], "v") is not None
    assert read_frame(b'{"stream":"a@trade","data":' + b"[" * 100_000, "v") is not None


recorded = pytest.mark.skipif(not RECORDED.exists(), reason=f"{RECORDED} is not there")
UNWANTED = {"@aggTrade", "@ticker", "!ticker@arr", "!bookTicker", "@depthSnapshot", "@depth20"}


@recorded
def test_recorded_frames_of_many_years_are_read() -> None:
    """Those that we subscribe to become rows; the others are named as what nobody reads."""
    read: Counter[str] = Counter()
    for line in (RECORDED / "binance_ws_samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        raw = sample["raw"].encode() if "raw" in sample else json.dumps(sample["msg"]).encode()
        stream = json.loads(raw).get("stream", "")
        one = read_frame(raw, "binance")
        assert isinstance(one, Told)
        if not stream or kind_of(stream) in UNWANTED:
            assert one.rejected
            continue
        assert not one.rejected, (stream, one.rejected[0].reason)
        read[kind_of(stream)] += len(one.trades + one.klines + one.prices + one.diffs + one.tops)
    assert read.keys() == {"@trade", "@kline", "@miniTicker", "@depth", "@bookTicker"}
    assert min(read.values()) > 0


@recorded
def test_a_recorded_frame_of_the_whole_market_is_read() -> None:
    """Fifteen symbols, their prices to the last digit."""
    (path,) = RECORDED.glob("binance_ws_miniTicker_arr_*.json")
    rows = json.loads(path.read_text())
    read = told("!miniTicker@arr", rows)
    assert not read.rejected
    assert [str(price.price) for price in read.prices] == [row["c"] for row in rows]


@recorded
def test_books_of_a_recorded_session_stay_in_step_with_its_best_prices() -> None:
    """Snapshots of REST and diffs of the stream, judged by bookTicker, which is a third source."""
    books: dict[str, OrderBook] = {}
    tops: dict[str, dict[int, tuple[Decimal, Decimal]]] = {}
    snapshots = _snapshots()
    compared = 0
    for frame_text in _session():
        one = read_frame(frame_text, "binance")
        assert isinstance(one, Told)
        assert all("nobody reads" in each.reason for each in one.rejected)  # aggTrade
        for best in one.tops:
            tops.setdefault(best.symbol, {})[best.update_id] = (best.bid, best.ask)
        for change in one.diffs:
            book = books.setdefault(change.symbol, OrderBook("binance", change.symbol, 1))
            step = book.change(change, change.event_ms)
            assert step in {Step.KEPT, Step.APPLIED, Step.OLD}
            if book.wants_snapshot and change.symbol in snapshots:
                book.start(*snapshots[change.symbol])
            row = book.depth(change.event_ms, change.event_ms)
            if row is None:
                continue
            best_prices = tops.get(change.symbol, {}).get(row.last_update_id)
            if best_prices is not None:
                compared += 1
                assert (row.bids[0][0], row.asks[0][0]) == best_prices
    assert compared > 50


def _session() -> list[str]:
    with gzip.open(RECORDED / "cryptofeed_2021-04-17_binance_ws.txt.gz", "rt") as lines:
        texts = [line.partition(": ")[2] for line in lines]
    return [text for text in texts if text.startswith("{")]


def _snapshots() -> dict[str, tuple[int, Any, Any]]:
    """Symbol → (last update id, bids, asks), as REST's reader has them."""
    found = {}
    with gzip.open(RECORDED / "cryptofeed_2021-04-17_binance_http.txt.gz", "rt") as lines:
        for line in lines:
            head, arrow, rest = line.partition(" -> ")
            if arrow and "depth?symbol=" in head:
                symbol = head.partition("symbol=")[2].partition("&")[0]
                body = rest.partition(": ")[2].encode()
                (row,) = messages.depth(body, "binance", symbol, NOW).rows
                found[symbol] = (row.last_update_id, row.bids, row.asks)
    assert found
    return found
