"""Bodies of the exchange become exact rows; what is wrong is set aside with its own bytes."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.binance import messages
from ingest.binance.exchange_info import exchange_info
from ingest.binance.rows import RAW_LIMIT_BYTES, Parsed
from ingest.binance.tickers import tickers
from ingest.errors import BadAnswer
from tests.recorded import recorded

NOW = datetime(2026, 8, 1, 12, 0, 30, tzinfo=UTC)
OPEN_MS = 1_785_585_600_000  # 2026-08-01 12:00:00


def kline(**change: Any) -> list[Any]:
    """One closed candle as the exchange writes it, with fields replaced by position name."""
    names = ["opened", "o", "h", "l", "c", "v", "closed", "qv", "n", "tb", "tq", "unused"]
    values = [
        OPEN_MS, "100.10000000", "101.00000000", "99.00000001", "100.00000000", "12.5",
        OPEN_MS + 999, "1250.0", 7, "6.25", "625.0", "0",
    ]  # fmt: skip
    row = dict(zip(names, values, strict=True)) | change
    return list(row.values())


def trade(**change: Any) -> dict[str, Any]:
    return {
        "id": 28457,
        "price": "4.00000100",
        "qty": "12.00000000",
        "quoteQty": "48.000012",
        "time": OPEN_MS,
        "isBuyerMaker": True,
        "isBestMatch": True,
    } | change


def ticker(**change: Any) -> dict[str, Any]:
    return {
        "symbol": "BNBBTC", "priceChange": "-94.99999800", "priceChangePercent": "-95.960",
        "weightedAvgPrice": "0.29628482", "prevClosePrice": "0.10002000",
        "lastPrice": "4.00000200", "lastQty": "200.00000000", "bidPrice": "4.00000000",
        "bidQty": "100.00000000", "askPrice": "4.00000200", "askQty": "100.00000000",
        "openPrice": "99.00000000", "highPrice": "100.00000000", "lowPrice": "0.10000000",
        "volume": "8913.30000000", "quoteVolume": "15.30000000", "openTime": OPEN_MS,
        "closeTime": OPEN_MS + 5, "firstId": 28385, "lastId": 28460, "count": 76,
    } | change  # fmt: skip


def read_klines(*rows: Any) -> Parsed[Any]:
    return messages.klines(json.dumps(rows).encode(), "binance", "BTCUSDT", "1m", NOW)


def read_trades(*rows: Any) -> Parsed[Any]:
    return messages.trades(json.dumps(rows).encode(), "binance", "BTCUSDT")


def test_amounts_keep_every_digit_from_the_wire() -> None:
    """No float is ever in between: 20 digits before and 18 after the point survive."""
    parsed = read_klines(kline(v="12345678901234567890.123456789012345678"))
    assert parsed.rows[0].volume == Decimal("12345678901234567890.123456789012345678")
    assert str(parsed.rows[0].low) == "99.00000001"


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e-8", "1E8", "-1.5", "", " 1", "1_000", "0x10", "1,5",
     "1.", ".5", "+1", "١", "1.1234567890123456789", "123456789012345678901", "1\n"],
)  # fmt: skip
def test_an_amount_that_is_no_plain_decimal_is_set_aside(value: str) -> None:
    """Exponents too: the exchange does not document them, so something in between is broken."""
    parsed = read_klines(kline(), kline(c=value), kline(opened=OPEN_MS + 1))
    assert len(parsed.rows) == 2
    (rejected,) = parsed.rejected
    assert "close is" in rejected.reason
    assert json.loads(rejected.raw) == kline(c=value)
    assert rejected.endpoint == "klines"


def test_a_json_number_in_place_of_an_amount_is_set_aside() -> None:
    """A float has lost digits before we see it."""
    parsed = read_trades(trade(), trade(id=2, price=4.000001))
    assert [row.trade_id for row in parsed.rows] == [28457]
    assert "price" in parsed.rejected[0].reason


@pytest.mark.parametrize("field", ["price", "qty"])
def test_a_trade_of_nothing_is_set_aside(field: str) -> None:
    """Price and quantity of a trade are above zero."""
    parsed = read_trades(trade(**{field: "0.00000000"}))
    assert not parsed.rows
    assert "not above zero" in parsed.rejected[0].reason


def test_microseconds_where_milliseconds_are_due_are_noticed() -> None:
    """A unit switch is a factor of 1000, found by range and named."""
    parsed = read_trades(trade(), trade(id=1, time=OPEN_MS * 1000))
    assert len(parsed.rows) == 1
    assert "microseconds?" in parsed.rejected[0].reason


@pytest.mark.parametrize("time", [0, -1, 1_600_000_000, 10**30])
def test_a_time_out_of_range_is_set_aside(time: int) -> None:
    """Seconds, zero, negative and absurd times never become a row."""
    parsed = read_trades(trade(time=time))
    assert not parsed.rows
    assert len(parsed.rejected) == 1


def test_a_time_is_exact_to_the_millisecond() -> None:
    """Every millisecond of a second survives the way through datetime."""
    parsed = read_trades(*(trade(id=n, time=OPEN_MS + n) for n in range(1000)))
    assert [row.traded_at.microsecond for row in parsed.rows] == [n * 1000 for n in range(1000)]
    assert parsed.rows[7].traded_at_us == (OPEN_MS + 7) * 1000


@pytest.mark.parametrize(
    "change",
    [{"h": "98"}, {"l": "102"}, {"o": "500"}, {"c": "0.5"}, {"closed": OPEN_MS - 1}, {"l": "0"}],
)
def test_a_crossed_candle_is_set_aside(change: dict[str, Any]) -> None:
    """Low ≤ open, close ≤ high, above zero, and it closes after it opens."""
    parsed = read_klines(kline(**change))
    assert not parsed.rows
    assert len(parsed.rejected) == 1


def test_a_candle_is_closed_when_its_close_time_has_passed_on_the_exchange() -> None:
    """The exchange's clock decides, not ours."""
    now_ms = int(NOW.timestamp() * 1000)
    parsed = read_klines(kline(closed=now_ms - 1), kline(closed=now_ms))
    assert [row.is_closed for row in parsed.rows] == [True, False]


