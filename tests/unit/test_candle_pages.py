"""A page of candles read a column at a time says what its rows say one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.market import Kline
from ingest.binance import archive_rows, messages
from ingest.binance.rows import BadValueError, Parsed

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIRST_MS, MINUTE_MS = 1_772_323_200_000, 60_000
FIELDS = 12

# values that break a rule, or look as if they did; field → value
ODD: list[Any] = [
    *("", "NaN", "1,2", "-1", "1e3", "0", "0.0", "9" * 21, "1." + "1" * 19, "67000.5", "١"),
    *(None, True, 1.5, -1, 0, 2**63, FIRST_MS * 1000, FIRST_MS // 1000, str(FIRST_MS)),
]
changes = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, FIELDS - 1)), st.sampled_from(ODD), max_size=3
)


def page(changed: dict[tuple[int, int], Any]) -> list[list[Any]]:
    """Six candles, the last of them still open."""
    rows = [_row(number) for number in range(6)]
    for (row, field), value in changed.items():
        rows[row][field] = value
    return rows


def _row(number: int) -> list[Any]:
    opened = FIRST_MS + number * MINUTE_MS
    amounts = ("67000.12", "67100.50", "66900.10000000", "67050.1", "12.3456")
    return [opened, *amounts, opened + 59_999, "827200.12", number, "6.1", "410000", "0"]


def one_by_one(monkeypatch: pytest.MonkeyPatch, read: Callable[[], Parsed[Kline]]) -> Parsed[Kline]:
    """The same, where nothing is ever read as a page."""

    def refused(*_: Any) -> list[Kline]:
        raise BadValueError("a page")

    with monkeypatch.context() as patch:
        for module in (messages, archive_rows):
            patch.setattr(module, "candles", refused)
        return read()


@given(changes)
def test_a_page_of_rest_is_its_rows(changed: dict[tuple[int, int], Any]) -> None:
    """Rows, what is set aside, the reasons and the bytes."""
    body = json.dumps(page(changed)).encode()

    def read() -> Parsed[Kline]:
        return messages.klines(body, "v", "BTCUSDT", "1m", NOW)

    with pytest.MonkeyPatch.context() as patch:
        assert read() == one_by_one(patch, read)


@given(changes, st.sampled_from([1, 1000]))
def test_a_file_is_its_lines(changed: dict[tuple[int, int], Any], unit: int) -> None:
    """In ms and in µs, and in both."""
    rows = [[row[0] * unit, *row[1:]] for row in page({})]
    for (row, field), value in changed.items():
        rows[row][field] = value
    lines = [(",".join(map(str, row)) + "\n").encode() for row in rows]

    def read() -> Parsed[Kline]:
        blocks = archive_rows.klines(lines, "v", "BTCUSDT", "1m", NOW)
        return next(blocks)

    with pytest.MonkeyPatch.context() as patch:
        assert _or_error(read) == _or_error(lambda: one_by_one(patch, read))


def test_a_good_page_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of its rows is looked at by itself."""
    monkeypatch.setattr(messages, "candle", None)
    found = messages.klines(json.dumps(page({})).encode(), "v", "BTCUSDT", "1m", NOW)
    assert [row.trade_count for row in found.rows] == list(range(6))
    monkeypatch.setattr(archive_rows, "candle", None)
    lines = [(",".join(map(str, row)) + "\r\n").encode() for row in page({})]
    (block,) = archive_rows.klines(lines, "v", "BTCUSDT", "1m", NOW)
    assert block == found


def test_one_bad_row_costs_only_itself() -> None:
    """Its neighbours are the rows of the page without it."""
    found = messages.klines(json.dumps(page({(3, 3): "NaN"})).encode(), "v", "X", "1m", NOW)
    assert [row.trade_count for row in found.rows] == [0, 1, 2, 4, 5]
    assert msgspec.json.decode(found.rejected[0].raw)[3] == "NaN"


def _or_error(read: Callable[[], Parsed[Kline]]) -> Parsed[Kline] | str:
    try:
        return read()
    except archive_rows.LayoutUnknownError as error:
        return str(error)
