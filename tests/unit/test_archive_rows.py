"""Lines of archive files become the rows that REST's answers become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Kline, Trade
from ingest.binance import archive_rows, messages
from ingest.binance.archive_rows import LayoutUnknownError
from ingest.binance.rows import Parsed

PUBLISHED = datetime(2026, 6, 1, tzinfo=UTC)
KLINE = (
    1601510340000, "4.15070000", "4.15870000", "4.15060000", "4.15540000", "539.23000000",
    1601510399999, "2240.39860900", 13, "401.82000000", "1669.98121300", "0",
)  # fmt: skip
TRADE = {
    "id": 51175358, "price": "17.80180000", "qty": "5.69000000", "quoteQty": "101.29224200",
    "time": 1583709433583, "isBuyerMaker": True, "isBestMatch": True,
}  # fmt: skip
TRADE_LINE = b"51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True\n"


def trades(*lines: bytes) -> Parsed[Trade]:
    return _one(list(archive_rows.trades(lines, "binance", "BNBUSDT")))


def klines(*lines: bytes) -> Parsed[Kline]:
    return _one(list(archive_rows.klines(lines, "binance", "BNBUSDT", "1m", PUBLISHED)))


def _one(blocks: Sequence[Parsed[Trade]] | Sequence[Parsed[Kline]]) -> Parsed:  # type: ignore[type-arg]
    (block,) = blocks
    return block


def test_trade_is_the_one_of_rest() -> None:
    """All fields, the exact quote quantity included; the notional is priced later."""
    (theirs,) = messages.trades(json.dumps([TRADE]).encode(), "binance", "BNBUSDT").rows
    assert trades(TRADE_LINE).rows == [theirs]
    assert theirs.quote_quantity == Decimal("101.29224200")


def test_candle_is_the_one_of_rest() -> None:
    """As of the moment at which the file was published."""
    body = json.dumps([KLINE]).encode()
    (theirs,) = messages.klines(body, "binance", "BNBUSDT", "1m", PUBLISHED).rows
    line = ",".join(map(str, KLINE)).encode()
    assert klines(line).rows == [theirs]
    assert theirs.is_closed


def test_microseconds_are_the_same_trade_and_keep_what_rest_does_not_say() -> None:
    """One key whatever the unit: the time is floored to ms; the exact one stands beside it."""
    (of_ms,) = trades(TRADE_LINE).rows
    (of_us,) = trades(TRADE_LINE.replace(b"1583709433583", b"1583709433583417")).rows
    assert (of_us.trade_id, of_us.traded_at) == (of_ms.trade_id, of_ms.traded_at)
    assert of_us.traded_at_us == 1583709433583417
    assert msgspec.structs.replace(of_us, traded_at_us=of_ms.traded_at_us) == of_ms


def test_microseconds_are_the_same_candle_to_its_last_field() -> None:
    """Its end, .999999 in the file, is .999 as REST says it."""
    line = ",".join(map(str, KLINE))
    in_us = line.replace("1601510340000", "1601510340000000").replace(
        "1601510399999", "1601510399999999"
    )
    assert klines(in_us.encode()).rows == klines(line.encode()).rows


@given(st.integers(1_230_768_000_000, 4_102_444_799_999), st.integers(0, 999))
def test_units_are_told_apart_by_their_range(ms: int, rest: int) -> None:
    """Whatever the date: no time in ms is one in µs."""
    for said, exact in ((ms, ms * 1000), (ms * 1000 + rest, ms * 1000 + rest)):
        (row,) = trades(TRADE_LINE.replace(b"1583709433583", str(said).encode())).rows
        assert row.traded_at_us == exact


@pytest.mark.parametrize(
    "header",
    [
        b"id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\r\n",
        b"trade Id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n",
        "\ufeffTrade ID,Price,Quantity,Quote Qty,Timestamp,Is Buyer Maker,Is Best Match\n".encode(),
    ],
)
def test_header_is_no_row(header: bytes) -> None:
    """However the names are written."""
    assert trades(header, TRADE_LINE) == trades(TRADE_LINE)


def test_columns_are_found_by_the_names_of_a_header() -> None:
    """In another order, with others between them."""
    header = b"time,isBestMatch,qty,source,id,isBuyerMaker,price,quoteQty\n"
    line = b"1583709433583,true,5.69,x,51175358,true,17.8018,101.292242\n"
    assert trades(header, line).rows == trades(TRADE_LINE).rows


@pytest.mark.parametrize(
    "first",
    [
        b"51175358,17.80180000,5.69000000\n",
        b"price,qty,time\n",
        b"<html>,maintenance\n",
        b'{"code":-1121}\n',
    ],
)
def test_file_of_unknown_columns_is_refused(first: bytes) -> None:
    """Nobody guesses."""
    with pytest.raises(LayoutUnknownError):
        trades(first, TRADE_LINE)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (TRADE_LINE.replace(b"17.80180000", b"NaN"), "price is 'NaN'"),
        (TRADE_LINE.replace(b"17.80180000", b"0.0"), "price is 0.0: not above zero"),
        (TRADE_LINE.replace(b"5.69000000", b"5.69e3"), "qty is '5.69e3'"),
        (TRADE_LINE.replace(b"1583709433583", b"1583709433"), "neither ms nor"),
        (TRADE_LINE.replace(b"True,True", b"yes,True"), "isBuyerMaker is 'yes'"),
        (TRADE_LINE.replace(b"51175358", b"-1"), "id is '-1'"),
        (b"51175358,17.80180000,5.69000000\n", "fewer columns"),
        (b"\xff\xfe\n", "can't decode"),
    ],
)
def test_bad_line_is_set_aside_with_its_bytes_and_the_others_stay(line: bytes, reason: str) -> None:
    """As a bad row of an answer is."""
    parsed = trades(TRADE_LINE, line, TRADE_LINE)
    assert len(parsed.rows) == 2
    (rejected,) = parsed.rejected
    assert reason in rejected.reason
    assert (rejected.raw, rejected.endpoint) == (line, "archive trades")


@given(st.lists(st.binary(max_size=80)))
def test_any_bytes_are_rows_rejected_or_refused(lines: list[bytes]) -> None:
    """Nothing else is ever raised, and no line is lost."""
    try:
        blocks = list(archive_rows.trades([TRADE_LINE, *lines], "binance", "BNBUSDT"))
    except LayoutUnknownError:
        raise AssertionError("the first line is one of ours") from None
    assert sum(len(b.rows) + len(b.rejected) for b in blocks) == len(lines) + 1


def test_empty_file_has_no_rows() -> None:
    """A day without trades."""
    assert list(archive_rows.trades([], "binance", "BNBUSDT")) == []