def test_a_candle_of_no_trades_is_a_row() -> None:
    """A quiet minute is flat and of volume zero."""
    flat = kline(o="1", h="1", l="1", c="1", v="0.0", qv="0.0", n=0, tb="0", tq="0")
    assert read_klines(flat).rows[0].trade_count == 0


@pytest.mark.parametrize("short", [[], [1, 2], {}, None, 5, "x", {"id": 1}])
def test_a_row_of_the_wrong_shape_is_set_aside(short: Any) -> None:
    """The other rows of the answer stay."""
    parsed = read_klines(short, kline())
    assert len(parsed.rows) == 1
    assert json.loads(parsed.rejected[0].raw) == short


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"<html><body>maintenance</body></html>", "HTML"),
        (b"\n <!DOCTYPE HTML>", "HTML"),
        (b'[{"symbol":"A","pri', "not the expected JSON"),
        (b'{"code":0,"msg":"x"}', "not the expected JSON"),
        (b'[{"symbol":"A","price":NaN}]', "not the expected JSON"),
        (b"null", "not the expected JSON"),
        (b"\xff\xfe", "not the expected JSON"),
        (b"[" * 100_000, "not the expected JSON"),
    ],
)
def test_a_body_that_is_no_answer_is_an_error_with_its_evidence(body: bytes, reason: str) -> None:
    """It is worth asking again; what came is kept, cut to 64 KiB."""
    with pytest.raises(BadAnswer, match=reason) as caught:
        messages.prices(body, "binance", NOW)
    assert caught.value.retryable
    assert caught.value.rejected is not None
    assert caught.value.rejected.raw == body[:RAW_LIMIT_BYTES]


