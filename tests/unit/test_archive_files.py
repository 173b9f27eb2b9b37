"""Names of archive files, and the spans that they cover."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.binance.archive_files import days, is_archived, months, of_day, of_month
from ingest.span import Span, in_ms


def ms(*date: int) -> int:
    return in_ms(datetime(*date, tzinfo=UTC))  # type: ignore[misc,arg-type]


def test_files_have_the_exchanges_own_names() -> None:
    """github.com/binance/binance-public-data."""
    december = Span(ms(2025, 12, 3, 7), ms(2025, 12, 4))
    paths = [
        of_month("BTCUSDT", "klines_1m", december).path,
        of_day("BTCUSDT", "klines_1h", december).path,
        of_month("BTCUSDT", "trades", december).path,
        of_day("BTCUSDT", "trades", december).path,
    ]
    assert paths == [
        "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2025-12.zip",
        "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-12-03.zip",
        "data/spot/monthly/trades/BTCUSDT/BTCUSDT-trades-2025-12.zip",
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-12-03.zip",
    ]


def test_file_covers_its_whole_day_or_month() -> None:
    """Whatever part of it is wanted; December ends with the year."""
    part = Span(ms(2025, 12, 3, 7), ms(2025, 12, 4))
    assert of_month("X", "trades", part).span == Span(ms(2025, 12, 1), ms(2026, 1, 1))
    assert of_day("X", "trades", part).span == Span(ms(2025, 12, 3), ms(2025, 12, 4))


def test_name_of_a_symbol_is_quoted() -> None:
    """There are symbols in other scripts."""
    path = of_day("币安USDT", "trades", Span(ms(2026, 1, 1), ms(2026, 1, 2))).path
    assert path.isascii()
    assert path.endswith("USDT-trades-2026-01-01.zip")


@given(st.integers(ms(2017, 1, 1), ms(2027, 1, 1)), st.integers(1, 90 * 86_400_000))
def test_pieces_are_the_span_and_lie_in_one_day_or_month(start: int, length: int) -> None:
    """Without a hole or an overlap."""
    span = Span(start, start + length)
    for cut, file_of in ((days, of_day), (months, of_month)):
        parts = list(cut(span))
        assert [part.start for part in parts] == [span.start, *(part.end for part in parts[:-1])]
        assert parts[-1].end == span.end
        for part in parts:
            whole = file_of("X", "trades", part).span
            assert whole.start <= part.start < part.end <= whole.end


@pytest.mark.parametrize(
    ("stream", "archived"),
    [("trades", True), ("klines_1d", True), ("klines_3d", False), ("klines_1M", False)],
)
def test_candles_that_cross_days_come_by_rest(stream: str, *, archived: bool) -> None:
    """A page of REST holds years of them."""
    assert is_archived(stream) is archived