def test_prices_of_dead_and_foreign_named_symbols_are_rows() -> None:
    """A name is looked up elsewhere, never judged by its letters."""
    body = '[{"symbol":"币安人生USDT","price":"0.00000001"},{"symbol":"X","price":"0.00000000"}]'
    parsed = messages.prices(body.encode(), "binance", NOW)
    assert [row.symbol for row in parsed.rows] == ["币安人生USDT", "X"]
    assert not parsed.rejected


@pytest.mark.parametrize("name", ['""', '"A\\u0000B"', '"A\\nB"', '"' + "A" * 65 + '"'])
def test_a_name_that_no_database_takes_is_set_aside(name: str) -> None:
    """Empty, endless, or with control characters; the letters themselves are free."""
    body = f'[{{"symbol":{name},"price":"1"}},{{"symbol":"A","price":"1"}}]'
    parsed = messages.prices(body.encode(), "binance", NOW)
    assert [row.symbol for row in parsed.rows] == ["A"]
    assert len(parsed.rejected) == 1


def test_bytes_that_are_no_text_spoil_one_row_only() -> None:
    """Broken UTF-8 inside a string is that row's fault."""
    parsed = messages.prices(
        b'[{"symbol":"\xff","price":"1"},{"symbol":"A","price":"1"}]', "binance", NOW
    )
    assert [row.symbol for row in parsed.rows] == ["A"]


def test_a_ticker_that_nobody_trades_is_a_row() -> None:
    """Count 0, ids −1, zero prices, a close time of months ago."""
    dead = ticker(
        firstId=-1, lastId=-1, count=0, openPrice="0.0", highPrice="0.0", lowPrice="0.0",
        volume="0.0", closeTime=OPEN_MS - 10**10, openTime=OPEN_MS - 10**10 - 86_400_000,
    )  # fmt: skip
    parsed = tickers(json.dumps([dead, ticker()]).encode(), "binance")
    assert [row.first_trade_id for row in parsed.rows] == [-1, 28385]
    assert parsed.rows[1].price_change_percent == Decimal("-95.960")


def test_each_field_of_a_ticker_lands_in_its_column() -> None:
    """The unpacking order is the order of the request for amounts."""
    row = tickers(json.dumps([ticker()]).encode(), "binance").rows[0]
    expected = {
        "open": "99.00000000", "high": "100.00000000", "low": "0.10000000", "last": "4.00000200",
        "last_quantity": "200.00000000", "weighted_average": "0.29628482",
        "previous_close": "0.10002000", "price_change": "-94.99999800", "bid": "4.00000000",
        "bid_quantity": "100.00000000", "ask": "4.00000200", "ask_quantity": "100.00000000",
        "volume": "8913.30000000", "quote_volume": "15.30000000",
    }  # fmt: skip
    assert {name: str(getattr(row, name)) for name in expected} == expected


def book(**change: Any) -> bytes:
    answer = {
        "lastUpdateId": 1027024,
        "bids": [["4.00000000", "431.00000000"], ["3.9", "1"]],
        "asks": [["4.00000200", "12.00000000"], ["4.1", "2"]],
    }
    return json.dumps(answer | change).encode()


def test_a_book_keeps_its_levels_best_first() -> None:
    """Both sides, exact."""
    parsed = messages.depth(book(), "binance", "BTCUSDT", NOW)
    assert parsed.rows[0].bids[0] == (Decimal("4.00000000"), Decimal("431.00000000"))
    assert parsed.rows[0].last_update_id == 1027024


def test_an_empty_book_is_a_row() -> None:
    """A halted symbol may have no orders at all."""
    assert messages.depth(book(bids=[], asks=[]), "binance", "X", NOW).rows[0].bids == []


@pytest.mark.parametrize(
    "change",
    [
        {"bids": [["4.1", "1"]], "asks": [["4.0", "1"]]},
        {"bids": [["4.0", "1"], ["4.0", "1"]]},
        {"asks": [["5", "1"], ["4.5", "1"]]},
        {"bids": [["4.0", "0.0"]]},
        {"bids": [["NaN", "1"]]},
        {"bids": [["4.0"]]},
        {"lastUpdateId": "7"},
    ],
)
def test_a_crossed_or_disordered_book_is_set_aside_whole(change: dict[str, Any]) -> None:
    """Half a book is worse than none."""
    parsed = messages.depth(book(**change), "binance", "BTCUSDT", NOW)
    assert not parsed.rows
    assert parsed.rejected[0].reason.startswith("BTCUSDT: ")


def info(*symbols: Any, limits: Any = ()) -> bytes:
    return json.dumps({
        "timezone": "UTC", "serverTime": OPEN_MS, "rateLimits": list(limits),
        "exchangeFilters": [], "symbols": list(symbols),
    }).encode()  # fmt: skip


SYMBOL = {
    "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ],
}  # fmt: skip


def test_exchange_info_gives_instruments_and_the_weight_limit() -> None:
    """The tightest REQUEST_WEIGHT limit, as weight a minute; other limits are not ours."""
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 1},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "HOUR", "intervalNum": 1, "limit": 60000},
    ]
    answer = exchange_info(info(SYMBOL, limits=limits), "binance")
    assert answer.weight_limit == 1000
    assert answer.instruments[0].min_notional == Decimal(5)
    assert answer.instruments[0].tick_size == Decimal("0.01")
    assert answer.server_time == datetime(2026, 8, 1, 12, tzinfo=UTC)


def test_one_bad_symbol_does_not_hide_the_others() -> None:
    """It is set aside like any bad row."""
    answer = exchange_info(info(SYMBOL, SYMBOL | {"status": 5}), "binance")
    assert len(answer.instruments) == 1
    assert len(answer.rejected) == 1


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_a_parser(body: bytes) -> None:
    """Junk ends as BadAnswer or as rejected rows, never as another exception."""
    for read in (
        lambda: messages.prices(body, "b", NOW),
        lambda: messages.depth(body, "b", "S", NOW),
        lambda: tickers(body, "b"),
        lambda: exchange_info(body, "b"),
    ):
        try:
            read()
        except BadAnswer:
            continue


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.sampled_from(sorted(trade())), junk), max_size=5))
def test_no_value_in_a_field_breaks_a_batch(changes: list[tuple[str, Any]]) -> None:
    """Rows and rejected rows together are always all rows."""
    rows = [trade(**{field: value}) for field, value in changes]
    body = json.dumps(rows).encode("utf-8", "surrogatepass")
    try:
        parsed = messages.trades(body, "b", "S")
    except BadAnswer:
        return
    assert len(parsed.rows) + len(parsed.rejected) == len(rows)


def test_recorded_books_are_read() -> None:
    """Order books of a real session, one of each line, all exact."""
    text = gzip.decompress(recorded("cryptofeed_2021-04-17_binance_http.txt.gz").read_bytes())
    count = 0
    for line in text.splitlines():
        _, _, body = line.partition(b": {")
        if not body or b"/depth?" not in line:
            continue
        parsed = messages.depth(b"{" + body, "binance", "X", NOW)
        assert not parsed.rejected
        assert len(parsed.rows[0].bids) > 0
        count += 1
    assert count > 0


def test_recorded_error_bodies_are_no_rows() -> None:
    """No real error answer, whatever its status, passes for data."""
    bodies = json.loads(recorded("error_bodies.json").read_text())
    for answer in bodies:
        with pytest.raises(BadAnswer):
            messages.prices(answer["body"].encode(), "binance", NOW)
        said = messages.refusal(answer["body"].encode())
        if answer["content_type"].startswith("application/json") and "coingecko" not in str(answer):
            assert said is not None, answer["name"]
